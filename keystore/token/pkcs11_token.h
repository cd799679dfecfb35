// SPDX-License-Identifier: Apache-2.0
// Pkcs11Token implements Token. Who may do what when:
//   - Every PKCS#11 call of an operation is made inside the gate, on a session that only the calling thread uses.
//   - With the gate closed one thread alone opens the token (all sessions closed, one new, login; or the module ended
//     and started first). It then raises `generation_`: handles of sessions and objects of an earlier one are never
//     used or closed again, since the module may have given the same number to somebody else.
//   - Fields marked (gate) are read inside the gate and written with it closed.
//   - `writing_` is taken before the gate by whoever makes or destroys objects: SoftHSM2 fails now and then when two
//     threads do.
// An operation that a fault ended leaves the gate, has the token opened again, and where that can do no harm is tried
// once more. Opening again happens at most once in `retry`; a token that worked in between gets new sessions, one that
// did not gets its module started anew.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "keystore/token/gate.h"
#include "keystore/token/module.h"
#include "keystore/token/objects.h"

namespace postern::keystore {

class Pkcs11Token;

class Pkcs11Session final : public Session {
 public:
  Pkcs11Session(Pkcs11Token& token, bool writes) : token_(token), writes_(writes) {}
  ~Pkcs11Session() override;

 private:
  friend class Pkcs11Token;
  Pkcs11Token& token_;
  const bool writes_;
  CK_SESSION_HANDLE handle_ = CK_INVALID_HANDLE;
  uint64_t generation_ = 0;
};

class Pkcs11Token final : public Token {
 public:
  Pkcs11Token(TokenOptions options, Module module);
  ~Pkcs11Token() override;

  base::Result<void> start();

  bool present() override;
  TokenIdentity identity() override;
  base::Result<void> initialise(const Secret& so_pin, const Secret& user_pin) override;
  base::Result<void> change_so_pin(const Secret& present, const Secret& next) override;
  base::Result<void> erase(const Secret& so_pin, std::string_view serial) override;
  void bury(std::string_view serial) override;
  base::Result<void> login(const Secret& user_pin) override;
  void forget() override;
  std::unique_ptr<Session> session() override;
  base::Result<KeyRef> generate(const KeyId& id, std::string_view label, x509::KeyType type, uint32_t bits,
                                bool extractable) override;
  base::Result<KeyRef> import(const KeyId& id, std::string_view label, const Secret& pkcs8, bool extractable) override;
  base::Result<void> destroy(const KeyId& id) override;
  base::Result<Secret> wrap(const KeyRef& key) override;
  base::Result<void> find(const KeyRef& key) override;
  base::Result<std::vector<KeyId>> strangers(const std::vector<KeyId>& known) override;
  base::Result<std::string> sign(Session& session, const KeyRef& key, x509::SignAlgorithm algorithm, x509::Hash hash,
                                 std::string_view input) override;
  base::Result<Secret> decrypt_raw(Session& session, const KeyRef& key, std::string_view ciphertext) override;
  base::Result<std::string> sign_once(Session& session, const Secret& pkcs8, x509::SignAlgorithm algorithm,
                                      x509::Hash hash, std::string_view input) override;
  uint64_t reopened() const override { return reopened_.load(std::memory_order_relaxed); }

 private:
  friend class Pkcs11Session;
  using Clock = Gate::Clock;

  // Again says whether an operation that failed may be tried once more: `always` where doing it twice is harmless,
  // `if_untouched` where only the token's word that it did nothing allows it.
  enum class Again : uint8_t { always, if_untouched };
  // Stay says whether other threads may use the module meanwhile.
  enum class Stay : uint8_t { with_others, alone };

  // run does `work` (Calls → Outcome<T>) on `session`.
  template <class T, class Work>
  base::Result<T> run(Pkcs11Session& session, Again again, Stay stay, Work work);
  // make is run for what brings objects into being; what a failure left of them is destroyed.
  template <class Work>
  base::Result<KeyRef> make(const KeyId& id, Work work);

  // Inside the gate. ready gives the session a handle; after_fault gives up a session whose state is unknown; lookup
  // returns a key from the cache, or finds and proves it.
  Outcome<Calls> ready(Pkcs11Session& session);
  void after_fault(Pkcs11Session& session, const Fault& fault);
  void close_session(Pkcs11Session& session);
  Outcome<std::shared_ptr<const FoundKey>> lookup(const Calls& calls, const KeyRef& key);
  void remember(const KeyRef& key, std::shared_ptr<const FoundKey> found);

  // Outside the gate: reopen opens the token again unless somebody did since generation `seen`.
  base::Result<void> reopen(uint64_t seen, Repair repair);

  // With the gate closed.
  void invalidate();
  Outcome<void> start_module();
  Outcome<void> open_token();
  Outcome<void> log_in(const SlotToken& token);
  void settle(const Outcome<void>& opened);
  base::Result<void> wipe_token(const Secret& so_pin, const Secret* user_pin);
  Outcome<void> wipe_token_once(const Secret& so_pin, const Secret* user_pin);
  Outcome<void> set_user_pin(CK_SLOT_ID slot, const Secret& so_pin, const Secret& user_pin);

  const TokenOptions options_;
  Module module_;  // (gate)
  Gate gate_;
  std::mutex writing_;
  std::mutex listing_;                            // inside the gate, innermost; see Calls
  Secret pin_;                                    // (gate) empty: nobody is to be logged in
  CK_SLOT_ID slot_ = 0;                           // (gate)
  CK_SESSION_HANDLE keeper_ = CK_INVALID_HANDLE;  // (gate) keeps the login; used for nothing else
  bool usable_ = false;                           // (gate) open and logged in
  bool pin_tried_ = false;                        // (gate) by the attempt under way
  uint64_t generation_ = 1;                       // (gate)
  Clock::time_point next_try_{};                  // (gate)
  base::Error last_error_{base::Cause::unavailable, "the token is not logged in"};  // (gate)
  std::atomic<bool> proven_ = false;  // an operation worked since the token was opened
  std::atomic<uint64_t> reopened_ = 0;

  std::mutex keys_mutex_;
  std::map<KeyId, std::shared_ptr<const FoundKey>> keys_;  // of this generation

  std::unique_ptr<Pkcs11Session> writer_;  // under writing_
};

}  // namespace postern::keystore
