// SPDX-License-Identifier: Apache-2.0
// State: what fipsd is, kept in its state directory so that a crash or power cut at any point leaves one of the states
// below and never a free guess or a usable key after zeroising began. Every write is a new file, fsync, rename, fsync
// of the directory.
//
//   uninitialised → operational ⇄ officer → zeroising → zeroised → uninitialised;  error after a failed self-test
//
// Files: `state` (uninitialised | operational | zeroised), `failures` (consecutive failed officer logins), `officer`
// (hash of the officer password), `kek` (32 random bytes; everything secret on this disk hangs on it), `zeroising` (the
// marker, with what is still needed to erase the token), `catalogue` (see catalogue.h), `lock`. The state `officer` is
// a session in memory and `error` a finding in memory: neither is written. Used by one thread at a time (the officer
// thread; the start), current() by any.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/handle.h"
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
  // file that is missing or damaged while the state is operational counts as kMaxFailures - 1 (one attempt left).
  static base::Result<StateDirectory> open(const std::string& path);
  StateDirectory(StateDirectory&&) noexcept;
  StateDirectory& operator=(StateDirectory&&) noexcept;
  ~StateDirectory();

  const std::string& path() const { return path_; }
  // durable is what the files say: uninitialised, operational, zeroising (a marker is there) or zeroised.
  Condition durable() const { return durable_; }
  uint32_t failures() const { return failures_; }

  // begin_attempt counts a failure in advance and makes that durable; only then may a password be looked at.
  // Returns how many failures are on record now.
  base::Result<uint32_t> begin_attempt();
  // succeed_attempt sets the counter back to 0, durably.
  base::Result<void> succeed_attempt();

  // read and write one of the files by name, durably and whole; `mode` 0600 always. remove is durable too and
  // overwrites before it unlinks.
  base::Result<Secret> read(std::string_view name, size_t most = 16u << 20) const;
  base::Result<void> write(std::string_view name, std::string_view content);
  base::Result<void> remove(std::string_view name);
  bool exists(std::string_view name) const;

  // set_durable writes `state`.
  base::Result<void> set_durable(Condition condition);

  // Zeroising, step by step, each idempotent: mark() writes the marker holding `so_pin`; destroy_kek() overwrites and
  // unlinks `kek`; marker() reads the PIN back after a crash; destroy_rest() removes officer hash, catalogue and
  // counter; finish() writes `zeroised` and removes the marker.
  base::Result<void> mark(const Secret& so_pin);
  base::Result<Secret> marker() const;
  base::Result<void> destroy_kek();
  base::Result<void> destroy_rest();
  base::Result<void> finish();

 private:
  StateDirectory() = default;
  std::string path_;
  base::UniqueFd directory_;
  base::UniqueFd lock_;
  Condition durable_ = Condition::uninitialised;
  uint32_t failures_ = 0;
};

// Kek derives from `kek` (and, where there is one, a systemd credential named by the settings): the token's user PIN
// and SO PIN (each 43 characters of base64url, 256 bits), and keys for sealing. Destroying the file makes all of them
// impossible to compute again.
class Kek {
 public:
  // create makes a new one in `directory`; load reads it. `credential` may be empty.
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
