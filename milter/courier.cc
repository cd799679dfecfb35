// SPDX-License-Identifier: Apache-2.0
// One mail at a time: the listener is our own MTA, and a second thread would only share its queue. A listener that is
// not there costs one attempt for all mail, not one for each.
#include "milter/courier.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include "engine/base/text.h"
#include "engine/submit/mbox.h"
#include "engine/submit/own_mail.h"
#include "milter/events.h"

namespace postern::milter {
namespace {

constexpr std::chrono::seconds kLook{1};
constexpr std::chrono::seconds kTrouble{5};
constexpr uint64_t kFirstDownWait = 2;
constexpr uint64_t kLongestDownWait = 60;

int64_t now_seconds() { return static_cast<int64_t>(std::time(nullptr)); }

std::string id_text(const store::Outgoing& mail) { return std::to_string(mail.id); }

// The folder of an archive is ours to make; the ones above it are not.
void make_folder(const std::string& file) {
  const size_t slash = file.rfind('/');
  if (slash != std::string::npos && slash != 0) ::mkdir(file.substr(0, slash).c_str(), 0700);
}

}  // namespace

uint64_t retry_wait(const Reinject& reinject, uint32_t attempts) {
  uint64_t wait = reinject.retry_first;
  for (uint32_t i = 1; i < attempts && wait < reinject.retry_longest; ++i) wait *= 2;
  return std::min(wait, reinject.retry_longest);
}

Courier::~Courier() { stop(); }

void Courier::start() {
  thread_.start("courier", [this] { run(); });
}

void Courier::stop() {
  if (!thread_.end_within(kGrace)) abort_.store(true);
  thread_.stop();
}

void Courier::run() {
  using Clock = Background::Clock;
  while (!thread_.stopping()) {
    Turn done = Turn::trouble;
    try {
      done = turn();
    } catch (const std::exception& error) {
      base::emit(event(Event::outbox_failed), {{"reason", error.what()}});
    }
    if (done == Turn::idle) thread_.wait_until(Clock::now() + kLook);
    if (done == Turn::trouble) {
      // New mail is no reason to try earlier.
      const auto until = Clock::now() + (down_wait_ == 0 ? kTrouble : std::chrono::seconds(down_wait_));
      while (Clock::now() < until && thread_.wait_until(until)) continue;
    }
  }
}

// noted tells whether the store took a note; what it did not take is done again later.
Courier::Turn Courier::noted(const base::Result<void>& done) {
  if (done || done.error().cause() == base::Cause::not_found) {
    if (store_bad_) base::emit(event(Event::outbox_good), {});
    store_bad_ = false;
    return Turn::worked;
  }
  if (!store_bad_) base::emit(event(Event::outbox_failed), {{"reason", done.error().text()}});
  store_bad_ = true;
  return Turn::trouble;
}

Courier::Turn Courier::turn() {
  const std::shared_ptr<Live> live = service_.current();
  const Settings& settings = live->generation->settings;
  if (settings.store.empty()) return Turn::idle;
  auto store = service_.store();
  if (!store) return noted(std::unexpected(store.error()));
  if (!claims_forgotten_) {
    if (auto done = (*store)->forget_claims(); !done) return noted(done);
    claims_forgotten_ = true;
  }
  auto claimed = (*store)->claim_due(now_seconds(), 1);
  if (!claimed) return noted(std::unexpected(claimed.error()));
  if (claimed->empty()) {
    client_.reset();  // the MTA shows by the end of the connection that it has our answers to what it was given
    noted({});
    return Turn::idle;
  }
  return deliver(**store, claimed->front(), settings);
}

Courier::Turn Courier::deliver(store::Store& store, const store::Outgoing& mail, const Settings& settings) {
  return mail.kind == store::MailKind::archive ? archive(store, mail, settings) : submit(store, mail, settings);
}

Courier::Turn Courier::later(store::Store& store, const store::Outgoing& mail, const Settings& settings,
                             const std::string& reason) {
  const int64_t now = now_seconds();
  if (now - mail.created >= static_cast<int64_t>(settings.reinject.give_up)) {
    return failed(store, mail, "given up: " + reason);
  }
  const auto wait = static_cast<int64_t>(retry_wait(settings.reinject, mail.attempts + 1));
  base::emit(event(Event::mail_delayed), {{"id", id_text(mail)},
                                          {"mid", std::to_string(mail.mid)},
                                          {"cause", std::to_string(mail.cause_mid)},
                                          {"kind", store::mail_kind_name(mail.kind)},
                                          {"seconds", std::to_string(wait)},
                                          {"reason", reason}});
  return noted(store.retry(mail.id, now + wait, reason));
}

Courier::Turn Courier::failed(store::Store& store, const store::Outgoing& mail, const std::string& reason) {
  const Turn turn = noted(store.failed(mail.id, reason));
  if (turn == Turn::worked) {
    base::emit(event(Event::mail_failed), {{"id", id_text(mail)},
                                           {"mid", std::to_string(mail.mid)},
                                           {"cause", std::to_string(mail.cause_mid)},
                                           {"kind", store::mail_kind_name(mail.kind)},
                                           {"reason", reason}});
  }
  return turn;
}

// What was changed on the disk stays so however often it is read: an administrator hears of it at once. A key may come
// back.
Courier::Turn Courier::unreadable(store::Store& store, const store::Outgoing& mail, const Settings& settings,
                                  const base::Error& error) {
  return error.cause() == base::Cause::internal ? failed(store, mail, error.text())
                                                : later(store, mail, settings, error.text());
}

Courier::Turn Courier::archive(store::Store& store, const store::Outgoing& mail, const Settings& settings) {
  const std::string name = mail.recipients.empty() ? std::string() : mail.recipients.front();
  const auto file = settings.archives.find(name);
  if (file == settings.archives.end()) return failed(store, mail, "postern.yaml names no archive '" + name + "'");
  auto content = store.content(mail.content);
  if (!content) return unreadable(store, mail, settings, content.error());
  make_folder(file->second);
  const std::string tag = "MID " + std::to_string(mail.cause_mid) + " id " + id_text(mail);
  if (auto done = submit::append_mbox(file->second, tag, mail.from, mail.created, *content); !done) {
    return later(store, mail, settings, done.error().text());
  }
  const Turn turn = noted(store.sent(mail.id));
  if (turn == Turn::worked) {
    base::emit(event(Event::mail_archived), {{"mid", std::to_string(mail.cause_mid)}, {"archive", name}});
  }
  return turn;
}

void Courier::server_state(bool reached, const Settings& settings, const std::string& reason) {
  if (reached) {
    if (down_wait_ != 0) base::emit(event(Event::submit_up), {{"server", settings.reinject.server}});
    down_wait_ = 0;
    return;
  }
  if (down_wait_ == 0) {
    base::emit(event(Event::submit_down), {{"server", settings.reinject.server}, {"reason", reason}});
  }
  down_wait_ = down_wait_ == 0 ? kFirstDownWait : std::min(down_wait_ * 2, kLongestDownWait);
}

Courier::Turn Courier::submit(store::Store& store, const store::Outgoing& mail, const Settings& settings) {
  if (settings.reinject.server.empty()) return later(store, mail, settings, "postern.yaml has no reinject.server");
  auto key = service_.mark_key();
  if (!key) return later(store, mail, settings, key.error().text());
  auto content = store.content(mail.content);
  if (!content) return unreadable(store, mail, settings, content.error());
  submit::SmtpServer server = settings.reinject.smtp;
  server.name = settings.hostname;
  if (client_ == nullptr || !(client_->server() == server)) client_ = std::make_unique<submit::SmtpClient>(server);

  const uint64_t mid = mail.mid != 0 ? mail.mid : service_.next_id();
  const submit::OwnMail own{{std::string(store::mail_kind_name(mail.kind)), mid, 0, mail.flow, mail.host},
                            mail.from,
                            mail.recipients,
                            *content};
  std::vector<std::string> unserved = mail.recipients;
  bool reached = false;
  // What fails here is written down again at the end.
  const auto results = submit::submit_own(*client_, **key, own, abort_, reached, [&](size_t recipient) {
    std::erase(unserved, mail.recipients[recipient]);
    if (!unserved.empty()) (void)store.narrow(mail.id, unserved, now_seconds());
  });
  if (!reached) {
    server_state(false, settings, results.front().text);
    noted(store.retry(mail.id, now_seconds() + static_cast<int64_t>(down_wait_), results.front().text));
    return Turn::trouble;
  }
  server_state(true, settings, {});

  using What = submit::SmtpResult::What;
  std::vector<std::string> left;
  std::string refusal;
  std::string delay;
  std::string reply;
  for (size_t i = 0; i < results.size(); ++i) {
    const submit::SmtpResult& result = results[i];
    if (result.what == What::taken) {
      reply = result.text;
      continue;
    }
    left.push_back(mail.recipients[i]);
    (result.what == What::refused ? refusal : delay) = "<" + mail.recipients[i] + "> " + result.text;
  }
  if (left.size() < mail.recipients.size()) {
    base::emit(event(Event::mail_submitted), {{"mid", std::to_string(mid)},
                                              {"kind", store::mail_kind_name(mail.kind)},
                                              {"cause", std::to_string(mail.cause_mid)},
                                              {"reply", reply}});
    if (left.empty()) return noted(store.sent(mail.id));
    if (auto done = store.narrow(mail.id, left, now_seconds()); !done) return noted(done);
  }
  return delay.empty() ? failed(store, mail, refusal) : later(store, mail, settings, delay);
}

}  // namespace postern::milter
