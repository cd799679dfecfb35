// SPDX-License-Identifier: Apache-2.0
// Consumers' verbs, and where each request goes. Nothing here fails for a peer's input but by an answer.
#include "keystore/service.h"

#include "keystore/events.h"
#include "keystore/reports.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {
namespace {

constexpr size_t kListPage = 40u << 10;  // bytes of one page, below kMaxFrame with room for one long entry

By by_of(const Peer& peer) { return {peer.uid, peer.gid, peer.pid, peer.class_name}; }

template <class T>
std::unexpected<base::Error> pass_on(base::Result<T>& result) {
  return std::unexpected(std::move(result.error()));
}

}  // namespace

Service::Service(Vault& vault, uint32_t workers)
    : vault_(vault), sessions_(workers), started_(std::chrono::steady_clock::now()) {
  vault_.on_zeroised = [this] {
    end_session("zeroised");
    if (server_ != nullptr) server_->last_word({0, Status::zeroised, std::string(kZeroisedWord)}, asking_);
  };
}

Service::~Service() { wipe(blob_.bytes); }

Reply Service::handle(const Peer& peer, const Request& request, uint32_t worker,
                      std::chrono::steady_clock::time_point) {
  if (worker == kOfficerLane) return officer(peer, request);
  Answer answer = consumer(peer, request, worker);
  if (answer) return {request.header.id, Status::ok, std::move(*answer)};
  return {request.header.id, status_for(vault_, answer.error()), std::move(answer.error()).text()};
}

void Service::refused(const Peer& peer, std::string_view why) {
  base::emit(event(Event::peer_refused), {{"socket", peer.class_name},
                                          {"uid", std::to_string(peer.uid)},
                                          {"pid", std::to_string(peer.pid)},
                                          {"reason", why}});
}

Service::Answer Service::consumer(const Peer& peer, const Request& request, uint32_t worker) {
  switch (request.header.verb) {
    case Verb::ping:
      return std::string(request.body);
    case Verb::status:
      return status(peer);
    case Verb::list:
      return list(peer, request.body);
    case Verb::describe:
      return describe(peer, request.body);
    case Verb::certificate:
      return certificate(peer, request.body);
    case Verb::sign:
      return sign(peer, request.body, worker);
    case Verb::decrypt:
      return decrypt(peer, request.body, worker);
    default:
      return base::fail(base::Cause::denied, "this is for the officer socket");
  }
}

// A worker's session is made by the worker itself and used by nobody else.
static Session& session_of(std::vector<std::unique_ptr<Session>>& sessions, Vault& vault, uint32_t worker) {
  if (sessions[worker] == nullptr) sessions[worker] = vault.token().session();
  return *sessions[worker];
}

Service::Answer Service::sign(const Peer& peer, std::string_view body, uint32_t worker) {
  auto asked = SignBody::decode(body);
  if (!asked) return pass_on(asked);
  if (auto ready = vault_.usable(); !ready) return pass_on(ready);
  const auto catalogue = vault_.catalogue();
  const KeyEntry* key = catalogue->find(asked->key);
  if (auto allowed = check_sign(*vault_.settings(), peer.class_name, key, *asked); !allowed) {
    note_refused(peer, "sign", asked->key, allowed.error());
    return pass_on(allowed);
  }
  return vault_.sign(session_of(sessions_, vault_, worker), *key, *asked, by_of(peer));
}

Service::Answer Service::decrypt(const Peer& peer, std::string_view body, uint32_t worker) {
  auto asked = DecryptBody::decode(body);
  if (!asked) return pass_on(asked);
  if (auto ready = vault_.usable(); !ready) return pass_on(ready);
  const auto catalogue = vault_.catalogue();
  const KeyEntry* key = catalogue->find(asked->key);
  if (auto allowed = check_decrypt(*vault_.settings(), peer.class_name, key, *asked); !allowed) {
    note_refused(peer, "decrypt", asked->key, allowed.error());
    return pass_on(allowed);
  }
  auto plain = vault_.decrypt(session_of(sessions_, vault_, worker), *key, *asked, by_of(peer));
  if (!plain) return pass_on(plain);
  return std::string(plain->view());
}

Service::Answer Service::describe(const Peer& peer, std::string_view body) {
  auto asked = NameBody::decode(body);
  if (!asked) return pass_on(asked);
  if (auto there = vault_.has_catalogue(); !there) return pass_on(there);
  const auto catalogue = vault_.catalogue();
  const KeyEntry* key = catalogue->find(asked->name);
  if (auto allowed = check_describe(*vault_.settings(), peer.class_name, key); !allowed) {
    note_refused(peer, "describe", asked->name, allowed.error());
    return pass_on(allowed);
  }
  if (!key->has_key) return base::fail(base::Cause::not_found, "'" + key->name + "' is a certificate without a key");
  return DescribeReply{static_cast<uint8_t>(key->ref.type), key->bits, key->ref.spki}.encode();
}

Service::Answer Service::certificate(const Peer& peer, std::string_view body) {
  auto asked = NameBody::decode(body);
  if (!asked) return pass_on(asked);
  if (auto there = vault_.has_catalogue(); !there) return pass_on(there);
  const auto catalogue = vault_.catalogue();
  const KeyEntry* entry = catalogue->find(asked->name);
  if (!peer.officer_socket) {
    if (auto allowed = check_describe(*vault_.settings(), peer.class_name, entry); !allowed) return pass_on(allowed);
  }
  if (entry == nullptr || entry->chain.empty()) {
    return base::fail(base::Cause::not_found, "there is no certificate '" + std::string(asked->name) + "'");
  }
  return entry->chain;
}

Service::Answer Service::list(const Peer& peer, std::string_view body) {
  auto asked = ListPage::decode(body);
  if (!asked) return pass_on(asked);
  if (auto there = vault_.has_catalogue(); !there) return pass_on(there);
  const auto catalogue = vault_.catalogue();
  const auto settings = vault_.settings();
  std::string page = "[";
  uint32_t index = 0;
  uint32_t next = 0;
  for (const auto& [name, entry] : catalogue->entries) {
    if (!peer.officer_socket && !visible(*settings, peer.class_name, entry)) continue;
    if (index++ < asked->from) continue;
    std::string row = entry_json(entry);
    if (page.size() > 1 && page.size() + row.size() > kListPage) {
      next = index - 1;
      break;
    }
    if (page.size() > 1) page += ',';
    page += row;
  }
  page += ']';
  if (page.size() > kMaxChunk) return base::fail(base::Cause::limit, "an entry is too long to list");
  return ListPage{asked->from, next, page}.encode();
}

std::string Service::status(const Peer& peer) {
  const auto up = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  const Server::Counters counters = server_ != nullptr ? server_->counters() : Server::Counters{};
  return status_json(vault_, counters, static_cast<uint64_t>(up.count()), session_open_.load(), peer.officer_socket);
}

}  // namespace postern::keystore
