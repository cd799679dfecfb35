// SPDX-License-Identifier: Apache-2.0
// The log's observer looks the line up by its place in the event table: a line that alerts nobody costs a comparison.
#include "milter/alerts.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"
#include "engine/submit/own_mail.h"

namespace postern::milter {
namespace {

constexpr size_t kMostNoted = 1000;
constexpr size_t kMostPending = 200;  // of one profile
constexpr uint32_t kMostAttempts = 20;
constexpr std::chrono::seconds kFirstRetry{5};
constexpr std::chrono::seconds kLongestRetry{600};

std::atomic<Alerts*> g_alerts{nullptr};

// What the observer looks up for each event: the rows that it raises and clears.
struct Lookup {
  std::vector<uint8_t> raises;
  std::vector<std::vector<uint8_t>> clears;
};

const Lookup& lookup() {
  static const Lookup table = [] {
    Lookup out;
    out.raises.assign(events().size(), UINT8_MAX);
    out.clears.resize(events().size());
    for (size_t i = 0; i < alert_table().size(); ++i) {
      out.raises[static_cast<size_t>(alert_table()[i].raised)] = static_cast<uint8_t>(i);
      if (const auto& over = alert_table()[i].cleared) {
        out.clears[static_cast<size_t>(*over)].push_back(static_cast<uint8_t>(i));
      }
    }
    return out;
  }();
  return table;
}

std::string key_of(const AlertRow& row, std::span<const base::LogValue> values) {
  for (const base::LogValue& value : values) {
    if (!row.key.empty() && value.name == row.key) return base::escape_for_log(value.value, 100);
  }
  return {};
}

void observe(const base::LogId& id, std::span<const base::LogValue> values, std::string_view) {
  const std::span<const base::LogId> all = events();
  if (&id < all.data() || &id >= all.data() + all.size()) return;
  const auto at = static_cast<size_t>(&id - all.data());
  const Lookup& table = lookup();
  if (table.raises[at] == UINT8_MAX && table.clears[at].empty()) return;
  Alerts* alerts = g_alerts.load(std::memory_order_acquire);
  if (alerts == nullptr) return;
  if (table.raises[at] != UINT8_MAX) {
    const AlertRow& row = alert_table()[table.raises[at]];
    // An alert that failed must not be the cause of the next one.
    if (row.raised == Event::mail_failed && key_of(row, values) == "alert") return;
    alerts->note(table.raises[at], false, key_of(row, values), base::log_text(id, values));
  }
  for (const uint8_t row : table.clears[at]) {
    if (!alerts->may_clear(row)) continue;
    alerts->note(row, true, key_of(alert_table()[row], values), base::log_text(id, values));
  }
}

std::string_view state_name(Alert::What what) {
  switch (what) {
    case Alert::What::raised:
      return "raised";
    case Alert::What::repeated:
      return "repeated";
    case Alert::What::cleared:
      return "cleared";
  }
  return "raised";
}

std::string_view severity(const Alert& alert) {
  if (alert.what == Alert::What::cleared) return "Information";
  for (const AlertRow& row : alert_table()) {
    if (event(row.raised).id == alert.event && event(row.raised).level == base::Level::info) return "Information";
  }
  return alert.critical ? "Critical" : "Warning";
}

std::string_view class_of(const Alert& alert) {
  for (const AlertRow& row : alert_table()) {
    if (event(row.raised).id == alert.event) return row.what;
  }
  return "System";
}

std::string sentence(const Alert& alert) {
  switch (alert.what) {
    case Alert::What::raised:
      return "This happened:";
    case Alert::What::repeated:
      return "This happened " + std::to_string(alert.count) + " times since the last alert; the last time:";
    case Alert::What::cleared:
      return "This is over (" + std::to_string(alert.count) + " more times since the last alert):";
  }
  return {};
}

}  // namespace

std::string alert_mail(const Alert& alert, const AlertProfile& profile, const Settings& settings, int64_t now) {
  std::string to;
  for (const std::string& address : profile.mail) to += (to.empty() ? "" : ",\r\n ") + address;
  const std::string subject = "[" + std::string(severity(alert)) + "]-[" + settings.hostname + "]: (" +
                              std::string(class_of(alert)) + ") " + alert.event +
                              (alert.key.empty() ? "" : " " + alert.key);
  std::string encoded = mime::encode_words(base::one_line(subject), 9);
  for (size_t at = encoded.find('\n'); at != std::string::npos; at = encoded.find('\n', at + 2))
    encoded.insert(at, "\r");
  static std::atomic<uint64_t> counter{0};
  return "From: " +
         (settings.reinject.from.empty() ? "Postern <postmaster@" + settings.hostname + ">" : settings.reinject.from) +
         "\r\nTo: " + to + "\r\nSubject: " + encoded + "\r\nDate: " + base::mail_date(now, false) +
         "\r\nMessage-ID: <alert." + std::to_string(now) + "." + std::to_string(counter.fetch_add(1)) + "@" +
         settings.hostname +
         ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
         "Content-Transfer-Encoding: 8bit\r\n\r\n" +
         sentence(alert) + "\r\n\r\n" + base::one_line(alert.text) + "\r\n";
}

std::string alert_json(const Alert& alert, const AlertProfile& profile, const Settings& settings, int64_t now) {
  const nlohmann::ordered_json json = {{"profile", profile.name},
                                       {"state", state_name(alert.what)},
                                       {"severity", base::lower(severity(alert))},
                                       {"host", settings.hostname},
                                       {"class", class_of(alert)},
                                       {"event", alert.event},
                                       {"key", alert.key},
                                       {"text", alert.text},
                                       {"count", alert.count},
                                       {"time", base::format_time(now)}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Alerts::~Alerts() { stop(); }

void Alerts::start() {
  g_alerts.store(this, std::memory_order_release);
  base::observe_log(observe);
  thread_.start("alerts", [this] { run(); });
}

void Alerts::stop() {
  if (!thread_.started()) return;
  base::unobserve_log(observe);
  g_alerts.store(nullptr, std::memory_order_release);
  thread_.stop();
}

void Alerts::note(size_t row, bool cleared, std::string key, std::string text) {
  {
    const std::lock_guard lock(mutex_);
    if (!cleared) raised_[row].store(true, std::memory_order_relaxed);
    // Lines that end something come with every message that goes well; one of them says it all.
    if (cleared) {
      const auto last = std::find_if(noted_.rbegin(), noted_.rend(),
                                     [&](const Noted& each) { return each.row == row && each.key == key; });
      if (last != noted_.rend() && last->cleared) return;
    }
    if (noted_.size() >= kMostNoted) {
      ++dropped_;
      return;
    }
    noted_.push_back({row, cleared, std::move(key), std::move(text)});
  }
  thread_.wake();
}

void Alerts::tell(const AlertProfile& profile, std::vector<Alert> alerts) {
  std::deque<Pending>& pending = listeners_[profile.name].pending;
  for (Alert& alert : alerts) {
    if (pending.size() >= kMostPending) {
      const std::lock_guard lock(mutex_);
      ++dropped_;
      continue;
    }
    if (!profile.mail.empty()) pending.push_back({alert, true, 0, {}});
    if (!profile.webhook.url.empty()) pending.push_back({std::move(alert), false, 0, {}});
  }
}

void Alerts::take(const Noted& noted, const Settings& settings) {
  const AlertRow& row = alert_table()[noted.row];
  const base::LogId& id = event(row.raised);
  const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch()).count();
  for (const AlertProfile& profile : settings.alerts) {
    const bool wanted =
        (profile.events.empty() && !row.on_request) || std::ranges::find(profile.events, id.id) != profile.events.end();
    if (!wanted) continue;
    AlertState& state = listeners_[profile.name].state;
    if (noted.cleared) {
      tell(profile, state.cleared(std::string(id.id), noted.key, noted.text));
      continue;
    }
    const AlertWaits waits{static_cast<int64_t>(profile.first_wait) * 1000,
                           static_cast<int64_t>(profile.longest_wait) * 1000};
    Alert alert;
    alert.event = id.id;
    alert.key = noted.key;
    alert.text = noted.text;
    alert.critical = id.level == base::Level::error;
    if (auto first = state.raised(std::move(alert), row.cleared.has_value(), waits, now)) tell(profile, {*first});
  }
}

base::Result<void> Alerts::mail(const Pending& pending, const AlertProfile& profile, const Settings& settings) {
  const auto now = static_cast<int64_t>(std::time(nullptr));
  const std::string content = alert_mail(pending.alert, profile, settings, now);
  const uint64_t mid = service_.next_id();
  if (!settings.store.empty()) {
    if (auto store = service_.store()) {
      store::Mail mail;
      mail.kind = store::MailKind::alert;
      mail.recipients = profile.mail;
      mail.content = {content};
      mail.mid = mid;
      if ((*store)->queue(mail, 0, now)) {
        service_.mail_waits();
        return {};
      }
    }
  }
  // The store may be what this is about.
  auto key = service_.mark_key();
  if (!key) return std::unexpected(std::move(key.error()));
  submit::SmtpServer server = settings.reinject.smtp;
  server.name = settings.hostname;
  submit::SmtpClient client(server);
  bool reached = false;
  const submit::OwnMail own{{"alert", mid, now, "", ""}, "", profile.mail, content};
  const auto results = submit::submit_own(client, **key, own, thread_.stopping(), reached);
  // Whom the server does not know must not keep the others' alert here.
  const auto taken = std::ranges::find(results, submit::SmtpResult::What::taken, &submit::SmtpResult::what);
  if (taken == results.end()) return base::fail(base::Cause::unavailable, results.front().text);
  return {};
}

// send tries what is pending and due, each profile's in order; what fails waits, and others do not wait for it.
void Alerts::send(const Settings& settings) {
  for (const AlertProfile& profile : settings.alerts) {
    std::deque<Pending>& pending = listeners_[profile.name].pending;
    for (size_t i = 0; i < pending.size() && !thread_.stopping();) {
      Pending& each = pending[i];
      if (each.next > Clock::now()) {
        ++i;
        continue;
      }
      const std::string_view way = each.by_mail ? "mail" : "webhook";
      const auto now = static_cast<int64_t>(std::time(nullptr));
      base::Result<void> done =
          each.by_mail
              ? mail(each, profile, settings)
              : submit::post_json(profile.webhook, alert_json(each.alert, profile, settings, now), thread_.stopping());
      if (done || each.attempts + 1 >= kMostAttempts) {
        if (done) {
          base::emit(event(Event::alert_sent), {{"profile", profile.name}, {"way", way}, {"text", each.alert.text}});
        } else {
          const std::lock_guard lock(mutex_);
          ++dropped_;
        }
        pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      const auto wait =
          std::min<std::chrono::seconds>(kFirstRetry * (1u << std::min(each.attempts, 10u)), kLongestRetry);
      ++each.attempts;
      each.next = Clock::now() + wait;
      base::emit(event(Event::alert_failed), {{"profile", profile.name},
                                              {"way", way},
                                              {"seconds", std::to_string(wait.count())},
                                              {"reason", done.error().text()}});
      ++i;
    }
  }
}

Alerts::Clock::time_point Alerts::next_look() {
  Clock::time_point next = Clock::now() + std::chrono::hours(1);
  for (const auto& [name, listener] : listeners_) {
    if (const auto due = listener.state.next()) {
      next = std::min(next, Clock::time_point(std::chrono::milliseconds(*due)));
    }
    for (const Pending& each : listener.pending) next = std::min(next, each.next);
  }
  return next;
}

// forget_ended lets the log pass again over lines that ended a row of `batch`, where nobody waits for its end any more.
void Alerts::forget_ended(const std::deque<Noted>& batch) {
  for (const Noted& each : batch) {
    if (!each.cleared) continue;
    const std::string id(event(alert_table()[each.row].raised).id);
    const bool known = std::ranges::any_of(listeners_, [&](const auto& entry) { return entry.second.state.has(id); });
    const std::lock_guard lock(mutex_);
    const bool coming = std::ranges::any_of(noted_, [&](const Noted& next) { return next.row == each.row; });
    if (!known && !coming) raised_[each.row].store(false, std::memory_order_relaxed);
  }
}

void Alerts::turn() {
  std::deque<Noted> batch;
  uint64_t dropped = 0;
  {
    const std::lock_guard lock(mutex_);
    batch.swap(noted_);
    std::swap(dropped, dropped_);
  }
  if (dropped != 0) base::emit(event(Event::alerts_dropped), {{"count", std::to_string(dropped)}});
  const std::shared_ptr<Live> live = service_.current();
  const Settings& settings = live->generation->settings;
  for (const Noted& noted : batch) take(noted, settings);
  const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch()).count();
  for (const AlertProfile& profile : settings.alerts) {
    const AlertWaits waits{static_cast<int64_t>(profile.first_wait) * 1000,
                           static_cast<int64_t>(profile.longest_wait) * 1000};
    tell(profile, listeners_[profile.name].state.due(waits, now));
  }
  // Who left the configuration hears nothing more.
  std::erase_if(listeners_, [&](const auto& entry) {
    return std::ranges::find(settings.alerts, entry.first, &AlertProfile::name) == settings.alerts.end();
  });
  forget_ended(batch);
  send(settings);
}

void Alerts::run() {
  do {
    try {
      turn();
    } catch (const std::exception&) {
      // Out of memory: mail goes on, and the next alert says that one is missing.
      const std::lock_guard lock(mutex_);
      ++dropped_;
    }
  } while (thread_.wait_until(next_look()));
}

}  // namespace postern::milter
