// SPDX-License-Identifier: Apache-2.0
// Vault: everything fipsd guards, put together: state directory, key-encryption key, token, catalogue, self-tests,
// audit. It makes the transitions of state.h; service.h turns requests into calls of it.
//
// Threads: sign, decrypt, catalogue and condition are for workers; everything else belongs to the officer thread. A
// worker that began before zeroising may finish its operation; none begins after.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/x509/request.h"
#include "keystore/audit.h"
#include "keystore/backup.h"
#include "keystore/catalogue.h"
#include "keystore/officer.h"
#include "keystore/policy.h"
#include "keystore/selftest.h"
#include "keystore/settings.h"
#include "keystore/state.h"
#include "keystore/token/token.h"

namespace postern::keystore {

// By is who wants something, for audit and log.
struct By {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::string socket;
};

// SelfTestRound is the outcome of the last run of the self-tests.
struct SelfTestRound {
  int64_t at = 0;
  std::vector<SelfTestResult> results;
  bool passed() const;
};

// NewKey describes a key to make or import.
struct NewKey {
  std::string name;
  x509::KeyType type = x509::KeyType::rsa;
  uint32_t bits = 2048;
  uint32_t uses = 0;
  bool backup = true;
};

class Vault {
 public:
  // open takes the state directory, the audit log and the token module; `corrupt_kat` names a self-test to falsify. It
  // does not log in yet: start() does. Errors are reasons not to start at all.
  static base::Result<std::unique_ptr<Vault>> open(std::shared_ptr<const FipsdSettings> settings,
                                                   std::string corrupt_kat);
  ~Vault();

  // start goes to the durable state: finishes a zeroising that was interrupted, logs in, cleans up what interrupted
  // operations left, runs the self-tests. A token that is not there is not an error: tick() tries again.
  void start();
  // close logs out and ends the module; nothing may use the vault afterwards.
  void close();
  // tick is called about once a second on the officer thread: the token's return, a zeroising that waits for it, daily
  // checks.
  void tick();

  Condition condition() const { return condition_.load(std::memory_order_acquire); }
  // officer_session tells the vault that an officer session begins or ends (operational ⇄ officer).
  void officer_session(bool begins);
  std::shared_ptr<const FipsdSettings> settings() const;
  void use_settings(std::shared_ptr<const FipsdSettings> settings);
  std::shared_ptr<const Catalogue> catalogue() const;
  Audit& audit() { return *audit_; }
  Token& token() { return *token_; }
  bool token_ready() const { return token_ready_.load(std::memory_order_acquire); }
  uint32_t failures() const { return failures_.load(std::memory_order_relaxed); }
  std::shared_ptr<const SelfTestRound> self_tests() const;

  // usable says why no key can be used now, or nothing.
  base::Result<void> usable() const;
  // has_catalogue says why there is no list of keys, or nothing; it does not need the token.
  base::Result<void> has_catalogue() const;

  // sign and decrypt do what policy has already allowed; the audit record is written first.
  base::Result<std::string> sign(Session& session, const KeyEntry& key, const SignBody& body, const By& by);
  base::Result<Secret> decrypt(Session& session, const KeyEntry& key, const DecryptBody& body, const By& by);

  // Officer's actions. Each writes its audit record first and is durable when it returns.
  // initialise: only when uninitialised or zeroised; `so_pin` is the token's present SO PIN when somebody else
  // initialised it.
  base::Result<void> initialise(std::string_view password, std::string_view so_pin, const By& by);
  // login checks a password and counts; when Attempt::zeroise is set the vault has been zeroised.
  base::Result<Attempt> login(std::string_view password, std::string_view address, const By& by);
  base::Result<void> change_password(std::string_view old_password, std::string_view new_password, const By& by);
  base::Result<const KeyEntry*> generate(const NewKey& key, const By& by);
  base::Result<const KeyEntry*> import_key(const NewKey& key, const Secret& pkcs8, std::string_view chain,
                                           const By& by);
  base::Result<void> destroy(std::string_view name, const By& by);
  base::Result<void> put_certificate(std::string_view name, std::string_view chain, const By& by);
  base::Result<void> drop_certificate(std::string_view name, const By& by);
  base::Result<void> distrust(bool add, std::string_view entry, const By& by);
  base::Result<std::string> make_request(std::string_view name, const x509::Subject& subject, const By& by);
  base::Result<std::string> self_sign(std::string_view name, const x509::Subject& subject, uint32_t days, const By& by);
  // backup returns the file; backup_kept marks its keys as backed up, once the client has all of it.
  struct BackupMade {
    std::string file;
    std::vector<std::string> keys;
    std::vector<std::string> left_out;
  };
  base::Result<BackupMade> backup(const Secret& password, const By& by);
  base::Result<void> backup_kept(const std::vector<std::string>& keys, const By& by);
  base::Result<size_t> restore(std::string_view file, const Secret& password, const By& by);
  // zeroise destroys everything; it cannot fail halfway: what cannot be finished now is finished by tick() or the next
  // start, and keys are unusable from its first step on.
  void zeroise(std::string_view reason, const By& by);
  // run_tests runs the self-tests; with a failure the condition becomes `error`, without one `error` is left.
  const SelfTestRound& run_tests();

  // on_zeroised is called after zeroising, to say a last word to sessions.
  std::function<void()> on_zeroised;

 private:
  Vault() = default;
  void become(Condition condition);
  void settle();  // the condition for normal use, or error
  base::Result<void> unlock();
  base::Result<void> clean_pending();
  void continue_zeroise();
  base::Result<void> publish(Catalogue next);
  base::Result<void> record(Weight weight, std::string_view action, const By& by,
                            std::initializer_list<AuditValue> values);
  base::Result<void> need_working() const;
  base::Result<KeyEntry> put_into_token(const NewKey& key, const Secret* pkcs8, const KeyId& id);
  base::Result<const KeyEntry*> add_key(const NewKey& key, const Secret* pkcs8, std::string_view chain, const By& by);
  base::Result<std::string> with_key(
      std::string_view name, std::string_view action, const By& by,
      const std::function<base::Result<std::string>(const KeyEntry&, const x509::Signer&)>& make);
  void failed_use(std::string_view action, const KeyEntry& key, const base::Error& error, const By& by);
  void fail_self_test(std::string_view name, std::string_view detail);
  void note_token(const base::Error& error);
  void note_token_back();
  void note_unlock_failed(const base::Error& error);
  void daily();
  base::Result<Secret> credential() const;
  PasswordHash password_hash() const;
  Session& officer_lane();

  std::optional<StateDirectory> directory_;
  std::optional<Kek> kek_;
  std::unique_ptr<Token> token_;
  std::unique_ptr<Session> session_;  // the officer thread's
  std::unique_ptr<Audit> audit_;
  std::string corrupt_kat_;
  std::atomic<Condition> condition_{Condition::uninitialised};
  std::atomic<bool> token_ready_{false};
  std::atomic<uint32_t> failures_{0};
  std::atomic<std::shared_ptr<const FipsdSettings>> settings_;
  std::atomic<std::shared_ptr<const Catalogue>> catalogue_;
  std::atomic<std::shared_ptr<const SelfTestRound>> tests_;
  std::atomic<std::shared_ptr<const Secret>> rejection_;  // for unpad_pkcs1
  std::chrono::steady_clock::time_point zeroise_begun_;
  bool pairwise_failed_ = false;
  std::atomic<bool> token_told_lost_{false};
  bool waiting_told_ = false;
  int64_t next_unlock_ = 0;
  int64_t next_daily_ = 0;
  int64_t next_anchor_ = 0;
  bool officer_ = false;
};

}  // namespace postern::keystore
