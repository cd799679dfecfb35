// SPDX-License-Identifier: Apache-2.0
// The state directory: what is written when, and what is made of what a crash left.
#include "keystore/state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <optional>

#include "keystore/encoding.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view kState = "state";
constexpr std::string_view kFailures = "failures";
constexpr std::string_view kOfficer = "officer";
constexpr std::string_view kKek = "kek";
constexpr std::string_view kMarker = "zeroising";
constexpr std::string_view kCatalogue = "catalogue";
constexpr std::string_view kLock = "lock";

// What may be written over a ballast, and how many there are: three attempts, the marker and the last state need five.
constexpr size_t kSmall = 4096;
constexpr std::array<std::string_view, 6> kBallast = {"ballast-1", "ballast-2", "ballast-3",
                                                      "ballast-4", "ballast-5", "ballast-6"};

// checked and unchecked: one line of text with a checksum. It is against damage; who can write here can do anything.
std::string checked(std::string_view text) { return fmt::format("{} {}\n", text, to_hex(sha256(text).substr(0, 8))); }

std::optional<std::string_view> unchecked(std::string_view line) {
  const size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos || checked(line.substr(0, blank)) != line) return std::nullopt;
  return line.substr(0, blank);
}

}  // namespace

std::string_view condition_name(Condition condition) {
  switch (condition) {
    case Condition::uninitialised:
      return "uninitialised";
    case Condition::operational:
      return "operational";
    case Condition::officer:
      return "officer";
    case Condition::zeroising:
      return "zeroising";
    case Condition::zeroised:
      return "zeroised";
    case Condition::error:
      return "error";
  }
  return "error";
}

Result<StateDirectory> StateDirectory::open(const std::string& path) {
  auto directory = PrivateDirectory::open(path, false);
  if (!directory) return std::unexpected(std::move(directory.error()).in("state directory"));
  StateDirectory out(std::move(*directory));
  auto lock = out.directory_.open_file(kLock, O_RDWR | O_CREAT);
  if (!lock) return std::unexpected(lock.error());
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Cause::unavailable, fmt::format("another fipsd holds {}", out.directory_.path_of(kLock)));
    }
    return std::unexpected(base::system_error("locking " + out.directory_.path_of(kLock), errno));
  }
  out.lock_ = std::move(*lock);
  if (auto removed = out.directory_.remove_leftovers(); !removed) return std::unexpected(removed.error());
  if (auto condition = out.read_condition(); !condition) return std::unexpected(condition.error());
  out.read_failures();
  out.keep_ballast();
  return out;
}

Result<void> StateDirectory::read_condition() {
  // The marker first: it wins over whatever `state` says.
  if (directory_.exists(kMarker)) {
    durable_ = Condition::zeroising;
    return {};
  }
  auto text = directory_.read(kState, kSmall);
  if (!text && text.error().cause() == Cause::not_found) {
    for (const std::string_view name : {kKek, kOfficer, kCatalogue, kFailures}) {
      if (!directory_.exists(name)) continue;
      return fail(
          Cause::misconfigured,
          fmt::format("{} is missing though the directory was in use: put it back, or move {} away to begin anew",
                      directory_.path_of(kState), path()));
    }
    return set_durable(Condition::uninitialised);
  }
  if (!text) return std::unexpected(text.error());
  for (const Condition condition : {Condition::uninitialised, Condition::operational, Condition::zeroised}) {
    if (text->view() != fmt::format("{}\n", condition_name(condition))) continue;
    durable_ = condition;
    return {};
  }
  return fail(Cause::malformed,
              fmt::format("{} is damaged: it must hold one of the words uninitialised, operational, zeroised",
                          directory_.path_of(kState)));
}

void StateDirectory::read_failures() {
  failures_ = 0;
  if (durable_ != Condition::operational) return;
  // Whoever deletes or spoils the counter gains nothing by it.
  failures_ = kMaxFailures - 1;
  const auto text = directory_.read(kFailures, kSmall);
  if (!text) return;
  for (uint32_t count = 0; count <= kMaxFailures; ++count) {
    if (unchecked(text->view()) == fmt::format("failures {}", count)) failures_ = count;
  }
}

void StateDirectory::keep_ballast() const {
  for (const std::string_view name : kBallast) {
    if (directory_.exists(name)) continue;
    const std::string text(name);
    const base::UniqueFd fd(
        ::openat(directory_.fd(), text.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd && ::posix_fallocate(fd.get(), 0, kSmall) == 0) continue;
    // Nobody is told: without room there is none to be set aside, and the next write tries again.
    if (fd) ::unlinkat(directory_.fd(), text.c_str(), 0);
    return;
  }
}

Result<void> StateDirectory::write_small(std::string_view name, std::string_view content) {
  auto written = directory_.write(name, content);
  if (!written && written.error().cause() == Cause::unavailable) {
    for (const std::string_view ballast : kBallast) {
      if (!directory_.exists(ballast)) continue;
      auto again = directory_.write_over(ballast, name, content);
      if (again) written = std::move(again);
      break;
    }
  }
  if (written) keep_ballast();
  return written;
}

Result<void> StateDirectory::write_failures(uint32_t count) {
  return write_small(kFailures, checked(fmt::format("failures {}", count)));
}

Result<uint32_t> StateDirectory::begin_attempt() {
  if (failures_ >= kMaxFailures) return fail(Cause::denied, "no attempt is left");
  if (auto written = write_failures(failures_ + 1); !written) {
    // The new number may be there or not. It was no attempt, so the disk is told the old one, if it can be; and the
    // number in memory, from which the next attempt counts, is that of the attempts begun.
    (void)write_failures(failures_);
    return std::unexpected(std::move(written.error()).in("counting the login attempt"));
  }
  return ++failures_;
}

Result<void> StateDirectory::withdraw_attempt() {
  if (failures_ > 0) --failures_;
  return write_failures(failures_);
}

Result<void> StateDirectory::succeed_attempt() {
  failures_ = 0;
  if (auto written = write_failures(0); !written) {
    return std::unexpected(std::move(written.error()).in("setting the count of failures back"));
  }
  return {};
}

Result<Secret> StateDirectory::read(std::string_view name, size_t most) const { return directory_.read(name, most); }

Result<void> StateDirectory::write(std::string_view name, std::string_view content) {
  if (content.size() <= kSmall) return write_small(name, content);
  return directory_.write(name, content);
}

Result<void> StateDirectory::remove(std::string_view name) { return directory_.remove(name); }

bool StateDirectory::exists(std::string_view name) const { return directory_.exists(name); }

Result<void> StateDirectory::set_durable(Condition condition) {
  if (durable_ == Condition::zeroising) return fail(Cause::denied, "zeroising has begun");
  switch (condition) {
    case Condition::operational:
      if (durable_ != Condition::operational) {
        if (auto counted = succeed_attempt(); !counted) return counted;
      }
      break;
    case Condition::uninitialised:
    case Condition::zeroised:
      break;
    default:
      return fail(Cause::internal, fmt::format("{} is not a state to be written", condition_name(condition)));
  }
  if (auto written = write_small(kState, fmt::format("{}\n", condition_name(condition))); !written) return written;
  durable_ = condition;
  return {};
}

Result<void> StateDirectory::mark(const Secret& so_pin) {
  durable_ = Condition::zeroising;
  if (directory_.exists(kMarker)) return directory_.sync();
  return write_marker(so_pin, {});
}

Result<void> StateDirectory::mark_token(std::string_view serial) {
  auto present = marker();
  if (!present) return std::unexpected(std::move(present.error()));
  return write_marker(present->so_pin, serial);
}

Result<void> StateDirectory::write_marker(const Secret& so_pin, std::string_view serial) {
  std::string text = fmt::format("zeroising {}\t{}", so_pin.view(), serial);
  std::string line = checked(text);
  auto written = write_small(kMarker, line);
  wipe(text);
  wipe(line);
  return written;
}

Result<StateDirectory::Marker> StateDirectory::marker() const {
  auto text = directory_.read(kMarker, kSmall);
  if (!text) return std::unexpected(std::move(text.error()));
  constexpr std::string_view kWord = "zeroising ";
  const auto line = unchecked(text->view());
  if (!line || !line->starts_with(kWord)) {
    return fail(Cause::malformed, directory_.path_of(kMarker) + " is damaged");
  }
  const std::string_view rest = line->substr(kWord.size());
  const size_t end = rest.rfind('\t');
  if (end == std::string_view::npos) return fail(Cause::malformed, directory_.path_of(kMarker) + " is damaged");
  return Marker{Secret(rest.substr(0, end)), std::string(rest.substr(end + 1))};
}

Result<void> StateDirectory::destroy_kek() {
  if (durable_ != Condition::zeroising) return fail(Cause::internal, "the key-encryption key goes after the marker");
  return directory_.remove(kKek);
}

Result<void> StateDirectory::destroy_rest() {
  if (durable_ != Condition::zeroising) return fail(Cause::internal, "nothing is destroyed before the marker is there");
  Result<void> outcome;
  for (const std::string_view name : {kOfficer, kCatalogue, kFailures}) {
    if (auto removed = directory_.remove(name); !removed) outcome = std::move(removed);
  }
  failures_ = 0;
  return outcome;
}

Result<void> StateDirectory::finish() {
  if (durable_ == Condition::zeroised) return {};
  if (durable_ != Condition::zeroising) return fail(Cause::internal, "zeroising has not begun");
  for (const std::string_view name : {kKek, kOfficer, kCatalogue, kFailures}) {
    if (directory_.exists(name)) return fail(Cause::internal, directory_.path_of(name) + " is still there");
  }
  if (auto written = write_small(kState, fmt::format("{}\n", condition_name(Condition::zeroised))); !written) {
    return written;
  }
  // Not remove(): a marker half overwritten would look like one that was damaged.
  auto removed = directory_.discard(kMarker);
  if (!directory_.exists(kMarker)) durable_ = Condition::zeroised;
  return removed;
}

}  // namespace postern::keystore
