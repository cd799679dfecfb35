// SPDX-License-Identifier: Apache-2.0
// Profile: cache, then servers in order. A batch of questions goes to one server; what that one could not answer goes
// to the next.
#include "engine/directory/directory.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "engine/base/limits.h"
#include "engine/base/text.h"
#include "engine/directory/cache.h"
#include "engine/directory/server.h"

namespace postern::directory {
namespace {

using base::Cause;
using base::fail;

// unescape_url undoes %XX; nullopt when it is broken or hides a control byte.
std::optional<std::string> unescape_url(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc() || end != text.data() + i + 3 || value < 0x20) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::string_view local_part(std::string_view address) { return address.substr(0, address.rfind('@')); }
std::string_view domain_part(std::string_view address) {
  const size_t at = address.rfind('@');
  return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

}  // namespace

base::Result<ServerUrl> read_server_url(std::string_view text) {
  ServerUrl url;
  url.text = text;
  std::string_view rest = text;
  const auto scheme = [&rest](std::string_view prefix) {
    if (!base::istarts_with(rest, prefix)) return false;
    rest.remove_prefix(prefix.size());
    return true;
  };
  if (scheme("ldapi://")) {
    url.kind = ServerUrl::Kind::ldapi;
    url.port = 0;
    const auto path = unescape_url(rest);
    if (!path || !path->starts_with('/'))
      return fail(Cause::malformed, "a path is expected, for example ldapi:///run/slapd/ldapi");
    url.host = *path;
    return url;
  }
  if (scheme("ldaps://")) {
    url.kind = ServerUrl::Kind::ldaps;
    url.port = 636;
  } else if (!scheme("ldap://")) {
    return fail(Cause::malformed, "ldap://HOST, ldaps://HOST or ldapi://PATH is expected");
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  std::string_view port;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return fail(Cause::malformed, "']' is missing");
    url.host = rest.substr(1, end - 1);
    port = rest.substr(end + 1);
  } else {
    const size_t colon = rest.find(':');
    url.host = rest.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : rest.substr(colon);
  }
  if (!port.empty()) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
    if (port.front() != ':' || error != std::errc() || end != port.data() + port.size() || number == 0 ||
        number > 65535) {
      return fail(Cause::malformed, "the port is no number from 1 to 65535");
    }
    url.port = static_cast<uint16_t>(number);
  }
  const bool good = !url.host.empty() && url.host.size() <= 253 && std::ranges::all_of(url.host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == ':';
  });
  if (!good) return fail(Cause::malformed, "no host name or address");
  return url;
}

struct Profile::State {
  State(const ProfileSettings& settings, KeySource source, EventSink events)
      : keys(std::move(source)),
        sink(std::move(events)),
        cache(settings.cache_entries, settings.cache_ttl, settings.negative_ttl) {
    for (const ServerUrl& url : settings.servers) servers.push_back(std::make_unique<Server>(settings, url));
  }

  KeySource keys;
  EventSink sink;
  std::vector<std::unique_ptr<Server>> servers;
  Cache cache;
  std::mutex tls_mutex;
  std::condition_variable tls_made;
  std::shared_ptr<const crypto::TlsClient> tls;
  bool tls_making = false;
  std::optional<base::Error> tls_failure;  // of the last attempt
  Clock::time_point tls_failed;
  // Shared with the profile of this name that a later load makes: who still uses the earlier one may see the outage
  // that the later one then sees the end of.
  std::shared_ptr<std::atomic<bool>> outage = std::make_shared<std::atomic<bool>>(false);
  std::atomic<uint32_t> turn{0};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> misses{0};
  std::atomic<uint64_t> failures{0};

  void tell(EventKind kind, const ProfileSettings& settings, std::string_view server, std::string_view reason) {
    if (sink) sink({kind, settings.name, server, reason});
  }
  void note_answer(const ProfileSettings& settings, Server& server) {
    if (server.succeeded()) tell(EventKind::server_up, settings, server.url().text, {});
    if (outage->load(std::memory_order_relaxed) && outage->exchange(false)) {
      tell(EventKind::recovery, settings, server.url().text, {});
    }
  }
  void note_failure(const ProfileSettings& settings, Server& server, const std::string& reason) {
    if (server.failed(reason, Clock::now())) tell(EventKind::server_down, settings, server.url().text, reason);
  }
  // Somebody else may have had an answer meanwhile.
  const Server* one_up() const {
    const auto up = std::ranges::find_if(servers, [](const auto& server) { return server->up(); });
    return up == servers.end() ? nullptr : up->get();
  }
  void note_outage(const ProfileSettings& settings, std::string_view reason) {
    if (one_up() != nullptr || outage->exchange(true)) return;
    tell(EventKind::outage, settings, {}, reason);
    if (const Server* up = one_up(); up != nullptr && outage->exchange(false)) {
      tell(EventKind::recovery, settings, up->url().text, {});
    }
  }
  base::Result<std::shared_ptr<const crypto::TlsClient>> tls_client(const ProfileSettings& settings, Deadline deadline);
  base::Result<std::shared_ptr<const crypto::TlsClient>> make_tls(const ProfileSettings& settings, Deadline deadline);
  base::Result<std::unique_ptr<Connection>> open(const ProfileSettings& settings, Server& server, Deadline deadline);
};

base::Result<std::shared_ptr<const crypto::TlsClient>> Profile::State::make_tls(const ProfileSettings& settings,
                                                                                Deadline deadline) {
  crypto::TlsOptions options;
  options.trusted = settings.trusted;
  options.certificate = settings.certificate;
  options.key = settings.key;
  options.distrust = settings.distrust;
  options.library = keys.library;
  if (settings.certificate.empty() && !settings.key.empty()) {
    auto chain = keys.chain ? keys.chain(settings.key, deadline)
                            : base::Result<std::string>(fail(Cause::misconfigured, "no source of keys"));
    if (!chain) return std::unexpected(std::move(chain.error()).in("the certificate of " + settings.key));
    options.chain = std::move(*chain);
  }
  auto made = crypto::TlsClient::make(options);
  if (!made) return std::unexpected(std::move(made.error()).in("TLS"));
  return std::move(*made);
}

// One caller makes it, which may take a while where fipsd is asked; the others wait for that, and no longer than they
// may. After a failure the next attempt is made a second later.
base::Result<std::shared_ptr<const crypto::TlsClient>> Profile::State::tls_client(const ProfileSettings& settings,
                                                                                  Deadline deadline) {
  constexpr std::chrono::seconds kPause{1};
  std::unique_lock<std::mutex> lock(tls_mutex);
  if (!tls_made.wait_until(lock, deadline, [&] { return tls != nullptr || !tls_making; })) {
    return fail(Cause::unavailable, "TLS: the keys are still being looked for");
  }
  if (tls != nullptr) return tls;
  if (tls_failure && Clock::now() - tls_failed < kPause) return std::unexpected(*tls_failure);
  tls_making = true;
  lock.unlock();
  base::Result<std::shared_ptr<const crypto::TlsClient>> made = fail(Cause::internal, "TLS");
  try {
    made = make_tls(settings, deadline);
  } catch (const std::exception& error) {
    made = fail(Cause::internal, std::string("TLS: ") + error.what());
  }
  lock.lock();
  tls_making = false;
  tls_failure.reset();
  if (made) {
    tls = *made;
  } else {
    tls_failure = made.error();
    tls_failed = Clock::now();
  }
  tls_made.notify_all();
  return made;
}

base::Result<std::unique_ptr<Connection>> Profile::State::open(const ProfileSettings& settings, Server& server,
                                                               Deadline deadline) {
  std::shared_ptr<const crypto::TlsClient> client;
  const ServerUrl::Kind kind = server.url().kind;
  if (kind == ServerUrl::Kind::ldaps || (kind == ServerUrl::Kind::ldap && settings.starttls)) {
    auto made = tls_client(settings, deadline);
    if (!made) return std::unexpected(std::move(made.error()));
    client = std::move(*made);
  }
  return Connection::open(settings, server.url(), client.get(),
                          std::min(deadline, Clock::now() + settings.connect_timeout));
}

Profile::Profile(ProfileSettings settings, KeySource keys, EventSink sink)
    : settings_(std::move(settings)), state_(std::make_unique<State>(settings_, std::move(keys), std::move(sink))) {
  Connection::start_library();
}

Profile::~Profile() = default;

const QuerySettings* Profile::query(std::string_view name) const {
  const auto found = std::ranges::find(settings_.queries, name, &QuerySettings::name);
  return found == settings_.queries.end() ? nullptr : &*found;
}

Found Profile::find(const QuerySettings& query, const Key& key, Deadline deadline) {
  return std::move(find(query, std::span<const Key>(&key, 1), deadline).front());
}

std::vector<Found> Profile::find(const QuerySettings& query, std::span<const Key> keys, Deadline deadline) {
  State& state = *state_;
  std::vector<Found> answers(keys.size(), Found(fail(Cause::unavailable, "no server answers")));
  std::vector<std::string> names(keys.size());
  std::vector<bool> settled(keys.size(), false);
  const auto settle = [&](size_t i) {
    auto none = std::make_shared<Answer>();
    none->values.resize(query.attributes.size());
    settled[i] = true;
    answers[i] = std::shared_ptr<const Answer>(std::move(none));
  };
  // No directory has an address that is too long to be one, and servers hang up on whoever asks about it.
  const bool with_sender = query.filter.uses(Token::sender) || (query.base && query.base->uses(Token::sender));
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool long_sender = with_sender && keys[i].sender.size() > base::kMaxAddress;
    if (keys[i].address.size() > base::kMaxAddress || long_sender) settle(i);
  }
  if (!query.dn_query.empty()) {
    const QuerySettings* first = this->query(query.dn_query);
    if (first == nullptr || first == &query || !first->dn_query.empty()) {
      for (Found& answer : answers)
        answer = fail(Cause::misconfigured, "query " + query.dn_query + " cannot give {dn}");
      return answers;
    }
    std::vector<Found> entries = find(*first, keys, deadline);
    for (size_t i = 0; i < keys.size(); ++i) {
      if (entries[i] && (*entries[i])->found) {
        names[i] = (*entries[i])->dn;
      } else if (entries[i]) {
        settle(i);
      } else {
        settled[i] = true;
        answers[i] = std::move(entries[i]);
      }
    }
  }

  // What the cache does not know, each question once however often it is asked.
  const Clock::time_point now = Clock::now();
  std::vector<Question> questions;
  std::vector<std::string> cache_keys;
  std::vector<std::vector<size_t>> askers;
  std::unordered_map<std::string, size_t> places;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (settled[i]) continue;
    const std::string_view address = keys[i].address;
    const Values values{address, local_part(address), domain_part(address), names[i], keys[i].group, keys[i].sender};
    Question question{query.base ? query.base->expand(values) : settings_.base, query.filter.expand(values), &query,
                      !query.base || query.base->constant()};
    std::string cache_key = query.name + '\0' + question.base + '\0' + question.filter;
    if (auto known = state.cache.find(cache_key, now); known != nullptr) {
      state.hits.fetch_add(1, std::memory_order_relaxed);
      answers[i] = std::move(known);
      continue;
    }
    const auto [place, fresh] = places.emplace(cache_key, questions.size());
    if (fresh) {
      questions.push_back(std::move(question));
      cache_keys.push_back(std::move(cache_key));
      askers.emplace_back();
    }
    askers[place->second].push_back(i);
  }
  if (questions.empty()) return answers;
  state.misses.fetch_add(questions.size(), std::memory_order_relaxed);

  std::vector<size_t> open(questions.size());
  for (size_t i = 0; i < open.size(); ++i) open[i] = i;
  std::string reason;
  bool tried_all = true;
  const size_t count = state.servers.size();
  const size_t begin = settings_.load_balance ? state.turn.fetch_add(1, std::memory_order_relaxed) % count : 0;
  for (size_t n = 0; n < count && !open.empty(); ++n) {
    Server& server = *state.servers[(begin + n) % count];
    if (Clock::now() >= deadline) {
      tried_all = false;
      break;
    }
    if (!server.enter(Clock::now())) {
      const ServerStatus status = server.status();
      if (reason.empty()) reason = status.url + ": " + status.reason;
      continue;
    }
    Server::Visit visit(server);
    // A connection that lay idle may be dead without a word; that says nothing about the server yet.
    for (bool again = true; again;) {
      again = false;
      bool reused = false;
      // Waiting for a connection that is in use is not the server's time.
      Clock::time_point started = Clock::now();
      const auto opener = [&] {
        started = Clock::now();
        return state.open(settings_, server, deadline);
      };
      auto connection = server.take(opener, deadline, reused);
      if (connection && *connection == nullptr) {
        reason = server.url().text + ": all connections are in use";
        tried_all = false;
        break;
      }
      if (!connection) {
        reason = server.url().text + ": " + connection.error().text();
        // Time that the caller did not have is not the server's fault.
        if (Clock::now() >= deadline && Clock::now() - started < settings_.connect_timeout) {
          tried_all = false;
        } else {
          visit.over();
          state.note_failure(settings_, server, connection.error().text());
        }
        break;
      }
      std::vector<Question> batch;
      std::vector<Found> got;
      bool timed_out = false;
      bool broken = false;
      {
        const Server::Lease lease(server, std::move(*connection));
        for (const size_t i : open) batch.push_back(questions[i]);
        started = Clock::now();
        got = lease.connection->ask(batch, deadline);
        timed_out = lease.connection->timed_out();
        broken = !lease.connection->usable();
      }
      server.count(batch.size());
      std::vector<size_t> left;
      std::string failure;
      std::string refusal;
      for (size_t k = 0; k < got.size(); ++k) {
        const size_t i = open[k];
        if (!got[k] && got[k].error().cause() == Cause::unavailable) {
          failure = got[k].error().text();
          left.push_back(i);
          continue;
        }
        if (got[k]) {
          state.cache.keep(cache_keys[i], *got[k], Clock::now());
        } else {
          state.tell(EventKind::bad_answer, settings_, server.url().text,
                     got[k].error().text() + ": " + questions[i].filter);
        }
        // Another server may have other limits.
        if (!got[k] && got[k].error().cause() == Cause::limit) {
          refusal = got[k].error().text();
          left.push_back(i);
          continue;
        }
        for (const size_t asker : askers[i]) answers[asker] = got[k];
      }
      const bool some = left.size() < open.size();
      open = std::move(left);
      if (failure.empty()) {
        visit.over();
        state.note_answer(settings_, server);
        if (!refusal.empty()) reason = server.url().text + ": " + refusal;
      } else if (reused && broken && !timed_out) {
        server.forget();
        again = true;
      } else if (timed_out && Clock::now() >= deadline && Clock::now() - started < settings_.timeout) {
        reason = server.url().text + ": " + failure;
        tried_all = false;
      } else {
        reason = server.url().text + ": " + failure;
        visit.over();
        if (some || !refusal.empty()) state.note_answer(settings_, server);
        state.note_failure(settings_, server, failure);
      }
    }
  }
  if (open.empty()) return answers;
  state.failures.fetch_add(open.size(), std::memory_order_relaxed);
  if (tried_all) state.note_outage(settings_, reason);
  for (const size_t i : open) {
    for (const size_t asker : askers[i])
      answers[asker] = fail(Cause::unavailable, "LDAP profile " + settings_.name + ": " + reason);
  }
  return answers;
}

Clock::time_point Profile::probe() {
  State& state = *state_;
  static const QuerySettings kProbe = [] {
    QuerySettings query;
    query.scope = Scope::base;
    query.any_entry = true;
    return query;
  }();
  bool any_up = false;
  std::string reason;
  for (const auto& server : state.servers) {
    if (server->due() <= Clock::now() && server->enter(Clock::now())) {
      Server::Visit visit(*server);
      bool reused = false;
      const Deadline deadline = Clock::now() + settings_.connect_timeout + settings_.timeout;
      auto connection = server->take([&] { return state.open(settings_, *server, deadline); }, deadline, reused);
      if (!connection) {
        visit.over();
        state.note_failure(settings_, *server, connection.error().text());
      } else if (*connection != nullptr) {
        const Question question{settings_.base, "(objectClass=*)", &kProbe, true};
        Found answer = fail(Cause::internal, "not asked");
        {
          const Server::Lease lease(*server, std::move(*connection));
          answer = std::move(lease.connection->ask({&question, 1}, deadline).front());
        }
        visit.over();
        if (!answer && answer.error().cause() == Cause::unavailable) {
          state.note_failure(settings_, *server, answer.error().text());
        } else {
          state.note_answer(settings_, *server);
        }
      }
    }
    const ServerStatus status = server->status();
    any_up = any_up || status.up;
    if (!status.up && reason.empty()) reason = status.url + ": " + status.reason;
  }
  if (!any_up) state.note_outage(settings_, reason);
  Clock::time_point next = Clock::time_point::max();
  for (const auto& server : state.servers) next = std::min(next, server->due());
  return next;
}

void Profile::inherit(const Profile& earlier) {
  for (const auto& server : state_->servers) {
    for (const auto& old : earlier.state_->servers) {
      if (server->url().text == old->url().text) server->inherit(*old);
    }
  }
  state_->outage = earlier.state_->outage;
}

ProfileStatus Profile::status() const {
  ProfileStatus out;
  out.name = settings_.name;
  out.outage = state_->outage->load();
  for (const auto& server : state_->servers) out.servers.push_back(server->status());
  out.hits = state_->hits;
  out.misses = state_->misses;
  out.failures = state_->failures;
  out.cached = state_->cache.size();
  return out;
}

}  // namespace postern::directory
