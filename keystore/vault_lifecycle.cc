// SPDX-License-Identifier: Apache-2.0
// The officer's password, initialising and zeroising. Order is everything here: state.h and DESIGN say which step must
// be on disk before which; a kill between any two leaves a start that goes on to the same end.
#include <chrono>

#include "keystore/events.h"
#include "keystore/vault.h"
#include "keystore/vault_internal.h"

namespace postern::keystore {
namespace {

constexpr std::string_view kAccount = "officer";
// The token's SO PIN as it is, while no key-encryption key seals it: between zeroising and the next initialisation.
constexpr std::string_view kSoPinFile = "so-pin";

}  // namespace

base::Result<void> Vault::initialise(std::string_view password, std::string_view so_pin, const By& by) {
  const Condition now = condition();
  if (now == Condition::zeroising) {
    return base::fail(base::Cause::unavailable, "zeroising is not finished: the token does not answer");
  }
  if (directory_->durable() == Condition::operational) {
    return base::fail(base::Cause::denied,
                      "fipsd is initialised already; zeroise it first (all keys are then destroyed)");
  }
  if (auto good = check_password_policy(password, kAccount); !good) return good;
  if (auto noted = record(Weight::officer, "initialise", by, {}); !noted) return noted;

  auto secret = credential();
  if (!secret) return std::unexpected(std::move(secret.error()));
  // What an interrupted initialisation made is used again: the token may have its PINs already.
  const bool again = directory_->exists("kek");
  auto kek = again ? Kek::load(*directory_, secret->view()) : Kek::create(*directory_, secret->view());
  if (!kek) return std::unexpected(std::move(kek.error()));

  std::vector<Secret> present;
  if (!so_pin.empty()) {
    present.emplace_back(so_pin);
  } else {
    if (directory_->exists(kSoPinFile)) {
      auto kept = directory_->read(kSoPinFile, 1024);
      if (!kept) return std::unexpected(std::move(kept.error()));
      present.push_back(std::move(*kept));
    }
    if (again || present.empty()) present.push_back(kek->so_pin());
  }
  token_->forget();
  session_.reset();
  // The token has one of these SO PINs; a wrong one is told apart from every other failure.
  base::Result<void> made = base::fail(base::Cause::internal, "no PIN");
  for (const Secret& pin : present) {
    made = token_->initialise(pin, kek->user_pin());
    if (made && !equal_in_constant_time(pin.view(), kek->so_pin().view())) {
      made = token_->change_so_pin(pin, kek->so_pin());
    }
    if (made || made.error().cause() != base::Cause::denied) break;
  }
  if (!made) {
    (void)record(Weight::officer, "initialise-failed", by, {{"reason", made.error().text()}});
    return made;
  }
  Catalogue empty;
  if (auto saved = save_catalogue(*directory_, *kek, empty); !saved) return saved;
  if (auto stored = store_password(*directory_, password, password_hash()); !stored) return stored;
  if (auto zero = directory_->succeed_attempt(); !zero) return zero;
  if (auto state = directory_->set_durable(Condition::operational); !state) return state;
  if (directory_->exists(kSoPinFile)) {
    if (auto removed = directory_->remove(kSoPinFile); !removed) return removed;
  }
  failures_ = 0;
  base::emit(event(Event::initialised), {{"uid", std::to_string(by.uid)}, {"pid", std::to_string(by.pid)}});
  if (auto unlocked = unlock(); !unlocked) return unlocked;
  run_tests();
  return {};
}

base::Result<Attempt> Vault::login(std::string_view password, std::string_view address, const By& by) {
  const std::string reported = address.empty() ? "-" : std::string(address) + " (reported by the client)";
  if (auto noted = record(Weight::officer, "login-attempt", by, {{"address", reported}}); !noted) {
    return std::unexpected(std::move(noted.error()).in("the attempt cannot be recorded, so it was not made"));
  }
  auto outcome = attempt(*directory_, password);
  failures_ = directory_->failures();
  if (!outcome) return outcome;
  const std::string_view result = outcome->accepted ? "accepted" : "refused";
  const std::string left = std::to_string(outcome->left);
  base::emit(event(Event::login), {{"result", result},
                                   {"uid", std::to_string(by.uid)},
                                   {"gid", std::to_string(by.gid)},
                                   {"pid", std::to_string(by.pid)},
                                   {"address", reported},
                                   {"left", left}});
  const auto ended = record(outcome->zeroise ? Weight::zeroise : Weight::officer, "login", by,
                            {{"result", result}, {"address", reported}, {"left", left}});
  if (outcome->zeroise) {
    zeroise("the third consecutive wrong officer password", by);
  } else if (!ended) {
    return std::unexpected(base::Error(ended.error()).in("recording the login"));
  }
  return outcome;
}

base::Result<void> Vault::change_password(std::string_view old_password, std::string_view new_password, const By& by) {
  if (auto good = check_password_policy(new_password, kAccount); !good) return good;
  // The old password counts like a login: a session left alone must not be a way to guess.
  auto outcome = login(old_password, {}, by);
  if (!outcome) return std::unexpected(std::move(outcome.error()));
  if (!outcome->accepted) {
    return base::fail(base::Cause::denied,
                      outcome->zeroise ? std::string(kZeroisedText) : wrong_password_text(*outcome));
  }
  if (auto noted = record(Weight::officer, "change-password", by, {}); !noted) return noted;
  auto line = hash_password(new_password, password_hash());
  if (!line) return std::unexpected(std::move(line.error()));
  if (auto written = directory_->write("officer", *line); !written) return written;
  base::emit(event(Event::password_changed), {{"uid", std::to_string(by.uid)}, {"pid", std::to_string(by.pid)}});
  return {};
}

void Vault::zeroise(std::string_view reason, const By& by) {
  const auto begun = std::chrono::steady_clock::now();
  // From here on no worker begins to use a key.
  condition_.store(Condition::zeroising, std::memory_order_release);
  token_ready_.store(false, std::memory_order_release);
  base::emit(event(Event::zeroising), {{"reason", reason}});
  Secret so_pin;
  if (kek_) {
    so_pin = kek_->so_pin();
  } else if (auto secret = credential(); secret) {
    if (auto kek = Kek::load(*directory_, secret->view()); kek) so_pin = kek->so_pin();
  }
  // A marker that cannot be written must not stop the destroying: the next step makes the keys unusable all the same.
  if (auto marked = directory_->mark(so_pin); !marked) {
    base::emit(event(Event::zeroise_waiting), {{"reason", marked.error().text()}});
  }
  if (auto noted = record(Weight::zeroise, "zeroise", by, {{"reason", reason}}); !noted) {
    base::emit(event(Event::audit_alert), {{"text", noted.error().text()}});
  }
  zeroise_begun_ = begun;
  continue_zeroise();
  if (on_zeroised) on_zeroised();
}

// continue_zeroise does what is left to do after the marker; each step may have been done before.
void Vault::continue_zeroise() {
  next_unlock_ = std::time(nullptr) + 2;
  const auto wait = [this](const base::Error& error) {
    if (!waiting_told_) base::emit(event(Event::zeroise_waiting), {{"reason", error.text()}});
    waiting_told_ = true;
  };
  auto marker = directory_->marker();
  kek_.reset();
  rejection_.store(nullptr);
  if (auto gone = directory_->destroy_kek(); !gone) return wait(gone.error());
  catalogue_.store(std::make_shared<const Catalogue>());
  session_.reset();
  token_->forget();
  // Without the SO PIN the token cannot be erased; without the key-encryption key nobody can log in to it either.
  if (!marker) wait(marker.error());
  if (marker && !marker->so_pin.empty()) {
    // Kept for the next initialisation: it opens nothing, the token is empty then.
    if (auto kept = directory_->write(kSoPinFile, marker->so_pin.view()); !kept) return wait(kept.error());
    // Nobody waits for the token before the key-encryption key is gone. Its number is for a start after this one.
    if (marker->serial.empty()) {
      marker->serial = token_->identity().serial;
      if (!marker->serial.empty()) (void)directory_->mark_token(marker->serial);
    }
    if (auto erased = token_->erase(marker->so_pin, marker->serial); !erased) return wait(erased.error());
  }
  if (auto rest = directory_->destroy_rest(); !rest) return wait(rest.error());
  if (auto done = directory_->finish(); !done) return wait(done.error());
  if (marker) token_->bury(marker->serial);
  failures_ = directory_->failures();
  waiting_told_ = false;
  (void)record(Weight::zeroise, "zeroised", {}, {});
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - zeroise_begun_).count();
  base::emit(event(Event::zeroised),
             {{"milliseconds", zeroise_begun_.time_since_epoch().count() == 0 ? "-" : std::to_string(milliseconds)}});
  become(Condition::zeroised);
}

}  // namespace postern::keystore
