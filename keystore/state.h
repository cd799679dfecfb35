// SPDX-License-Identifier: Apache-2.0
// State: what fipsd is, kept in its state directory so that a crash or power cut at any point leaves one of the states
// below and never a free guess or a usable key after zeroising began. Every write is a new file, fsync, rename, fsync
// of the directory.
//
//   uninitialised → operational ⇄ officer → zeroising → zeroised → uninitialised;  error after a failed self-test
//
// Files: `state` (uninitialised | operational | zeroised), `failures` (consecutive failed officer logins), `officer`
// (hash of the officer password), `kek` (32 random bytes; everything secret on this disk hangs on it), `zeroising` (the
// marker, with what is still needed to erase the token), `catalogue` (see catalogue.h), `lock`, `ballast-1` and so on
// (files that become the next marker, counter or state when a full disk has no room for a new one). The
// state `officer` is a session in memory and `error` a finding in memory: neither is written. Used by one thread at a
// time (the start, then the officer thread).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/handle.h"
#include "keystore/private_directory.h"
#include "keystore/token/secret.h"

namespace postern::keystore {

enum class Condition : uint8_t { uninitialised, operational, officer, zeroising, zeroised, error };
// condition_name gives the word used in status, logs and messages.
std::string_view condition_name(Condition condition);

// kMaxFailures consecutive failed officer logins zeroise.
inline constexpr uint32_t kMaxFailures = 3;

// StateDirectory owns the files. Opening it takes the lock (a second fipsd is refused: Cause::unavailable).
class StateDirectory {
 public:
  // open checks owner and mode (0700, ours), takes the lock, removes half-written files, reads everything. A `failures`
  // file that is missing or damaged while the state is operational counts as kMaxFailures - 1 (one attempt left). An
  // empty directory becomes `uninitialised`; one that was in use and has no `state`, or a damaged one, is refused.
  static base::Result<StateDirectory> open(const std::string& path);

  const std::string& path() const { return directory_.path(); }
  // durable is what the files say: uninitialised, operational, zeroising (a marker is there) or zeroised.
  Condition durable() const { return durable_; }
  uint32_t failures() const { return failures_; }

  // begin_attempt counts a failure in advance and makes that durable; only then may a password be looked at.
  // Returns how many failures are on record now; denied when kMaxFailures already are. After an error nothing was
  // begun.
  base::Result<uint32_t> begin_attempt();
  // withdraw_attempt takes back what begin_attempt counted when the password was not looked at after all.
  base::Result<void> withdraw_attempt();
  // succeed_attempt sets the counter back to 0, durably. After an error the disk may still hold the old number, but
  // this process counts from 0 again: a failing disk alone never zeroises.
  base::Result<void> succeed_attempt();

  // read and write one of the files by name, durably and whole; `mode` 0600 always. remove is durable too and
  // overwrites before it unlinks.
  base::Result<Secret> read(std::string_view name, size_t most = 16u << 20) const;
  base::Result<void> write(std::string_view name, std::string_view content);
  base::Result<void> remove(std::string_view name);
  bool exists(std::string_view name) const;

  // set_durable writes `state` (uninitialised, operational or zeroised; the first of operational sets the counter to
  // 0).
  base::Result<void> set_durable(Condition condition);

  // Zeroising, step by step, each idempotent: mark() writes the marker holding `so_pin` (a marker that is there
  // already stays); mark_token() adds the token's serial number, once the kek is gone; destroy_kek() overwrites and
  // unlinks `kek`; marker() reads both back after a crash (malformed: damaged; then the token cannot be erased, but
  // nothing can compute its PINs either); destroy_rest() removes officer hash, catalogue and counter; finish() writes
  // `zeroised` and removes the marker. The later steps want mark() first; from its call on this process takes nothing
  // back. Where mark() fails (a dying disk) the caller goes on all the same: without the kek nothing can be used,
  // whatever the next start finds.
  struct Marker {
    Secret so_pin;
    std::string serial;
  };
  base::Result<void> mark(const Secret& so_pin);
  base::Result<void> mark_token(std::string_view serial);
  base::Result<Marker> marker() const;
  base::Result<void> destroy_kek();
  base::Result<void> destroy_rest();
  base::Result<void> finish();

 private:
  explicit StateDirectory(PrivateDirectory directory) : directory_(std::move(directory)) {}
  base::Result<void> read_condition();
  void read_failures();
  base::Result<void> write_failures(uint32_t count);
  base::Result<void> write_marker(const Secret& so_pin, std::string_view serial);
  base::Result<void> write_small(std::string_view name, std::string_view content);
  void keep_ballast() const;

  PrivateDirectory directory_;
  base::UniqueFd lock_;
  Condition durable_ = Condition::uninitialised;
  uint32_t failures_ = 0;
};

// Kek derives from `kek` (and, where there is one, a systemd credential named by the settings): the token's user PIN
// and SO PIN (each 43 characters of base64url, 256 bits), and keys for sealing. Destroying the file makes all of them
// impossible to compute again. Immutable; any thread.
class Kek {
 public:
  // create makes a new one in `directory`, or takes the one that an interrupted initialisation left there (the token
  // may have its PIN already); load reads it. Both are denied once zeroising has begun, create in an operational
  // directory too. `credential` is the further secret itself, not its path; it may be empty.
  static base::Result<Kek> create(StateDirectory& directory, std::string_view credential);
  static base::Result<Kek> load(const StateDirectory& directory, std::string_view credential);

  Secret user_pin() const;
  Secret so_pin() const;
  // seal encrypts (AES-256-GCM, random nonce, `context` as associated data); open is the way back, `malformed` when it
  // is not what seal made.
  base::Result<std::string> seal(std::string_view context, std::string_view plain) const;
  base::Result<Secret> open(std::string_view context, std::string_view sealed) const;
  // mac is HMAC-SHA-256 for what must not be changed behind our back.
  std::string mac(std::string_view context, std::string_view data) const;

 private:
  explicit Kek(Secret secret) : secret_(std::move(secret)) {}
  Secret derive(std::string_view label) const;
  Secret secret_;
};

}  // namespace postern::keystore
