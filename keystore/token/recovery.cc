// SPDX-License-Identifier: Apache-2.0
// Opening the token: at login, after faults, and after everything on it was erased. One thread does it, with the gate
// closed; the PIN is tried at most once each time, and not at all where the token says that a failure would lock it.
#include <fmt/format.h>

#include <algorithm>

#include "keystore/token/pkcs11_token.h"
#include "keystore/token/softhsm.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;

namespace {

// How long one thread waits for the others to leave: after a fault little, since requests wait; for what an operator
// asked longer (making an RSA key of 4096 bits takes seconds).
constexpr std::chrono::seconds kShortWait{2};
constexpr std::chrono::seconds kLongWait{30};

unsigned char* pin_bytes(const Secret& pin) {
  return reinterpret_cast<unsigned char*>(const_cast<char*>(pin.view().data()));
}

base::Error not_logged_in() { return {Cause::unavailable, "the token is not logged in"}; }

// pin_guard refuses a try that might be the last.
Outcome<void> pin_guard(CK_FLAGS flags, CK_FLAGS locked, CK_FLAGS final_try, std::string_view whose) {
  if ((flags & locked) != 0) return refused(Cause::denied, fmt::format("the token has locked the {} PIN", whose));
  if ((flags & final_try) != 0) {
    return refused(Cause::denied,
                   fmt::format("not tried: the token says that one more wrong {} PIN locks it for good", whose));
  }
  return {};
}

}  // namespace

Result<void> Pkcs11Token::start() {
  auto started = module_.start();
  if (!started) return std::unexpected(std::move(started.error().error).in(options_.module));
  return {};
}

void Pkcs11Token::invalidate() {
  ++generation_;
  usable_ = false;
  keeper_ = CK_INVALID_HANDLE;
  proven_ = false;
  std::lock_guard lock(keys_mutex_);
  keys_.clear();
}

Outcome<void> Pkcs11Token::start_module() {
  module_.end();
  return module_.start();
}

Outcome<void> Pkcs11Token::open_token() {
  auto token = module_.find(options_);
  if (!token) return std::unexpected(std::move(token.error()));
  slot_ = token->slot;
  // Ends every login too, so that the PIN is checked against the token that is there now.
  (void)module_.calls().C_CloseAllSessions(slot_);
  CK_RV rv = module_.calls().C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &keeper_);
  if (rv != CKR_OK) {
    keeper_ = CK_INVALID_HANDLE;
    return call_failed("C_OpenSession", rv);
  }
  return log_in(*token);
}

Outcome<void> Pkcs11Token::log_in(const SlotToken& token) {
  if (auto fit = pin_guard(token.flags, CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY, "user"); !fit) return fit;
  const CK_FUNCTION_LIST& calls = module_.calls();
  pin_tried_ = true;
  CK_RV rv = calls.C_Login(keeper_, CKU_USER, pin_bytes(pin_), pin_.size());
  if (rv == CKR_USER_ALREADY_LOGGED_IN) {
    // A module that kept the login has not looked at the PIN.
    (void)calls.C_Logout(keeper_);
    rv = calls.C_Login(keeper_, CKU_USER, pin_bytes(pin_), pin_.size());
  }
  if (rv != CKR_OK) return call_failed("C_Login", rv);
  return {};
}

// settle notes how an attempt to open the token ended. A PIN that the token refused is not kept: nothing may try it
// again but an operator.
void Pkcs11Token::settle(const Outcome<void>& opened) {
  usable_ = opened.has_value();
  next_try_ = Clock::now() + options_.retry;
  if (usable_) return;
  const Fault& fault = opened.error();
  last_error_ = fault.error;
  if (last_error_.cause() == Cause::not_found) last_error_ = base::Error(Cause::unavailable, last_error_.text());
  if (last_error_.cause() == Cause::denied) {
    if (fault.rv != CKR_OK) pin_.wipe();
    last_error_ = base::Error(Cause::misconfigured, "logging in to the token: " + last_error_.text());
  }
}

Result<void> Pkcs11Token::reopen(uint64_t seen, Repair repair) {
  Alone alone(gate_, Clock::now() + kShortWait);
  if (!alone) return fail(Cause::unavailable, "the token is busy and cannot be opened again now");
  if (generation_ != seen) {
    if (usable_) return {};
    return std::unexpected(last_error_);
  }
  if (pin_.empty()) return std::unexpected(last_error_);
  if (Clock::now() < next_try_) return fail(Cause::unavailable, "the token fails again so soon after it was opened");
  bool anew = repair == Repair::module || !proven_ || !module_.started();
  invalidate();
  ++reopened_;
  pin_tried_ = false;
  Outcome<void> opened;
  if (!anew) {
    opened = open_token();
    Cause cause = opened ? Cause::internal : opened.error().error.cause();
    anew = !opened && !pin_tried_ && cause != Cause::denied && cause != Cause::misconfigured;
  }
  if (anew) {
    opened = start_module();
    if (opened) opened = open_token();
  }
  settle(opened);
  if (!opened) return std::unexpected(last_error_);
  return {};
}

Result<void> Pkcs11Token::login(const Secret& user_pin) {
  if (user_pin.empty()) return fail(Cause::denied, "an empty PIN");
  std::lock_guard writing(writing_);
  Alone alone(gate_, Clock::now() + kLongWait);
  if (!alone) return fail(Cause::unavailable, "the token is busy");
  pin_ = Secret(user_pin.view());
  invalidate();
  pin_tried_ = false;
  Outcome<void> opened;
  for (bool anew : {!module_.started(), true}) {
    opened = anew ? start_module() : Outcome<void>{};
    if (opened) opened = open_token();
    if (opened || pin_tried_ || opened.error().repair == Repair::none) break;
  }
  settle(opened);
  if (!opened) {
    bool refused_pin = opened.error().error.cause() == Cause::denied;
    return std::unexpected(refused_pin ? opened.error().error : last_error_);
  }
  // This opening needs no proof, and a fault right after it may be repaired at once.
  proven_ = true;
  next_try_ = Clock::now();
  return {};
}

void Pkcs11Token::forget() {
  std::lock_guard writing(writing_);
  Alone alone(gate_, Clock::now() + kLongWait);
  if (!alone) return;
  if (keeper_ != CK_INVALID_HANDLE && module_.started()) {
    (void)module_.calls().C_Logout(keeper_);
    (void)module_.calls().C_CloseAllSessions(slot_);
  }
  invalidate();
  pin_.wipe();
  last_error_ = not_logged_in();
}

bool Pkcs11Token::present() {
  uint64_t seen = 0;
  {
    Inside inside(gate_, Clock::now() + kShortWait);
    if (!inside) return false;
    seen = generation_;
    bool due = !usable_ && !pin_.empty() && Clock::now() >= next_try_;
    if (!due) return module_.started() && module_.find(options_).has_value();
  }
  // A module that lost its token may see it again only when started anew.
  if (reopen(seen, Repair::module)) return true;
  Inside inside(gate_, Clock::now() + kShortWait);
  return inside && module_.started() && module_.find(options_).has_value();
}

TokenIdentity Pkcs11Token::identity() {
  Inside inside(gate_, Clock::now() + kShortWait);
  if (!inside || !module_.started()) return {};
  TokenIdentity identity;
  if (auto token = module_.find(options_)) identity = std::move(token->identity);
  identity.library = module_.library();
  return identity;
}

Result<void> Pkcs11Token::initialise(const Secret& so_pin, const Secret& user_pin) {
  return wipe_token(so_pin, &user_pin);
}

Result<void> Pkcs11Token::change_so_pin(const Secret& present, const Secret& next) {
  std::lock_guard writing(writing_);
  Alone alone(gate_, Clock::now() + kLongWait);
  if (!alone) return fail(Cause::unavailable, "the token is busy");
  auto token = module_.find(options_);
  if (!token) return std::unexpected(std::move(token.error().error));
  const CK_FUNCTION_LIST& calls = module_.calls();
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_RV rv = calls.C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session);
  if (rv != CKR_OK) return std::unexpected(call_failed("C_OpenSession", rv).error().error);
  Outcome<void> done;
  if (rv = calls.C_Login(session, CKU_SO, pin_bytes(present), present.size()); rv != CKR_OK) {
    done = call_failed("C_Login", rv);
  } else if (rv = calls.C_SetPIN(session, pin_bytes(present), present.size(), pin_bytes(next), next.size());
             rv != CKR_OK) {
    done = call_failed("C_SetPIN", rv);
  }
  (void)calls.C_Logout(session);
  (void)calls.C_CloseSession(session);
  if (!done) return std::unexpected(std::move(done.error().error));
  return {};
}

Result<void> Pkcs11Token::erase(const Secret& so_pin, std::string_view serial) {
  auto erased = wipe_token(so_pin, nullptr);
  if (erased || erased.error().cause() != Cause::not_found || options_.softhsm_directory.empty()) return erased;
  auto emptied = empty_softhsm_token(options_.softhsm_directory, serial);
  if (!emptied) return std::unexpected(std::move(emptied.error()));
  if (!*emptied) return erased;
  // What the module knows of its tokens is from before.
  std::lock_guard writing(writing_);
  const Alone alone(gate_, Clock::now() + kLongWait);
  if (alone) module_.end();
  return {};
}

void Pkcs11Token::bury(std::string_view serial) {
  if (!options_.softhsm_directory.empty()) drop_empty_softhsm_token(options_.softhsm_directory, serial);
}

// Twice where a fault came between: whoever erases a token must not be stopped by a session that was lost. The SO PIN
// is the right one or the first try ends it.
Result<void> Pkcs11Token::wipe_token(const Secret& so_pin, const Secret* user_pin) {
  std::lock_guard writing(writing_);
  Alone alone(gate_, Clock::now() + kLongWait);
  if (!alone) return fail(Cause::unavailable, "the token is busy");
  invalidate();
  pin_.wipe();
  last_error_ = not_logged_in();
  Outcome<void> done;
  for (bool anew : {!module_.started(), true}) {
    done = anew ? start_module() : Outcome<void>{};
    if (done) done = wipe_token_once(so_pin, user_pin);
    if (done || done.error().repair == Repair::none) break;
  }
  if (!done) return std::unexpected(std::move(done.error().error));
  return {};
}

Outcome<void> Pkcs11Token::wipe_token_once(const Secret& so_pin, const Secret* user_pin) {
  auto token = module_.find(options_);
  if (!token && token.error().error.cause() == Cause::not_found && user_pin != nullptr) {
    CK_RV silent = CKR_OK;
    auto all = module_.tokens(silent);
    if (!all) return std::unexpected(std::move(all.error()));
    for (SlotToken& blank : *all) {
      if ((blank.flags & CKF_TOKEN_INITIALIZED) != 0) continue;
      if (!options_.serial.empty() && blank.identity.serial != options_.serial) continue;
      token = std::move(blank);
      break;
    }
  }
  if (!token) return std::unexpected(std::move(token.error()));
  if ((token->flags & CKF_TOKEN_INITIALIZED) != 0) {
    auto fit = pin_guard(token->flags, CKF_SO_PIN_LOCKED, CKF_SO_PIN_FINAL_TRY, "SO");
    if (!fit) return fit;
  }
  slot_ = token->slot;
  (void)module_.calls().C_CloseAllSessions(slot_);
  unsigned char label[32];
  std::fill(std::begin(label), std::end(label), ' ');
  std::copy(options_.label.begin(), options_.label.end(), label);
  CK_RV rv = module_.calls().C_InitToken(slot_, pin_bytes(so_pin), so_pin.size(), label);
  if (rv != CKR_OK) return call_failed("C_InitToken", rv);
  if (user_pin == nullptr) return {};
  return set_user_pin(slot_, so_pin, *user_pin);
}

Outcome<void> Pkcs11Token::set_user_pin(CK_SLOT_ID slot, const Secret& so_pin, const Secret& user_pin) {
  const CK_FUNCTION_LIST& calls = module_.calls();
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_RV rv = calls.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session);
  if (rv != CKR_OK) return call_failed("C_OpenSession", rv);
  Outcome<void> done;
  if (rv = calls.C_Login(session, CKU_SO, pin_bytes(so_pin), so_pin.size()); rv != CKR_OK) {
    done = call_failed("C_Login", rv);
  } else if (rv = calls.C_InitPIN(session, pin_bytes(user_pin), user_pin.size()); rv != CKR_OK) {
    done = call_failed("C_InitPIN", rv);
  }
  // Nobody stays logged in as security officer.
  (void)calls.C_Logout(session);
  (void)calls.C_CloseAllSessions(slot);
  return done;
}

}  // namespace postern::keystore
