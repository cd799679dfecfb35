// SPDX-License-Identifier: Apache-2.0
// Officer verbs. One thread runs all of this, one request after another: login attempts are taken in turn, their delays
// hold up nobody else, and nothing here needs a lock.
#include <cerrno>
#include <ctime>

#include "keystore/events.h"
#include "keystore/reports.h"
#include "keystore/service.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {
namespace {

By by_of(const Peer& peer) { return {peer.uid, peer.gid, peer.pid, peer.class_name}; }

Reply refusal(uint32_t id, Status status, std::string text) { return {id, status, std::move(text)}; }

template <class T>
std::unexpected<base::Error> pass_on(base::Result<T>& result) {
  return std::unexpected(std::move(result.error()));
}

}  // namespace

// wait holds back an answer so that guessing is slow and visible.
void Service::wait(uint32_t seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!stopping_.load() && std::chrono::steady_clock::now() < until) {
    const timespec slice{0, 50'000'000};
    ::nanosleep(&slice, nullptr);
  }
}

void Service::end_session(std::string_view reason) {
  if (!session_) return;
  base::emit(
      event(Event::officer_ended),
      {{"uid", std::to_string(session_->by.uid)}, {"pid", std::to_string(session_->by.pid)}, {"reason", reason}});
  session_.reset();
  session_open_.store(false);
  vault_.officer_session(false);
}

void Service::closed(const Peer& peer) {
  if (session_ && session_->connection == peer.connection) end_session("connection closed");
  if (blob_.connection == peer.connection) {
    wipe(blob_.bytes);
    blob_ = {};
  }
}

void Service::idle() {
  if (session_) {
    const auto limit = std::chrono::seconds(vault_.settings()->officer_idle);
    if (std::chrono::steady_clock::now() - session_->last > limit) {
      const uint64_t connection = session_->connection;
      end_session("idle");
      server_->send_last_word(connection, {0, Status::login_required, "the officer session ended: it was idle"});
    }
  }
  vault_.tick();
}

Reply Service::officer(const Peer& peer, const Request& request) {
  const uint32_t id = request.header.id;
  asking_ = peer.connection;
  switch (request.header.verb) {
    case Verb::login:
      return login(peer, request);
    case Verb::initialise:
      return initialise(peer, request);
    case Verb::audit_read: {
      // The officer's socket may read the audit log without a password: whoever watches must not need to hold it.
      auto asked = AuditPage::decode(request.body);
      if (!asked) return refusal(id, Status::malformed, asked.error().text());
      uint64_t next = asked->from;
      auto text = vault_.audit().read(asked->from, kMaxChunk, next);
      if (!text) return refusal(id, from_error(text.error()), text.error().text());
      return {id, Status::ok, AuditPage{asked->from, next, *text}.encode()};
    }
    default:
      break;
  }
  if (auto there = vault_.has_catalogue(); !there) {
    return refusal(id, status_for(vault_, there.error()), there.error().text());
  }
  if (!session_ || session_->connection != peer.connection) {
    return refusal(id, Status::login_required, "log in first");
  }
  session_->last = std::chrono::steady_clock::now();
  if (request.header.verb == Verb::zeroise) return zeroise(peer, request);
  if (request.header.verb == Verb::logout) {
    end_session("logout");
    return {id, Status::ok, {}};
  }
  const By by = session_->by;
  Answer answer = officer_verb(by, peer, request);
  if (session_ && session_->connection == peer.connection) session_->last = std::chrono::steady_clock::now();
  if (answer) return {id, Status::ok, std::move(*answer)};
  if (answer.error().cause() == base::Cause::denied && names_a_key(request)) {
    return refusal(id, Status::exists, answer.error().text());
  }
  return refusal(id, status_for(vault_, answer.error()), answer.error().text());
}

// names_a_key tells whether a request to make a key names one that is there already.
bool Service::names_a_key(const Request& request) const {
  std::string_view name;
  if (request.header.verb == Verb::generate_key) {
    if (const auto asked = GenerateBody::decode(request.body)) name = asked->name;
  } else if (request.header.verb == Verb::import_key) {
    if (const auto asked = ImportBody::decode(request.body)) name = asked->name;
  }
  const auto catalogue = vault_.catalogue();
  const KeyEntry* entry = catalogue->find(name);
  return entry != nullptr && entry->has_key;
}

Reply Service::login(const Peer& peer, const Request& request) {
  const uint32_t id = request.header.id;
  auto asked = SecretBody::decode(request.body);
  if (!asked) return refusal(id, Status::malformed, asked.error().text());
  if (auto there = vault_.has_catalogue(); !there) {
    return refusal(id, status_for(vault_, there.error()), there.error().text());
  }
  // Refused before the password is looked at, so it does not count.
  if (session_ && session_->connection != peer.connection) {
    return refusal(id, Status::busy, "an officer session of process " + std::to_string(session_->by.pid) + " is open");
  }
  const uint32_t failed_before = vault_.failures();
  auto outcome = vault_.login(asked->password, asked->reported_address, by_of(peer));
  if (!outcome) return refusal(id, status_for(vault_, outcome.error()), outcome.error().text());
  if (outcome->zeroise) return refusal(id, Status::zeroised, std::string(kZeroisedText));
  if (!outcome->accepted) {
    if (session_) end_session("wrong password");
    wait(outcome->delay_seconds);
    return refusal(id, Status::wrong_password, wrong_password_text(*outcome));
  }
  session_ = OfficerSession{peer.connection, by_of(peer), std::chrono::steady_clock::now()};
  session_open_.store(true);
  vault_.officer_session(true);
  return {id, Status::ok, login_json(vault_, failed_before)};
}

Reply Service::initialise(const Peer& peer, const Request& request) {
  auto asked = SecretBody::decode(request.body);
  if (!asked) return refusal(request.header.id, Status::malformed, asked.error().text());
  if (auto done = vault_.initialise(asked->password, asked->extra, by_of(peer)); !done) {
    return refusal(request.header.id, status_for(vault_, done.error()), done.error().text());
  }
  return {request.header.id, Status::ok, login_json(vault_, 0)};
}

Reply Service::zeroise(const Peer& peer, const Request& request) {
  // The session may have been left alone: the password is asked once more, and counts.
  auto asked = SecretBody::decode(request.body);
  if (!asked) return refusal(request.header.id, Status::malformed, asked.error().text());
  auto outcome = vault_.login(asked->password, asked->reported_address, by_of(peer));
  if (!outcome) return refusal(request.header.id, status_for(vault_, outcome.error()), outcome.error().text());
  if (!outcome->accepted && !outcome->zeroise) {
    end_session("wrong password");
    wait(outcome->delay_seconds);
    return refusal(request.header.id, Status::wrong_password, wrong_password_text(*outcome));
  }
  if (outcome->accepted) vault_.zeroise("asked for by the officer", by_of(peer));
  if (vault_.condition() == Condition::zeroising) {
    return {request.header.id, Status::ok,
            R"({"state":"zeroising","warnings":["the token does not answer: it is erased as soon as it does"]})"};
  }
  return {request.header.id, Status::ok, R"({"state":"zeroised","warnings":[]})"};
}

Service::Answer Service::officer_verb(const By& by, const Peer& peer, const Request& request) {
  const std::string_view body = request.body;
  const auto done = [](base::Result<void> result) -> Answer {
    if (!result) return std::unexpected(std::move(result.error()));
    return std::string("{}");
  };
  switch (request.header.verb) {
    case Verb::change_password: {
      auto asked = SecretBody::decode(body);
      if (!asked) return pass_on(asked);
      auto changed = vault_.change_password(asked->extra, asked->password, by);
      if (!changed && vault_.condition() != Condition::officer) end_session("wrong password");
      return done(std::move(changed));
    }
    case Verb::generate_key:
      return generate(by, body);
    case Verb::import_key:
      return import_key(by, body);
    case Verb::destroy_key: {
      auto asked = NameBody::decode(body);
      return asked ? done(vault_.destroy(asked->name, by)) : Answer(pass_on(asked));
    }
    case Verb::make_request:
    case Verb::self_sign: {
      auto asked = SubjectBody::decode(body);
      if (!asked) return pass_on(asked);
      const x509::Subject subject{std::string(asked->subject), x509::split_names(asked->names)};
      return request.header.verb == Verb::make_request ? vault_.make_request(asked->name, subject, by)
                                                       : vault_.self_sign(asked->name, subject, asked->days, by);
    }
    case Verb::put_certificate: {
      auto asked = PutCertificateBody::decode(body);
      return asked ? done(vault_.put_certificate(asked->name, asked->chain, by)) : Answer(pass_on(asked));
    }
    case Verb::drop_certificate: {
      auto asked = NameBody::decode(body);
      return asked ? done(vault_.drop_certificate(asked->name, by)) : Answer(pass_on(asked));
    }
    case Verb::distrust: {
      auto asked = DistrustBody::decode(body);
      return asked ? done(vault_.distrust(asked->add != 0, asked->entry, by)) : Answer(pass_on(asked));
    }
    case Verb::backup:
      return backup(by, peer, body);
    case Verb::restore:
      return restore(by, peer, body);
    case Verb::blob_get:
      return blob_get(by, peer, body);
    case Verb::blob_put:
      return blob_put(peer, body);
    case Verb::self_test:
    case Verb::clear_error:
      return self_test_json(vault_.run_tests());
    default:
      return base::fail(base::Cause::malformed, "this verb is not for an officer session");
  }
}

Service::Answer Service::generate(const By& by, std::string_view body) {
  auto asked = GenerateBody::decode(body);
  if (!asked) return pass_on(asked);
  const auto type = static_cast<x509::KeyType>(asked->type);
  auto made = vault_.generate({std::string(asked->name), type, asked->bits, asked->uses, asked->backup != 0}, by);
  if (!made) return pass_on(made);
  return entry_json(**made);
}

Service::Answer Service::import_key(const By& by, std::string_view body) {
  auto asked = ImportBody::decode(body);
  if (!asked) return pass_on(asked);
  NewKey key;
  key.name = asked->name;
  key.uses = asked->uses;
  key.backup = asked->backup != 0;
  auto made = vault_.import_key(key, Secret(asked->pkcs8), asked->chain, by);
  if (!made) return pass_on(made);
  return entry_json(**made);
}

Service::Answer Service::backup(const By& by, const Peer& peer, std::string_view body) {
  auto asked = SecretBody::decode(body);
  if (!asked) return pass_on(asked);
  if (auto good = check_password_policy(asked->password, "officer"); !good) return pass_on(good);
  auto made = vault_.backup(Secret(asked->password), by);
  if (!made) return pass_on(made);
  const std::string report = backup_json(*made);
  blob_ = {peer.connection, std::move(made->file), 0, std::move(made->keys)};
  blob_.total = static_cast<uint32_t>(blob_.bytes.size());
  return report;
}

Service::Answer Service::blob_get(const By& by, const Peer& peer, std::string_view body) {
  auto asked = BlobPiece::decode(body);
  if (!asked) return pass_on(asked);
  if (blob_.connection != peer.connection || asked->offset >= blob_.bytes.size()) {
    return base::fail(base::Cause::not_found, "there is nothing to fetch there");
  }
  const std::string_view piece = std::string_view(blob_.bytes).substr(asked->offset, kMaxChunk);
  if (asked->offset + piece.size() == blob_.bytes.size() && !blob_.backup_keys.empty()) {
    if (auto kept = vault_.backup_kept(std::exchange(blob_.backup_keys, {}), by); !kept) return pass_on(kept);
  }
  return BlobPiece{asked->offset, blob_.total, piece}.encode();
}

Service::Answer Service::blob_put(const Peer& peer, std::string_view body) {
  auto asked = BlobPiece::decode(body);
  if (!asked) return pass_on(asked);
  if (asked->offset == 0) blob_ = {peer.connection, {}, asked->total, {}};
  if (blob_.connection != peer.connection || asked->offset != blob_.bytes.size() || asked->total != blob_.total) {
    return base::fail(base::Cause::malformed, "pieces must come in order, from the first on");
  }
  if (asked->total > kMaxBlob || asked->data.size() > asked->total - asked->offset) {
    return base::fail(base::Cause::limit, "more than was announced, or over 16 MiB");
  }
  blob_.bytes += asked->data;
  return std::string("{}");
}

Service::Answer Service::restore(const By& by, const Peer& peer, std::string_view body) {
  auto asked = SecretBody::decode(body);
  if (!asked) return pass_on(asked);
  if (blob_.connection != peer.connection || blob_.bytes.empty() || blob_.bytes.size() != blob_.total) {
    return base::fail(base::Cause::malformed, "send the whole backup file first");
  }
  const Blob file = std::exchange(blob_, {});
  auto restored = vault_.restore(file.bytes, Secret(asked->password), by);
  if (!restored) return pass_on(restored);
  return "{\"keys\":" + std::to_string(*restored) + "}";
}

}  // namespace postern::keystore
