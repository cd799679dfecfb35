// SPDX-License-Identifier: Apache-2.0
// Token operations: what is asked of the token, on which session, and whether it is asked again after a fault. See
// pkcs11_token.h for the rules, recovery.cc for how the token is opened.
#include "keystore/token/token.h"

#include <algorithm>
#include <optional>
#include <type_traits>

#include "keystore/token/pkcs11_token.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

namespace {

// How long an operation waits to get in while another thread opens the token again.
constexpr std::chrono::seconds kShortWait{2};

constexpr size_t kMaxObjects = 200000;
constexpr size_t kMaxLabel = 255;

Pkcs11Session& ours(Session& session) { return static_cast<Pkcs11Session&>(session); }

}  // namespace

Result<std::unique_ptr<Token>> Token::open(const TokenOptions& options) {
  if (options.label.empty() || options.label.size() > 32) {
    return fail(Cause::misconfigured, "token: a label has 1 to 32 bytes");
  }
  auto module = Module::load(options);
  if (!module) return std::unexpected(module.error());
  auto token = std::make_unique<Pkcs11Token>(options, std::move(*module));
  if (auto started = token->start(); !started) return std::unexpected(started.error());
  return token;
}

Pkcs11Token::Pkcs11Token(TokenOptions options, Module module)
    : options_(std::move(options)),
      module_(std::move(module)),
      writer_(std::make_unique<Pkcs11Session>(*this, /*writes=*/true)) {}

Pkcs11Token::~Pkcs11Token() {
  forget();
  writer_.reset();
  module_.end();
}

Pkcs11Session::~Pkcs11Session() {
  Inside inside(token_.gate_, Gate::Clock::now() + kShortWait);
  if (inside) token_.close_session(*this);
}

std::unique_ptr<Session> Pkcs11Token::session() { return std::make_unique<Pkcs11Session>(*this, /*writes=*/false); }

// Here and not when the session was made, so that one made while the token was away works when it is back.
Outcome<Calls> Pkcs11Token::ready(Pkcs11Session& session) {
  if (session.handle_ == CK_INVALID_HANDLE || session.generation_ != generation_) {
    session.handle_ = CK_INVALID_HANDLE;
    CK_FLAGS flags = CKF_SERIAL_SESSION | (session.writes_ ? CKF_RW_SESSION : 0);
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    CK_RV rv = module_.calls().C_OpenSession(slot_, flags, nullptr, nullptr, &handle);
    if (rv != CKR_OK) return call_failed("C_OpenSession", rv);
    session.handle_ = handle;
    session.generation_ = generation_;
  }
  return Calls{module_.calls(), session.handle_, listing_};
}

void Pkcs11Token::close_session(Pkcs11Session& session) {
  if (session.handle_ != CK_INVALID_HANDLE && session.generation_ == generation_) {
    (void)module_.calls().C_CloseSession(session.handle_);
  }
  session.handle_ = CK_INVALID_HANDLE;
}

// An operation may still be active in the session, which only closing it ends for certain. A handle that is no longer
// ours must not be closed: it may be somebody else's by now.
void Pkcs11Token::after_fault(Pkcs11Session& session, const Fault& fault) {
  if (fault.rv == CKR_OK) return;
  if (session_is_gone(fault.rv)) session.handle_ = CK_INVALID_HANDLE;
  close_session(session);
}

template <class T, class Work>
Result<T> Pkcs11Token::run(Pkcs11Session& session, Again again, Stay stay, Work work) {
  bool tried = false;
  for (int round = 0; round < 3; ++round) {
    std::optional<Fault> fault;
    uint64_t seen = 0;
    {
      std::optional<Inside> inside;
      std::optional<Alone> alone;
      auto deadline = Gate::Clock::now() + kShortWait;
      if (stay == Stay::alone ? !alone.emplace(gate_, deadline) : !inside.emplace(gate_, deadline)) {
        return fail(Cause::unavailable, "the token is busy");
      }
      seen = generation_;
      if (usable_) {
        Outcome<T> outcome = [&]() -> Outcome<T> {
          auto calls = ready(session);
          if (!calls) return std::unexpected(std::move(calls.error()));
          return work(*calls);
        }();
        if (outcome) {
          if (!proven_.load(std::memory_order_relaxed)) proven_.store(true, std::memory_order_relaxed);
          if constexpr (std::is_void_v<T>) {
            return {};
          } else {
            return std::move(*outcome);
          }
        }
        fault = std::move(outcome.error());
        after_fault(session, *fault);
      } else if (pin_.empty() || Gate::Clock::now() < next_try_) {
        return std::unexpected(last_error_);
      }
    }
    if (fault && fault->repair == Repair::none) return std::unexpected(fault->error);
    // Also when this operation ends here: the next one then finds the token repaired.
    auto opened = reopen(seen, fault ? fault->repair : Repair::none);
    if (fault && (tried || (again == Again::if_untouched && !fault->untouched))) return std::unexpected(fault->error);
    if (!opened) return std::unexpected(opened.error());
    tried = tried || fault.has_value();
  }
  return fail(Cause::unavailable, "the token does not stay open");
}

Outcome<std::shared_ptr<const FoundKey>> Pkcs11Token::lookup(const Calls& calls, const KeyRef& key) {
  {
    std::lock_guard lock(keys_mutex_);
    auto at = keys_.find(key.id);
    if (at != keys_.end() && at->second->pub.spki() == key.spki) return at->second;
  }
  auto found = find_key(calls, key);
  if (found) remember(key, *found);
  return found;
}

void Pkcs11Token::remember(const KeyRef& key, std::shared_ptr<const FoundKey> found) {
  std::lock_guard lock(keys_mutex_);
  keys_[key.id] = std::move(found);
}

template <class Work>
Result<KeyRef> Pkcs11Token::make(const KeyId& id, Work work) {
  std::lock_guard writing(writing_);
  bool begun = false;
  auto made = run<KeyRef>(*writer_, Again::if_untouched, Stay::with_others, [&](const Calls& calls) -> Outcome<KeyRef> {
    auto taken = any_object(calls, id);
    if (!taken) {
      taken.error().untouched = true;
      return std::unexpected(std::move(taken.error()));
    }
    if (*taken) return refused(Cause::denied, "the token has an object with this id");
    begun = true;
    Outcome<PublicKey> pub = work(calls);
    if (!pub) {
      pub.error().untouched = false;
      return std::unexpected(std::move(pub.error()));
    }
    return KeyRef{id, pub->type(), pub->spki()};
  });
  if (!made && begun) {
    (void)run<void>(*writer_, Again::always, Stay::alone,
                    [&](const Calls& calls) { return destroy_objects(calls, id); });
  }
  return made;
}

Result<KeyRef> Pkcs11Token::generate(const KeyId& id, std::string_view label, KeyType type, uint32_t bits,
                                     bool extractable) {
  if (label.size() > kMaxLabel) return fail(Cause::malformed, "the label is too long");
  if (type == KeyType::rsa && (bits < kMinRsaBits || bits > kMaxRsaBits || bits % 8 != 0)) {
    return fail(Cause::malformed, "RSA keys have 2048 to 4096 bits");
  }
  KeyPlan plan{id, label, extractable, true};
  return make(id, [&](const Calls& calls) { return generate_pair(calls, plan, type, bits); });
}

Result<KeyRef> Pkcs11Token::import(const KeyId& id, std::string_view label, const Secret& pkcs8, bool extractable) {
  if (label.size() > kMaxLabel) return fail(Cause::malformed, "the label is too long");
  auto key = read_pkcs8(pkcs8);
  if (!key) return std::unexpected(key.error());
  KeyPlan plan{id, label, extractable, true};
  return make(id, [&](const Calls& calls) -> Outcome<PublicKey> {
    auto created = create_private(calls, plan, *key);
    if (!created) return std::unexpected(std::move(created.error()));
    if (auto other = create_public(calls, plan, key->pub); !other) return std::unexpected(std::move(other.error()));
    return key->pub;
  });
}

// Alone, since a module may give the handle of a destroyed object to the next one: nobody must be about to use it.
Result<void> Pkcs11Token::destroy(const KeyId& id) {
  std::lock_guard writing(writing_);
  return run<void>(*writer_, Again::always, Stay::alone, [&](const Calls& calls) {
    {
      std::lock_guard lock(keys_mutex_);
      keys_.erase(id);
    }
    return destroy_objects(calls, id);
  });
}

Result<Secret> Pkcs11Token::wrap(const KeyRef& key) {
  std::lock_guard writing(writing_);
  return run<Secret>(*writer_, Again::always, Stay::with_others, [&](const Calls& calls) -> Outcome<Secret> {
    auto found = lookup(calls, key);
    if (!found) return std::unexpected(std::move(found.error()));
    return wrap_private(calls, **found);
  });
}

// Looks at the token itself, not at what is remembered of it; and remembers, so that the first signature after an
// unlock need not search, which waits while a key is being made.
Result<void> Pkcs11Token::find(const KeyRef& key) {
  std::lock_guard writing(writing_);
  return run<void>(*writer_, Again::always, Stay::with_others, [&](const Calls& calls) -> Outcome<void> {
    auto found = find_key(calls, key);
    if (!found) return std::unexpected(std::move(found.error()));
    remember(key, std::move(*found));
    return {};
  });
}

Result<std::vector<KeyId>> Pkcs11Token::strangers(const std::vector<KeyId>& known) {
  std::vector<KeyId> sorted = known;
  std::sort(sorted.begin(), sorted.end());
  std::lock_guard writing(writing_);
  return run<std::vector<KeyId>>(*writer_, Again::always, Stay::with_others,
                                 [&](const Calls& calls) -> Outcome<std::vector<KeyId>> {
                                   Template what;
                                   what.flag(CKA_TOKEN, true);
                                   auto all = find_objects(calls, what, kMaxObjects);
                                   if (!all) return std::unexpected(std::move(all.error()));
                                   std::vector<KeyId> found;
                                   for (CK_OBJECT_HANDLE object : *all) {
                                     auto value = attribute(calls, object, CKA_ID);
                                     if (!value) return std::unexpected(std::move(value.error()));
                                     KeyId id{};
                                     if (!*value || (*value)->size() != id.size()) continue;
                                     std::copy((*value)->begin(), (*value)->end(), id.begin());
                                     if (!std::binary_search(sorted.begin(), sorted.end(), id)) found.push_back(id);
                                   }
                                   std::sort(found.begin(), found.end());
                                   found.erase(std::unique(found.begin(), found.end()), found.end());
                                   return found;
                                 });
}

Result<std::string> Pkcs11Token::sign(Session& session, const KeyRef& key, SignAlgorithm algorithm, Hash hash,
                                      std::string_view input) {
  return run<std::string>(ours(session), Again::always, Stay::with_others,
                          [&](const Calls& calls) -> Outcome<std::string> {
                            auto found = lookup(calls, key);
                            if (!found) return std::unexpected(std::move(found.error()));
                            return sign_with(calls, (*found)->handle, (*found)->pub, algorithm, hash, input);
                          });
}

Result<Secret> Pkcs11Token::decrypt_raw(Session& session, const KeyRef& key, std::string_view ciphertext) {
  return run<Secret>(ours(session), Again::always, Stay::with_others, [&](const Calls& calls) -> Outcome<Secret> {
    auto found = lookup(calls, key);
    if (!found) return std::unexpected(std::move(found.error()));
    return decrypt_with(calls, **found, ciphertext);
  });
}

Result<std::string> Pkcs11Token::sign_once(Session& session, const Secret& pkcs8, SignAlgorithm algorithm, Hash hash,
                                           std::string_view input) {
  auto key = read_pkcs8(pkcs8);
  if (!key) return std::unexpected(key.error());
  KeyPlan plan;
  plan.label = "self-test";
  plan.stays = false;
  std::lock_guard writing(writing_);
  return run<std::string>(ours(session), Again::always, Stay::with_others,
                          [&](const Calls& calls) -> Outcome<std::string> {
                            auto handle = create_private(calls, plan, *key);
                            if (!handle) return std::unexpected(std::move(handle.error()));
                            auto signature = sign_with(calls, *handle, key->pub, algorithm, hash, input);
                            CK_RV rv = calls.pkcs11.C_DestroyObject(calls.session, *handle);
                            if (signature && rv != CKR_OK) return call_failed("C_DestroyObject", rv);
                            return signature;
                          });
}

}  // namespace postern::keystore
