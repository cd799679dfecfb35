// SPDX-License-Identifier: Apache-2.0
// postern findevent: which messages there were, and every line of the log about each, from the tracking store. It works
// on the store itself, whether posternd runs or not.
#include "milter/cli/findevent.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/log_sink.h"
#include "engine/base/text.h"
#include "milter/settings.h"

namespace postern::cli {
namespace {

using nlohmann::json;

constexpr size_t kMostShown = 100'000;  // messages that --follow remembers
constexpr size_t kMostNew = 10'000;
constexpr int kPollMilliseconds = 1000;

int usage(std::string_view text) {
  std::fprintf(stderr, "postern findevent: %.*s\n", static_cast<int>(text.size()), text.data());
  return kUsage;
}

int complain(const base::Error& error, int status) {
  std::fprintf(stderr, "postern findevent: %s\n", base::escape_for_log(error.text(), 2000).c_str());
  return status;
}

// read_moment takes "2026-01-31", "2026-01-31 12:00", "2026-01-31T12:00:00Z" or an age, "2h".
bool read_moment(const std::string& text, std::optional<int64_t>& moment) {
  if (text.empty()) return true;
  const auto now = static_cast<int64_t>(std::time(nullptr));
  if (const auto age = base::parse_duration(text)) {
    if (*age > static_cast<uint64_t>(now)) return false;
    moment = now - static_cast<int64_t>(*age);
    return true;
  }
  for (const char* format : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                             "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* const end = ::strptime(text.c_str(), format, &parts);
    if (end == nullptr || *end != '\0') continue;
    parts.tm_isdst = -1;
    moment = static_cast<int64_t>(text.ends_with('Z') ? ::timegm(&parts) : std::mktime(&parts));
    return true;
  }
  return false;
}

std::string date_of(int64_t time) {
  const auto moment = static_cast<time_t>(time);
  std::tm parts{};
  if (::localtime_r(&moment, &parts) == nullptr) return "?";
  char text[40];
  return {text, std::strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &parts)};
}

json time_json(int64_t time) { return time == 0 ? json() : json(base::format_time(time)); }

json message_json(const store::TrackedMessage& message) {
  json lines = json::array();
  std::set<std::string> fired;
  for (const store::TrackedLine& line : message.lines) {
    lines.push_back({{"time", time_json(line.time)},
                     {"level", base::level_name(static_cast<base::Level>(line.level))},
                     {"event", line.event},
                     {"filter", line.filter},
                     {"text", line.text}});
    if (!line.filter.empty()) fired.insert(line.filter);
  }
  return {{"gateway", message.gateway},
          {"mid", message.mid},
          {"icid", message.icid},
          {"started", time_json(message.started)},
          {"queue_id", message.queue_id},
          {"client", message.client},
          {"client_name", message.client_name},
          {"helo", message.helo},
          {"auth", message.auth},
          {"flow", message.flow},
          {"from", message.from ? json(*message.from) : json()},
          {"header_from", message.header_from},
          {"to", message.recipients},
          {"subject", message.subject},
          {"message_id", message.message_id},
          {"size", message.size},
          {"verdict", message.verdict},
          {"reply", message.reply},
          {"filters", fired},
          {"lines", std::move(lines)}};
}

// printable is a line of a file as it is, unless a terminal could take offence.
std::string printable(std::string_view line) {
  const bool clean = base::is_valid_utf8(line) && std::ranges::none_of(line, [](char c) {
                       return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
                     });
  return clean ? std::string(line) : base::escape_for_log(line, line.size() * 4);
}

bool has(std::string_view text, std::string_view wanted, bool fold) {
  return fold ? base::lower(text).find(base::lower(wanted)) != std::string::npos
              : text.find(wanted) != std::string_view::npos;
}
bool is(std::string_view text, std::string_view wanted, bool fold) {
  return fold ? base::iequals(text, wanted) : text == wanted;
}

// follow prints what comes, from `cursor` on.
int follow(store::Tracking& tracking, store::TrackSearch search, int64_t cursor, std::set<int64_t> shown,
           Printer& printer) {
  search.most = kMostNew;
  bool away = false;
  while (wait_for_more(kPollMilliseconds)) {
    auto last = tracking.last_line();
    base::Result<std::vector<store::TrackedMessage>> found;
    if (last && *last == cursor) continue;
    if (last) {
      search.line_after = cursor;
      found = tracking.find(search);
    }
    if (!last || !found) {
      if (!away) complain(last ? found.error() : last.error(), kUnavailable);
      away = true;
      continue;
    }
    away = false;
    for (store::TrackedMessage& message : *found) {
      const bool known = shown.contains(message.id);
      std::erase_if(message.lines,
                    [&](const store::TrackedLine& line) { return line.id > *last || (known && line.id <= cursor); });
      if (message.lines.empty()) continue;
      shown.insert(message.id);
      if (!printer.message(message)) return printer.end();
    }
    while (shown.size() > kMostShown) shown.erase(shown.begin());
    cursor = *last;
  }
  return printer.end();
}

int find_in_store(const FindEventOptions& options, const store::TrackSearch& search) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  const auto source = sources.add_file(options.config);
  if (!source) return complain(source.error(), kBadConfig);
  const auto settings = milter::read_settings(sources, *source, diagnostics);
  if (!settings) {
    std::fputs(diagnostics.render().c_str(), stderr);
    return kBadConfig;
  }
  if (settings->store.empty()) {
    return complain({base::Cause::misconfigured,
                     options.config + " names no store, so no message is tracked; --log looks in a log file"},
                    kBadConfig);
  }
  auto tracking = store::Tracking::open({settings->store, settings->hostname, false, 1});
  if (!tracking) {
    const base::Cause cause = tracking.error().cause();
    if (cause == base::Cause::not_found) {
      return complain({cause, tracking.error().text() + "; posternd makes it at its start"}, kUnavailable);
    }
    return complain(tracking.error(), cause == base::Cause::misconfigured ? kBadConfig
                                      : cause == base::Cause::denied      ? kDenied
                                                                          : kUnavailable);
  }
  if (options.follow) hold_signals();
  const auto cursor = options.follow ? (*tracking)->last_line() : base::Result<int64_t>(0);
  if (!cursor) return complain(cursor.error(), kUnavailable);
  auto found = (*tracking)->find(search);
  if (!found) return complain(found.error(), kUnavailable);
  Printer printer(options.json, options.follow, false);
  std::set<int64_t> shown;
  for (store::TrackedMessage& message : *found) {
    if (options.follow) {
      std::erase_if(message.lines, [&](const store::TrackedLine& line) { return line.id > *cursor; });
      shown.insert(message.id);
    }
    if (!printer.message(message)) return printer.end();
  }
  if (options.follow) return follow(**tracking, search, *cursor, std::move(shown), printer);
  if (found->size() == options.limit) {
    std::fprintf(stderr, "postern findevent: the newest %zu; there may be more: --limit, --until\n", found->size());
  }
  return printer.end();
}

}  // namespace

bool fits(const store::TrackedMessage& message, const store::TrackSearch& search) {
  const bool fold = search.fold;
  const auto address = [fold](std::string_view text, std::string_view wanted) {
    return store::is_whole_address(wanted) ? is(text, wanted, fold) : has(text, wanted, fold);
  };
  if (search.mid && message.mid != *search.mid) return false;
  if (!search.from.empty()) {
    const std::string sender = !message.from ? "" : message.from->empty() ? "<>" : *message.from;
    if (!address(sender, search.from)) return false;
  }
  if (!search.to.empty() &&
      std::ranges::none_of(message.recipients, [&](const std::string& to) { return address(to, search.to); })) {
    return false;
  }
  if (!search.subject.empty() && !has(message.subject, search.subject, fold)) return false;
  if (!search.message_id.empty() && !is(message.message_id, search.message_id, fold)) return false;
  if (!search.queue_id.empty() && message.queue_id != search.queue_id) return false;
  if (!search.filter.empty() && std::ranges::none_of(message.lines, [&](const store::TrackedLine& line) {
        return line.filter == search.filter;
      })) {
    return false;
  }
  if (!search.verdict.empty() && message.verdict != search.verdict) return false;
  // Lines without a date are taken to be of any time.
  if (search.since && message.started != 0 && message.started < *search.since) return false;
  return !search.until || message.started == 0 || message.started <= *search.until;
}

bool Printer::message(const store::TrackedMessage& message) {
  if (json_) {
    const json value = message_json(message);
    if (follow_) {
      std::puts(value.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    } else {
      std::printf("%s\n%s", found_ == 0 ? "[" : ",", value.dump(2, ' ', false, json::error_handler_t::replace).c_str());
    }
  } else {
    if (found_ > 0 && !follow_) std::putchar('\n');
    for (const store::TrackedLine& line : message.lines) {
      if (whole_lines_) {
        std::puts(printable(line.text).c_str());
      } else {
        std::printf("%s %s: %s [%s]\n", date_of(line.time).c_str(),
                    std::string(base::level_word(static_cast<base::Level>(line.level))).c_str(), line.text.c_str(),
                    line.event.c_str());
      }
    }
  }
  ++found_;
  return (!follow_ || std::fflush(stdout) == 0) && std::ferror(stdout) == 0;
}

int Printer::end() {
  if (json_ && !follow_) std::puts(found_ == 0 ? "[]" : "\n]");
  return found_ > 0 ? kDone : kNo;
}

namespace {
sigset_t end_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}
}  // namespace

void hold_signals() {
  const sigset_t set = end_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

bool wait_for_more(int milliseconds) {
  const sigset_t set = end_signals();
  const timespec time{milliseconds / 1000, (milliseconds % 1000) * 1'000'000L};
  return ::sigtimedwait(&set, nullptr, &time) < 0;
}

int run_findevent(const FindEventOptions& options) {
  store::TrackSearch search;
  search.from = options.from;
  search.to = options.to;
  search.subject = options.subject;
  search.message_id = options.message_id;
  search.queue_id = options.queue_id;
  search.filter = options.filter;
  search.verdict = options.verdict;
  search.fold = options.fold;
  search.most = options.limit;
  if (!options.mid.empty()) {
    uint64_t mid = 0;
    const char* const end = options.mid.data() + options.mid.size();
    const auto [stop, error] = std::from_chars(options.mid.data(), end, mid);
    if (error != std::errc() || stop != end || mid > INT64_MAX) return usage("a MID is a number");
    search.mid = mid;
  }
  if (!read_moment(options.since, search.since) || !read_moment(options.until, search.until)) {
    return usage("a time is 2026-01-31, '2026-01-31 12:00', 2026-01-31T12:00:00Z, or an age: 30m, 2h, 7d");
  }
  return options.logs.empty() ? find_in_store(options, search) : find_in_logs(options, search);
}

}  // namespace postern::cli
