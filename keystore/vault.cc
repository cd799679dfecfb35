// SPDX-License-Identifier: Apache-2.0
// The vault's conditions: start, unlock, self-tests, and the use of keys. What the officer does is in
// vault_lifecycle.cc, vault_keys.cc and vault_backup.cc.
#include "keystore/vault.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "engine/base/text.h"
#include "engine/x509/certificate.h"
#include "keystore/decrypt.h"
#include "keystore/events.h"
#include "keystore/reports.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {
namespace {

constexpr int64_t kUnlockEvery = 2;  // seconds between tries while the token is away
constexpr int64_t kDaily = 86400;
constexpr int64_t kAnchorEvery = 3600;
constexpr int64_t kExpiryWarning = 30;  // days
constexpr size_t kMaxCredential = 4096;

}  // namespace

bool SelfTestRound::passed() const {
  return std::ranges::all_of(results, [](const SelfTestResult& result) { return result.passed; });
}

base::Result<KeyId> new_key_id() {
  KeyId id{};
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return base::fail(base::Cause::internal, "the random generator does not answer");
  }
  return id;
}

Vault::~Vault() = default;

base::Result<std::unique_ptr<Vault>> Vault::open(std::shared_ptr<const FipsdSettings> settings,
                                                 std::string corrupt_kat) {
  std::unique_ptr<Vault> vault(new Vault());
  auto directory = StateDirectory::open(settings->state_directory);
  if (!directory) return std::unexpected(std::move(directory.error()));
  auto audit = Audit::open(settings->audit);
  if (!audit) return std::unexpected(std::move(audit.error()).in("audit log"));
  auto token = Token::open(settings->token);
  if (!token) return std::unexpected(std::move(token.error()).in("token"));
  vault->directory_ = std::move(*directory);
  vault->audit_ = std::move(*audit);
  vault->audit_->on_alert = [](std::string_view text) { base::emit(event(Event::audit_alert), {{"text", text}}); };
  vault->token_ = std::move(*token);
  vault->settings_.store(std::move(settings));
  vault->catalogue_.store(std::make_shared<const Catalogue>());
  vault->tests_.store(std::make_shared<const SelfTestRound>());
  vault->corrupt_kat_ = std::move(corrupt_kat);
  vault->failures_ = vault->directory_->failures();
  vault->condition_ = vault->directory_->durable();
  return vault;
}

std::shared_ptr<const FipsdSettings> Vault::settings() const { return settings_.load(); }
void Vault::use_settings(std::shared_ptr<const FipsdSettings> settings) { settings_.store(std::move(settings)); }
std::shared_ptr<const Catalogue> Vault::catalogue() const { return catalogue_.load(); }
std::shared_ptr<const SelfTestRound> Vault::self_tests() const { return tests_.load(); }

PasswordHash Vault::password_hash() const {
  return settings()->fips == FipsPolicy::strict ? PasswordHash::pbkdf2 : PasswordHash::scrypt;
}

// The additional secret is read when it is needed and not kept.
base::Result<Secret> Vault::credential() const {
  const std::string path = settings()->credential;
  if (path.empty()) return Secret();
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(base::system_error("credential " + path, errno));
  Secret text = Secret::sized(kMaxCredential);
  size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error("credential " + path, errno));
    if (got == 0) break;
    size += static_cast<size_t>(got);
    if (size == text.size()) return base::fail(base::Cause::limit, "credential " + path + " is over 4095 bytes");
  }
  text.shrink(size);
  return text;
}

Session& Vault::officer_lane() {
  if (session_ == nullptr) session_ = token_->session();
  return *session_;
}

void Vault::become(Condition condition) {
  if (condition_.exchange(condition, std::memory_order_acq_rel) == condition) return;
  base::emit(event(Event::condition), {{"state", condition_name(condition)}});
}

void Vault::settle() {
  if (directory_->durable() != Condition::operational) return become(directory_->durable());
  if (!self_tests()->passed()) return become(Condition::error);
  become(officer_ ? Condition::officer : Condition::operational);
}

void Vault::officer_session(bool begins) {
  officer_ = begins;
  const Condition now = condition();
  if (now == Condition::operational || now == Condition::officer) settle();
}

base::Result<void> Vault::record(Weight weight, std::string_view action, const By& by,
                                 std::initializer_list<AuditValue> values) {
  const std::string uid = std::to_string(by.uid);
  const std::string gid = std::to_string(by.gid);
  const std::string pid = std::to_string(by.pid);
  AuditValue all[12] = {{"socket", by.socket}, {"uid", uid}, {"gid", gid}, {"pid", pid}};
  size_t count = 4;
  for (const auto& value : values) {
    if (count < std::size(all)) all[count++] = value;
  }
  return audit_->append(weight, action, AuditValues(all, count));
}

void Vault::start() {
  if (directory_->durable() == Condition::zeroising) {
    become(Condition::zeroising);
    continue_zeroise();
    return;
  }
  if (directory_->durable() == Condition::operational) {
    if (directory_->failures() >= kMaxFailures) {
      // The third attempt was counted and the process ended before it could act on it.
      zeroise("the third consecutive wrong officer password, before the last restart", {});
      return;
    }
    if (auto unlocked = unlock(); !unlocked) note_unlock_failed(unlocked.error());
  }
  run_tests();
  settle();
}

void Vault::close() {
  session_.reset();
  token_->forget();
  token_.reset();
  audit_.reset();
}

// unlock logs in and brings catalogue and token together.
base::Result<void> Vault::unlock() {
  next_unlock_ = std::time(nullptr) + kUnlockEvery;
  auto secret = credential();
  if (!secret) return std::unexpected(std::move(secret.error()));
  auto kek = Kek::load(*directory_, secret->view());
  if (!kek) return std::unexpected(std::move(kek.error()).in("key-encryption key"));
  auto loaded = load_catalogue(*directory_, *kek);
  if (!loaded) return std::unexpected(std::move(loaded.error()).in("catalogue"));
  kek_ = std::move(*kek);
  rejection_.store(std::make_shared<const Secret>(kek_->mac("implicit rejection", {})));
  catalogue_.store(std::make_shared<const Catalogue>(std::move(*loaded)));
  if (auto in = token_->login(kek_->user_pin()); !in) return in;
  if (auto clean = clean_pending(); !clean) return clean;
  for (const auto& [name, entry] : catalogue()->entries) {
    if (!entry.has_key) continue;
    if (auto there = token_->find(entry.ref); !there) {
      if (there.error().cause() == base::Cause::unavailable) return there;
      base::emit(event(Event::key_mismatch), {{"key", name}, {"reason", there.error().text()}});
    }
  }
  token_ready_.store(true, std::memory_order_release);
  note_token_back();
  return {};
}

// What an interrupted operation made and no entry names is destroyed: nobody was told of it.
base::Result<void> Vault::clean_pending() {
  Catalogue next = *catalogue();
  if (next.pending.empty()) return {};
  for (const KeyId& id : next.pending) {
    const bool named = std::ranges::any_of(
        next.entries, [&](const auto& row) { return row.second.has_key && row.second.ref.id == id; });
    if (named) continue;
    if (auto gone = token_->destroy(id); !gone) return gone;
  }
  next.pending.clear();
  return publish(std::move(next));
}

base::Result<void> Vault::publish(Catalogue next) {
  if (auto saved = save_catalogue(*directory_, *kek_, next); !saved) return saved;
  catalogue_.store(std::make_shared<const Catalogue>(std::move(next)));
  return {};
}

// note_unlock_failed: a refused PIN is not tried again by itself, since tokens lock after some tries; the next start or
// initialisation is an operator's.
void Vault::note_unlock_failed(const base::Error& error) {
  if (error.cause() == base::Cause::denied) next_unlock_ = INT64_MAX;
  note_token(error);
}

void Vault::note_token(const base::Error& error) {
  if (token_told_lost_.exchange(true)) return;
  base::emit(event(Event::token_lost), {{"reason", error.text()}});
}

void Vault::note_token_back() {
  if (!token_told_lost_.load(std::memory_order_relaxed) || !token_told_lost_.exchange(false)) return;
  base::emit(event(Event::token_back), {});
}

void Vault::tick() {
  const int64_t now = std::time(nullptr);
  if (condition() == Condition::zeroising) {
    if (now >= next_unlock_) continue_zeroise();
    return;
  }
  if (directory_->durable() == Condition::operational && !token_ready() && now >= next_unlock_) {
    if (auto unlocked = unlock(); !unlocked) {
      note_unlock_failed(unlocked.error());
    } else {
      run_tests();
    }
  }
  if (token_ready() && token_told_lost_ && now >= next_unlock_) {
    next_unlock_ = now + kUnlockEvery;
    if (token_->present()) note_token_back();
  }
  if (now >= next_anchor_) {
    next_anchor_ = now + kAnchorEvery;
    const Audit::Head head = audit_->head();
    base::emit(event(Event::audit_anchor), {{"sequence", std::to_string(head.sequence)}, {"hash", head.hash}});
  }
  if (now >= next_daily_) daily();
}

void Vault::daily() {
  const int64_t now = std::time(nullptr);
  next_daily_ = now + kDaily;
  for (const auto& [name, entry] : catalogue()->entries) {
    if (entry.chain.empty()) continue;
    const auto chain = x509::read_chain(entry.chain);
    if (!chain || chain->empty()) continue;
    const int64_t days = (chain->front().not_after - now) / kDaily;
    if (days > kExpiryWarning) continue;
    base::emit(
        event(Event::certificate_expires),
        {{"name", name}, {"until", base::format_time(chain->front().not_after)}, {"days", std::to_string(days)}});
  }
}

// fail_self_test adds a failed result to the last round: a pairwise test outside the regular ones.
void Vault::fail_self_test(std::string_view name, std::string_view detail) {
  auto round = std::make_shared<SelfTestRound>(*self_tests());
  round->results.push_back({std::string(name), false, true, std::string(detail)});
  tests_.store(std::move(round));
  base::emit(event(Event::self_test_failed), {{"test", name}, {"detail", detail}});
  settle();
}

const SelfTestRound& Vault::run_tests() {
  std::vector<x509::KeyType> needed;
  for (const auto& [name, entry] : catalogue()->entries) {
    if (entry.has_key && std::ranges::find(needed, entry.ref.type) == needed.end()) needed.push_back(entry.ref.type);
  }
  auto round = std::make_shared<SelfTestRound>();
  round->at = std::time(nullptr);
  const bool with_token = token_ready();
  round->results =
      run_self_tests(with_token ? token_.get() : nullptr, with_token ? &officer_lane() : nullptr, corrupt_kat_, needed);
  for (const SelfTestResult& result : round->results) {
    if (result.passed) continue;
    base::emit(event(Event::self_test_failed), {{"test", result.name}, {"detail", result.detail}});
  }
  if (auto noted =
          record(Weight::officer, "self-test", {},
                 {{"result", round->passed() ? "passed" : "failed"}, {"tests", std::to_string(round->results.size())}});
      !noted) {
    base::emit(event(Event::audit_alert), {{"text", noted.error().text()}});
  }
  tests_.store(round);
  settle();
  return *tests_.load();
}

base::Result<void> Vault::has_catalogue() const {
  switch (condition()) {
    case Condition::uninitialised:
      return base::fail(base::Cause::misconfigured, "fipsd is not initialised: run fipsconfig init");
    case Condition::zeroising:
    case Condition::zeroised:
      return base::fail(base::Cause::misconfigured, std::string(kZeroisedWord));
    case Condition::operational:
    case Condition::officer:
    case Condition::error:
      break;
  }
  return {};
}

base::Result<void> Vault::usable() const {
  if (auto there = has_catalogue(); !there) return there;
  if (condition() == Condition::error)
    return base::fail(base::Cause::misconfigured, "a self-test failed: no key is used");
  if (!token_ready()) return base::fail(base::Cause::unavailable, "the token does not answer");
  return {};
}

base::Result<std::string> Vault::sign(Session& session, const KeyEntry& key, const SignBody& body, const By& by) {
  if (auto ready = usable(); !ready) return std::unexpected(std::move(ready.error()));
  const auto algorithm = static_cast<x509::SignAlgorithm>(body.algorithm);
  const auto hash = static_cast<x509::Hash>(body.hash);
  if (auto noted =
          record(Weight::use, "sign", by,
                 {{"key", key.name}, {"algorithm", algorithm_name(algorithm)}, {"hash", x509::hash_name(hash)}});
      !noted) {
    return std::unexpected(std::move(noted.error()));
  }
  auto signature = token_->sign(session, key.ref, algorithm, hash, body.input);
  if (signature) {
    note_token_back();
  } else {
    failed_use("sign", key, signature.error(), by);
  }
  return signature;
}

base::Result<Secret> Vault::decrypt(Session& session, const KeyEntry& key, const DecryptBody& body, const By& by) {
  if (auto ready = usable(); !ready) return std::unexpected(std::move(ready.error()));
  const auto algorithm = static_cast<x509::DecryptAlgorithm>(body.algorithm);
  const auto hash = static_cast<x509::Hash>(body.hash);
  const std::string_view name = algorithm == x509::DecryptAlgorithm::rsa_oaep ? "rsa-oaep" : "rsa-pkcs1";
  if (auto noted =
          record(Weight::use, "decrypt", by, {{"key", key.name}, {"algorithm", name}, {"hash", x509::hash_name(hash)}});
      !noted) {
    return std::unexpected(std::move(noted.error()));
  }
  auto raw = token_->decrypt_raw(session, key.ref, body.ciphertext);
  if (!raw) {
    failed_use("decrypt", key, raw.error(), by);
    if (raw.error().cause() == base::Cause::unavailable) return raw;
    return base::fail(base::Cause::denied, "decryption failed");
  }
  const auto rejection = rejection_.load();
  if (rejection == nullptr) return base::fail(base::Cause::unavailable, "the token does not answer");
  auto opened = algorithm == x509::DecryptAlgorithm::rsa_oaep
                    ? unpad_oaep(*raw, hash, body.label)
                    : unpad_pkcs1(*raw, rejection->view(), key.ref.spki, body.ciphertext);
  // One error for everything that can be wrong with a ciphertext: no padding oracle.
  if (!opened) return base::fail(base::Cause::denied, "decryption failed");
  return opened;
}

void Vault::failed_use(std::string_view action, const KeyEntry& key, const base::Error& error, const By& by) {
  // Best effort: the use itself is on record, what follows is only how it ended.
  (void)record(Weight::use, std::string(action) + "-failed", by, {{"key", key.name}, {"reason", error.text()}});
  if (error.cause() == base::Cause::unavailable) note_token(error);
  if (error.cause() == base::Cause::denied || error.cause() == base::Cause::not_found) {
    base::emit(event(Event::key_mismatch), {{"key", key.name}, {"reason", error.text()}});
  }
}

}  // namespace postern::keystore
