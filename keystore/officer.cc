// SPDX-License-Identifier: Apache-2.0
// Passwords: policy, hash lines, and the one place where an attempt is counted and judged. A hash line has the shape of
// the PHC string format, with exactly the parameters below in this order:
//   $scrypt$ln=16,r=8,p=1$SALT$HASH           RFC 7914; ln is the binary logarithm of N
//   $pbkdf2-sha256$i=600000$SALT$HASH         RFC 8018 with HMAC-SHA-256
// SALT is 16 bytes, HASH 32, both base64 without padding.
#include "keystore/officer.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <charconv>
#include <optional>

#include "engine/base/text.h"
#include "keystore/encoding.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view kFile = "officer";
constexpr size_t kLeastCharacters = 12;
constexpr size_t kSaltSize = 16;
constexpr size_t kHashSize = 32;
// scrypt: 64 MiB and 0.2 s by default; what may be read from the file is bounded to 128 MiB.
constexpr uint32_t kScryptCost = 16;
constexpr uint32_t kScryptLeast = 15;
constexpr uint32_t kScryptMost = 17;
constexpr uint32_t kScryptBlock = 8;
constexpr uint32_t kRounds = 600'000;
constexpr uint32_t kMostRounds = 10'000'000;

struct HashLine {
  PasswordHash kind = PasswordHash::scrypt;
  uint32_t cost = 0;  // ln, or rounds
  std::string salt;
  std::string hash;
};

// A number as we write it: no sign, no leading zero, nothing after it.
std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.starts_with('0')) return std::nullopt;
  return value;
}

bool cut_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool cut_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

std::optional<HashLine> parse(std::string_view line) {
  const auto fields = base::split(line, '$');
  if (line.size() > 256 || fields.size() != 5 || !fields[0].empty()) return std::nullopt;
  HashLine out;
  std::string_view cost = fields[2];
  uint32_t least = kScryptLeast;
  uint32_t most = kScryptMost;
  if (fields[1] == "scrypt") {
    if (!cut_prefix(cost, "ln=") || !cut_suffix(cost, ",r=8,p=1")) return std::nullopt;
  } else if (fields[1] == "pbkdf2-sha256") {
    out.kind = PasswordHash::pbkdf2;
    if (!cut_prefix(cost, "i=")) return std::nullopt;
    least = kRounds;
    most = kMostRounds;
  } else {
    return std::nullopt;
  }
  const auto value = number(cost);
  auto salt = from_base64(fields[3], Base64::bare);
  auto hash = from_base64(fields[4], Base64::bare);
  if (!value || *value < least || *value > most || !salt || salt->size() != kSaltSize || !hash ||
      hash->size() != kHashSize) {
    return std::nullopt;
  }
  out.cost = *value;
  out.salt = std::move(*salt);
  out.hash = std::move(*hash);
  return out;
}

// derive computes the hash of `password` with the salt and cost of `line`.
Result<Secret> derive(std::string_view password, const HashLine& line) {
  Secret out = Secret::sized(kHashSize);
  auto* const target = reinterpret_cast<uint8_t*>(out.data());
  const auto* const salt = reinterpret_cast<const uint8_t*>(line.salt.data());
  int done = 0;
  if (line.kind == PasswordHash::scrypt) {
    const uint64_t n = 1ull << line.cost;
    const uint64_t memory = 128ull * kScryptBlock * n + (1ull << 20);
    done = EVP_PBE_scrypt(password.data(), password.size(), salt, line.salt.size(), n, kScryptBlock, 1, memory, target,
                          kHashSize);
  } else {
    done =
        PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), salt, static_cast<int>(line.salt.size()),
                          static_cast<int>(line.cost), EVP_sha256(), static_cast<int>(kHashSize), target);
  }
  if (done != 1) return fail(Cause::unavailable, "the password could not be hashed: not enough memory");
  return out;
}

std::unexpected<base::Error> damaged() {
  return fail(Cause::malformed, "the line with the officer's password hash is damaged or of another version");
}

bool is_one_character(std::string_view text) {
  size_t length = 1;
  while (length < text.size() && (static_cast<uint8_t>(text[length]) & 0xc0) == 0x80) ++length;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != text[i % length]) return false;
  }
  return true;
}

bool has_control(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return true;
    // U+0080 to U+009F
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xa0) return true;
  }
  return false;
}

}  // namespace

Result<void> check_password_policy(std::string_view password, std::string_view account) {
  size_t characters = 0;
  for (const char c : password) characters += (static_cast<uint8_t>(c) & 0xc0) != 0x80 ? 1 : 0;
  if (characters < kLeastCharacters) {
    return fail(Cause::malformed, fmt::format("the password is shorter than {} characters", kLeastCharacters));
  }
  if (password.size() > kMaxPassword) {
    return fail(Cause::malformed, fmt::format("the password is longer than {} bytes", kMaxPassword));
  }
  if (has_control(password)) return fail(Cause::malformed, "the password has control characters in it");
  if (is_one_character(password)) return fail(Cause::malformed, "the password is one character repeated");
  if (!account.empty()) {
    Secret folded(password);
    for (size_t i = 0; i < folded.size(); ++i) folded.data()[i] = base::ascii_lower(folded.data()[i]);
    if (folded.view().find(base::lower(account)) != std::string_view::npos) {
      return fail(Cause::malformed, "the password has the account name in it");
    }
  }
  return {};
}

Result<std::string> hash_password(std::string_view password, PasswordHash kind) {
  HashLine line;
  line.kind = kind;
  line.cost = kind == PasswordHash::scrypt ? kScryptCost : kRounds;
  line.salt.resize(kSaltSize);
  if (RAND_bytes(reinterpret_cast<uint8_t*>(line.salt.data()), kSaltSize) != 1) {
    return fail(Cause::unavailable, "the random generator gives nothing");
  }
  auto hash = derive(password, line);
  if (!hash) return std::unexpected(hash.error());
  const std::string head = kind == PasswordHash::scrypt ? fmt::format("$scrypt$ln={},r={},p=1", line.cost, kScryptBlock)
                                                        : fmt::format("$pbkdf2-sha256$i={}", line.cost);
  return fmt::format("{}${}${}", head, to_base64(line.salt, Base64::bare), to_base64(hash->view(), Base64::bare));
}

Result<bool> verify_password(std::string_view password, std::string_view line) {
  const auto parsed = parse(line);
  if (!parsed) return damaged();
  if (password.size() > kMaxPassword) return false;
  auto hash = derive(password, *parsed);
  if (!hash) return std::unexpected(hash.error());
  return equal_in_constant_time(hash->view(), parsed->hash);
}

bool is_password_line(std::string_view line) { return parse(line).has_value(); }

Result<void> store_password(StateDirectory& directory, std::string_view password, PasswordHash kind) {
  auto line = hash_password(password, kind);
  if (!line) return std::unexpected(line.error());
  return directory.write(kFile, *line);
}

Result<Attempt> attempt(StateDirectory& directory, std::string_view password) {
  Attempt out;
  if (directory.durable() != Condition::operational) {
    return fail(Cause::denied,
                fmt::format("there is no officer: the state is {}", condition_name(directory.durable())));
  }
  if (directory.failures() >= kMaxFailures) {
    out.zeroise = true;
    out.failures = directory.failures();
    out.left = 0;
    return out;
  }
  // What cannot be judged is not counted.
  const auto file = directory.read(kFile, 4096);
  if (!file) return std::unexpected(file.error());
  if (!is_password_line(file->view())) return damaged();

  const auto counted = directory.begin_attempt();
  if (!counted) return std::unexpected(counted.error());
  const auto right = verify_password(password, file->view());
  if (!right) {
    // Nothing was compared, so this was no guess; a machine short of memory must not use up the officer's attempts.
    (void)directory.withdraw_attempt();
    return std::unexpected(right.error());
  }
  if (*right) {
    // Without a record of its success a login is none; the next one counts from 0 in any case.
    if (auto reset = directory.succeed_attempt(); !reset) return std::unexpected(reset.error());
    out.accepted = true;
    return out;
  }
  out.failures = *counted;
  out.left = kMaxFailures - out.failures;
  out.zeroise = out.left == 0;
  out.delay_seconds = out.failures == 1 ? 1 : out.failures == 2 ? 5 : 0;
  return out;
}

}  // namespace postern::keystore
