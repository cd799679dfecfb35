// SPDX-License-Identifier: Apache-2.0
// postern quarantine: what quarantines hold, and what becomes of it. It works on the store itself, whether posternd
// runs or not; what it releases or forwards is sent by posternd.
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/handle.h"
#include "engine/base/io.h"
#include "engine/base/text.h"
#include "engine/message/address.h"
#include "engine/store/store.h"
#include "engine/store/tracking.h"
#include "milter/cli/commands.h"
#include "milter/events.h"
#include "milter/settings.h"
#include "milter/store_keys.h"

namespace postern::cli {
namespace {

using base::Cause;
using base::Error;
using nlohmann::json;

int complain(const Error& error) {
  std::fprintf(stderr, "postern quarantine: %s\n", base::escape_for_log(error.text(), 2000).c_str());
  switch (error.cause()) {
    case Cause::not_found:
      return kNo;
    case Cause::denied:
      return kDenied;
    case Cause::misconfigured:
      return kBadConfig;
    case Cause::malformed:
    case Cause::limit:
      return kBadData;
    case Cause::unavailable:
    case Cause::internal:
      break;
  }
  return kUnavailable;
}

int usage(std::string_view text) {
  std::fprintf(stderr, "postern quarantine: %.*s\n", static_cast<int>(text.size()), text.data());
  return kUsage;
}

// Place is the store that the configuration names, and what it says of quarantines.
struct Place {
  std::unique_ptr<store::Store> store;
  milter::Settings settings;
};

// open_place reads postern.yaml alone: an error in a rule file keeps nobody from a message. `status` is the exit status
// where there is no store.
Place open_place(const std::string& path, int& status) {
  Place place;
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const auto source = sources.add_file(path);
  if (!source) {
    std::fprintf(stderr, "postern quarantine: %s\n", source.error().text().c_str());
    status = kBadConfig;
    return place;
  }
  auto settings = milter::read_settings(sources, *source, diagnostics);
  if (!settings) {
    std::fputs(diagnostics.render().c_str(), stderr);
    status = kBadConfig;
    return place;
  }
  place.settings = std::move(*settings);
  if (place.settings.store.empty()) {
    status = complain({Cause::misconfigured, path + " names no store: quarantined mail is in the MTA's own queue"});
    return place;
  }
  auto opened = store::Store::open(milter::store_place(place.settings, false, 1));
  if (!opened) {
    const bool missing = opened.error().cause() == Cause::not_found;
    status = complain(missing ? Error(Cause::unavailable, opened.error().text() + "; posternd makes it at its start")
                              : opened.error());
    return place;
  }
  place.store = std::move(*opened);
  return place;
}

std::string caller() {
  const passwd* const entry = ::getpwuid(::getuid());
  return entry != nullptr ? entry->pw_name : "uid " + std::to_string(::getuid());
}

int64_t now() { return static_cast<int64_t>(std::time(nullptr)); }

// When a hold ends by itself; 0: never.
int64_t expiry(const Place& place, const store::Listed& entry, const std::string& quarantine) {
  if (entry.on_hold) return 0;
  const auto policy = place.settings.policies.find(quarantine);
  return policy == place.settings.policies.end() ? 0 : entry.created + policy->second.retention;
}

json time_or_null(int64_t seconds) { return seconds == 0 ? json() : json(base::format_time(seconds)); }

json entry_json(const Place& place, const store::Listed& entry) {
  json holds = json::array();
  for (const store::Held& hold : entry.holds) {
    holds.push_back({{"quarantine", hold.quarantine},
                     {"filter", hold.filter},
                     {"reason", hold.reason},
                     {"state", hold.state},
                     {"ended", time_or_null(hold.ended)},
                     {"ended_by", hold.ended_by},
                     {"expires", time_or_null(hold.state == "held" ? expiry(place, entry, hold.quarantine) : 0)}});
  }
  return {{"id", entry.id},
          {"copy", store::copy_name(entry.copy)},
          {"state", entry.state},
          {"mid", entry.mid},
          {"queue_id", entry.queue_id},
          {"flow", entry.flow},
          {"client", entry.client},
          {"from", entry.from},
          {"to", entry.recipients},
          {"header_from", entry.header_from},
          {"subject", entry.subject},
          {"message_id", entry.message_id},
          {"size", entry.size},
          {"kept", base::format_time(entry.created)},
          {"on_hold", entry.on_hold},
          {"ended", time_or_null(entry.ended)},
          {"ended_by", entry.ended_by},
          {"holds", std::move(holds)}};
}

void print_json(const json& value) { std::puts(value.dump(2, ' ', false, json::error_handler_t::replace).c_str()); }

std::string quarantine_names(const store::Listed& entry) {
  std::string out;
  for (const store::Held& hold : entry.holds) {
    if (hold.state == "held" || entry.state != "held") out += (out.empty() ? "" : ",") + hold.quarantine;
  }
  return out;
}

void print_row(const store::Listed& entry) {
  const std::string to = entry.recipients.empty() ? "" : entry.recipients.front();
  const std::string more = entry.recipients.size() > 1 ? " +" + std::to_string(entry.recipients.size() - 1) : "";
  std::printf("%-6lld %s %-9s %-8s %-16s %8s  <%s> -> <%s>%s  %s\n", static_cast<long long>(entry.id),
              base::format_time(entry.created).c_str(), entry.state.c_str(), std::string(copy_name(entry.copy)).c_str(),
              quarantine_names(entry).c_str(), std::to_string(entry.size).c_str(),
              base::escape_for_log(entry.from, 60).c_str(), base::escape_for_log(to, 60).c_str(), more.c_str(),
              entry.subject.c_str());
}

void print_entry(const Place& place, const store::Listed& entry) {
  const auto line = [](const char* name, const std::string& value) {
    if (!value.empty()) std::printf("%-12s %s\n", name, value.c_str());
  };
  line("id", std::to_string(entry.id));
  line("what", std::string(copy_name(entry.copy)));
  line("state", entry.state + (entry.on_hold ? ", on hold" : ""));
  line("kept", base::format_time(entry.created));
  if (entry.ended != 0) line("ended", base::format_time(entry.ended) + " by " + entry.ended_by);
  line("MID", std::to_string(entry.mid));
  line("queue id", entry.queue_id);
  line("flow", entry.flow);
  line("client", entry.client);
  line("sender", "<" + base::escape_for_log(entry.from) + ">");
  for (const std::string& to : entry.recipients) line("recipient", "<" + base::escape_for_log(to) + ">");
  line("From", entry.header_from);
  line("Subject", entry.subject);
  line("Message-ID", entry.message_id);
  line("size", std::to_string(entry.size));
  for (const store::Held& hold : entry.holds) {
    std::string text = hold.quarantine + ": " + hold.state + ", filter '" + hold.filter + "'";
    if (!hold.reason.empty()) text += ", " + hold.reason;
    if (hold.state != "held") text += ", " + base::format_time(hold.ended) + " by " + hold.ended_by;
    if (const int64_t ends = expiry(place, entry, hold.quarantine); hold.state == "held" && ends != 0) {
      text += ", until " + base::format_time(ends);
    }
    line("quarantine", text);
  }
}

// Age is "7d" as a moment in the past.
bool read_age(const std::string& text, std::optional<int64_t>& moment) {
  if (text.empty()) return true;
  const auto seconds = base::parse_duration(text);
  if (!seconds) return false;
  moment = now() - static_cast<int64_t>(*seconds);
  return true;
}

int list(const Place& place, const QuarantineOptions& options) {
  store::Search search;
  const auto text = [](const std::string& value) {
    return value.empty() ? std::nullopt : std::optional<std::string>(value);
  };
  search.quarantine = text(options.quarantine);
  search.filter = text(options.filter);
  search.from = text(options.from);
  search.to = text(options.to);
  search.subject = text(options.subject);
  search.message_id = text(options.message_id);
  if (options.mid != 0) search.mid = options.mid;
  if (!read_age(options.older_than, search.kept_before) || !read_age(options.newer_than, search.kept_after)) {
    return usage("an age is a number with s, m, h or d, for example 7d");
  }
  search.ended = options.all;
  search.after = options.after;
  search.most = options.limit;
  auto entries = place.store->list(search);
  if (!entries) return complain(entries.error());
  if (options.json) {
    json out = json::array();
    for (const store::Listed& entry : *entries) out.push_back(entry_json(place, entry));
    print_json(out);
    return kDone;
  }
  for (const store::Listed& entry : *entries) print_row(entry);
  if (entries->size() == options.limit) {
    std::fprintf(stderr, "postern quarantine: there may be more: --after %lld\n",
                 static_cast<long long>(entries->back().id));
  }
  return kDone;
}

int stats(const Place& place, const QuarantineOptions& options) {
  auto found = place.store->usage();
  if (!found) return complain(found.error());
  std::map<std::string, store::Usage> all;
  for (const std::string& name : place.settings.quarantines) all[name].quarantine = name;
  for (const store::Usage& usage : *found) all[usage.quarantine] = usage;
  json out = json::array();
  for (const auto& [name, usage] : all) {
    const auto known = place.settings.policies.find(name);
    // What the configuration does not name keeps what it has.
    const store::Policy* const policy = known == place.settings.policies.end() ? nullptr : &known->second;
    const char* const action = policy == nullptr ? "keep" : policy->release_at_end ? "release" : "delete";
    if (options.json) {
      out.push_back({{"quarantine", name},
                     {"messages", usage.messages},
                     {"bytes", usage.bytes},
                     {"size", policy == nullptr ? json() : json(policy->size)},
                     {"oldest", time_or_null(usage.oldest)},
                     {"retention", policy == nullptr ? json() : json(policy->retention)},
                     {"default_action", action}});
      continue;
    }
    const std::string oldest = usage.oldest == 0 ? "-" : base::format_time(usage.oldest);
    std::printf("%-24s %8llu messages %14llu", name.c_str(), static_cast<unsigned long long>(usage.messages),
                static_cast<unsigned long long>(usage.bytes));
    if (policy == nullptr) {
      std::printf(" bytes, oldest %s, not in the configuration: kept\n", oldest.c_str());
      continue;
    }
    std::printf(" of %s bytes, oldest %s, after %s: %s\n", base::format_size(policy->size).c_str(), oldest.c_str(),
                base::format_duration(static_cast<uint64_t>(policy->retention)).c_str(), action);
  }
  if (options.json) print_json(out);
  return kDone;
}

// complain_of_content is complain for a message that is there and cannot be read: the store is what is at fault, or
// fipsd, and never the configuration that names them.
int complain_of_content(const Error& error) {
  const bool plain = error.cause() == Cause::denied || error.cause() == Cause::not_found;
  return complain({plain ? error.cause() : Cause::unavailable, error.text()});
}

// check_readable sees to it that a message which is to go out can be read: what cannot be stays in quarantine, where it
// is seen, and not in the outbox. Whether there is such a message is not its business.
int check_readable(const Place& place, int64_t id) {
  const auto entry = place.store->show(id);
  if (!entry || entry->state != "held") return kDone;
  const auto checked = place.store->check_content(entry->content);
  return checked ? kDone : complain_of_content(checked.error());
}

int view(const Place& place, const QuarantineOptions& options) {
  auto entry = place.store->show(options.ids.front());
  if (!entry) return complain(entry.error());
  auto content = place.store->content(entry->content);
  if (!content) return complain_of_content(content.error());
  base::UniqueFd file;
  if (!options.out.empty()) {
    file.reset(::open(options.out.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) return complain(base::system_error("making " + options.out, errno));
  }
  if (!base::write_all(file ? file.get() : STDOUT_FILENO, *content))
    return complain(base::system_error("writing", errno));
  return kDone;
}

int forward(const Place& place, const QuarantineOptions& options) {
  std::vector<std::string> recipients;
  for (const std::string& address : options.recipients) {
    auto path = message::parse_path(address);
    if (!path || path->empty()) return usage(base::quoted(address) + " is no mail address");
    recipients.push_back(std::move(*path));
  }
  auto sender = message::parse_path(options.sender);
  if (!sender) return usage(base::quoted(options.sender) + " is no mail address");
  if (const int status = check_readable(place, options.ids.front()); status != kDone) return status;
  auto done = place.store->forward(options.ids.front(), *sender, recipients, now());
  if (!done) return complain(done.error());
  std::printf("%lld: a copy goes out as soon as posternd runs\n", static_cast<long long>(options.ids.front()));
  return kDone;
}

// Ends are tracked: what an administrator did stands with the lines of the message it was done to. A message that has
// ended has, whether that can be written down or not.
class Ends {
 public:
  explicit Ends(const Place& place) : place_(place) {}

  // add is told about an entry as it was before, and what was done to it.
  void add(const store::Listed& entry, milter::Event what, const std::string& quarantine) {
    std::string names = quarantine;
    for (const store::Held& hold : entry.holds) {
      if (quarantine.empty() && hold.state == "held") names += (names.empty() ? "" : ", ") + hold.quarantine;
    }
    const std::string mid = std::to_string(entry.mid);
    const std::string why = "by " + caller();
    const std::array<base::LogValue, 3> values{{{"mid", mid}, {"quarantine", names}, {"why", why}}};
    const base::LogId& id = milter::event(what);
    store::TrackedMessage& message = messages_.emplace_back();
    message.mid = entry.mid;
    message.queue_id = entry.queue_id;
    message.started = now();
    message.elsewhere = true;
    message.lines.push_back(
        {0, now(), static_cast<uint8_t>(id.level), std::string(id.id), {}, base::log_text(id, values)});
  }

  void write() {
    if (messages_.empty() || place_.settings.tracking_keep == 0) return;
    auto tracking = store::Tracking::open({place_.settings.store, place_.settings.hostname, false, 1}, "quarantine");
    base::Result<void> done = tracking ? base::Result<void>() : std::unexpected(tracking.error());
    if (done) {
      const std::string batch = std::to_string(::getpid()) + "." + std::to_string(now());
      done = (*tracking)->write(messages_, batch);
    }
    if (!done && done.error().cause() != Cause::not_found) {
      std::fprintf(stderr, "postern quarantine: done, but not tracked: %s\n",
                   base::escape_for_log(done.error().text(), 2000).c_str());
    }
  }

 private:
  const Place& place_;
  std::vector<store::TrackedMessage> messages_;
};

// each does one thing to each id; the worst outcome is the exit status.
int each(const Place& place, const QuarantineOptions& options) {
  int status = kDone;
  Ends ends(place);
  for (const int64_t id : options.ids) {
    const auto before = place.store->show(id);
    std::optional<milter::Event> ended;
    std::string done;
    base::Result<void> result;
    if (options.command == "release") {
      if (const int bad = check_readable(place, id); bad != kDone) {
        status = std::max(status, bad);
        continue;
      }
      const auto out = place.store->release(id, options.quarantine, caller(), now());
      if (!out) result = std::unexpected(out.error());
      ended = milter::Event::quarantine_released;
      done = !out   ? ""
             : *out ? "released; it goes out as soon as posternd runs"
                    : "released here; others hold it still";
    } else if (options.command == "delete") {
      result = place.store->erase(id, caller(), now());
      ended = milter::Event::quarantine_deleted;
      done = "deleted";
    } else {
      const bool on = options.command == "hold";
      result = place.store->hold_back(id, on);
      done = on ? "on hold: it does not expire" : "no longer on hold";
    }
    if (!result) {
      status = std::max(status, complain(result.error()));
      continue;
    }
    std::printf("%lld: %s\n", static_cast<long long>(id), done.c_str());
    if (ended && before) ends.add(*before, *ended, options.command == "release" ? options.quarantine : "");
  }
  ends.write();
  return status;
}

}  // namespace

int run_quarantine(const QuarantineOptions& options) {
  int status = kDone;
  const Place place = open_place(options.config, status);
  if (place.store == nullptr) return status;
  if (options.command == "list") return list(place, options);
  if (options.command == "stats") return stats(place, options);
  if (options.command == "view") return view(place, options);
  if (options.command == "forward") return forward(place, options);
  if (options.command != "show") return each(place, options);
  auto entry = place.store->show(options.ids.front());
  if (!entry) return complain(entry.error());
  if (options.json) {
    print_json(entry_json(place, *entry));
  } else {
    print_entry(place, *entry);
  }
  return kDone;
}

}  // namespace postern::cli
