// SPDX-License-Identifier: Apache-2.0
// What a socket may know of, what a key's uses allow, and what the FIPS policy leaves of that. A right counts only for
// the uses it names: a key for dkim and tls-server signs like a dkim key, and no other way, for a socket that has
// rights to dkim keys alone.
#include "keystore/policy.h"

#include <fmt/format.h>

#include <algorithm>

namespace postern::keystore {
namespace {

using base::Cause;
using x509::DecryptAlgorithm;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

constexpr uint32_t kMinRsa = 1024;        // RFC 8301: less is no signature to anybody
constexpr uint32_t kMinRsaStrict = 2048;  // SP 800-131A
constexpr uint32_t kMaxRsa = 4096;
constexpr size_t kDkimInput = 32;          // RFC 8463 section 3: Ed25519 signs the SHA-256 of the header
constexpr size_t kMaxMessage = 48u << 10;  // of a message for eddsa
constexpr uint32_t kTransport =
    static_cast<uint32_t>(Use::tls_server) | static_cast<uint32_t>(Use::tls_client) | static_cast<uint32_t>(Use::ldap);

bool has(uint32_t uses, Use use) { return (uses & static_cast<uint32_t>(use)) != 0; }

bool is_sha2(Hash hash) { return hash == Hash::sha256 || hash == Hash::sha384 || hash == Hash::sha512; }

bool is_known(Hash hash) { return hash == Hash::none || hash == Hash::sha1 || is_sha2(hash); }

std::string_view algorithm_name(SignAlgorithm algorithm) {
  switch (algorithm) {
    case SignAlgorithm::rsa_pkcs1:
      return "RSA PKCS#1 v1.5";
    case SignAlgorithm::rsa_pss:
      return "RSA-PSS";
    case SignAlgorithm::ecdsa:
      return "ECDSA";
    case SignAlgorithm::eddsa:
      return "EdDSA";
  }
  return "unknown";
}

// Whether `name` matches `pattern` with * and ?; linear in both but for one step back at a star.
bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t restart = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      restart = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++restart;
    } else {
      return false;
    }
  }
  return std::ranges::all_of(pattern.substr(p), [](char c) { return c == '*'; });
}

bool names(const Right& right, std::string_view socket, std::string_view key) {
  return right.socket == socket &&
         std::ranges::any_of(right.keys, [key](const std::string& pattern) { return matches(pattern, key); });
}

// The uses under which `socket` may do `operation` with `entry`.
uint32_t allowed_uses(const FipsdSettings& settings, std::string_view socket, const KeyEntry& entry,
                      Operation operation) {
  uint32_t uses = 0;
  for (const Right& right : settings.rights) {
    if ((right.operations & static_cast<uint8_t>(operation)) != 0 && names(right, socket, entry.name))
      uses |= entry.uses & right.uses;
  }
  return uses;
}

base::Result<void> not_found() { return base::fail(Cause::not_found, "there is no such key"); }

// What comes before every use: the key is there for this socket, and the socket may do that with it.
base::Result<uint32_t> begin(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry,
                             Operation operation) {
  if (entry == nullptr || !visible(settings, socket, *entry)) return std::unexpected(not_found().error());
  if (!entry->has_key)
    return base::fail(Cause::not_found, fmt::format("{} is a certificate without a key", entry->name));
  const uint32_t uses = allowed_uses(settings, socket, *entry, operation);
  if (uses == 0)
    return base::fail(Cause::denied, fmt::format("clients of the {} socket have no right to {} with the key {}", socket,
                                                 operation_name(operation), entry->name));
  return uses;
}

bool fits(KeyType type, SignAlgorithm algorithm) {
  switch (algorithm) {
    case SignAlgorithm::rsa_pkcs1:
    case SignAlgorithm::rsa_pss:
      return type == KeyType::rsa;
    case SignAlgorithm::ecdsa:
      return type == KeyType::ec_p256 || type == KeyType::ec_p384;
    case SignAlgorithm::eddsa:
      return type == KeyType::ed25519;
  }
  return false;
}

// Whether a key with these uses signs this way; the length of the input has been checked already.
bool use_allows(uint32_t uses, SignAlgorithm algorithm, Hash hash, size_t input) {
  if (has(uses, Use::smime) || (uses & kTransport) != 0) return algorithm == SignAlgorithm::eddsa || is_sha2(hash);
  if (!has(uses, Use::dkim)) return false;
  if (algorithm == SignAlgorithm::eddsa) return input == kDkimInput;
  return algorithm == SignAlgorithm::rsa_pkcs1 && hash == Hash::sha256;
}

base::Result<void> check_strict_key(const KeyEntry& entry) {
  if (entry.ref.type == KeyType::rsa && entry.bits < kMinRsaStrict)
    return base::fail(Cause::misconfigured, fmt::format("the key {} has {} bits; the FIPS policy asks for {}",
                                                        entry.name, entry.bits, kMinRsaStrict));
  return {};
}

}  // namespace

bool visible(const FipsdSettings& settings, std::string_view socket, const KeyEntry& entry) {
  if (socket == kOfficerSocket) return true;
  return std::ranges::any_of(settings.rights, [&](const Right& right) {
    // A certificate alone has no use to go by, and nothing in it is secret.
    return names(right, socket, entry.name) && (!entry.has_key || (right.uses & entry.uses) != 0);
  });
}

base::Result<void> check_describe(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry) {
  if (entry == nullptr || !visible(settings, socket, *entry)) return not_found();
  if (socket == kOfficerSocket || !entry->has_key) return {};
  if (auto uses = begin(settings, socket, entry, Operation::describe); !uses)
    return std::unexpected(std::move(uses.error()));
  return {};
}

base::Result<void> check_sign(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry,
                              const SignBody& body) {
  const auto uses = begin(settings, socket, entry, Operation::sign);
  if (!uses) return std::unexpected(uses.error());
  const auto algorithm = static_cast<SignAlgorithm>(body.algorithm);
  const auto hash = static_cast<Hash>(body.hash);
  const KeyType type = entry->ref.type;
  if (algorithm < SignAlgorithm::rsa_pkcs1 || algorithm > SignAlgorithm::eddsa || !is_known(hash))
    return base::fail(Cause::malformed, "unknown signature algorithm or digest");
  if (!fits(type, algorithm))
    return base::fail(Cause::malformed, fmt::format("the key {} is {}, which cannot sign with {}", entry->name,
                                                    x509::key_type_name(type), algorithm_name(algorithm)));
  if ((algorithm == SignAlgorithm::eddsa) != (hash == Hash::none))
    return base::fail(Cause::malformed, fmt::format("{} with digest {}", algorithm_name(algorithm), hash_name(hash)));
  const bool length_good =
      hash == Hash::none ? body.input.size() <= kMaxMessage : body.input.size() == x509::hash_size(hash);
  if (!length_good)
    return base::fail(Cause::malformed,
                      fmt::format("{} bytes to sign do not go with digest {}", body.input.size(), hash_name(hash)));
  if (!use_allows(*uses, algorithm, hash, body.input.size()))
    return base::fail(Cause::misconfigured,
                      fmt::format("the key {} is for {}, which does not sign {} bytes with {} and {}", entry->name,
                                  uses_text(*uses), body.input.size(), algorithm_name(algorithm), hash_name(hash)));
  if (settings.fips == FipsPolicy::strict) return check_strict_key(*entry);
  return {};
}

base::Result<void> check_decrypt(const FipsdSettings& settings, std::string_view socket, const KeyEntry* entry,
                                 const DecryptBody& body) {
  const auto uses = begin(settings, socket, entry, Operation::decrypt);
  if (!uses) return std::unexpected(uses.error());
  const auto algorithm = static_cast<DecryptAlgorithm>(body.algorithm);
  const auto hash = static_cast<Hash>(body.hash);
  const bool oaep = algorithm == DecryptAlgorithm::rsa_oaep;
  if ((!oaep && algorithm != DecryptAlgorithm::rsa_pkcs1) || !is_known(hash))
    return base::fail(Cause::malformed, "unknown decryption algorithm or digest");
  if (entry->ref.type != KeyType::rsa)
    return base::fail(Cause::malformed, fmt::format("the key {} is {}; only RSA keys decrypt", entry->name,
                                                    x509::key_type_name(entry->ref.type)));
  if (oaep && hash == Hash::none) return base::fail(Cause::malformed, "RSA-OAEP takes a digest");
  if (!oaep && !body.label.empty()) return base::fail(Cause::malformed, "RSA PKCS#1 v1.5 takes no label");
  if (body.ciphertext.size() != (entry->bits + 7) / 8)
    return base::fail(Cause::malformed, fmt::format("{} bytes are no ciphertext for a key of {} bits",
                                                    body.ciphertext.size(), entry->bits));
  if (!has(*uses, Use::smime))
    return base::fail(Cause::misconfigured,
                      fmt::format("the key {} is for {}, which does not decrypt", entry->name, uses_text(*uses)));
  if (settings.fips != FipsPolicy::strict) return {};
  if (!oaep)
    return base::fail(Cause::misconfigured,
                      fmt::format("the FIPS policy does not let the key {} decrypt with RSA PKCS#1 v1.5", entry->name));
  if (!is_sha2(hash))
    return base::fail(
        Cause::misconfigured,
        fmt::format("the FIPS policy does not let the key {} decrypt with RSA-OAEP and SHA-1", entry->name));
  return check_strict_key(*entry);
}

base::Result<void> check_new_key(FipsPolicy policy, KeyType type, uint32_t bits, uint32_t uses) {
  constexpr uint32_t kAll = static_cast<uint32_t>(Use::dkim) | static_cast<uint32_t>(Use::smime) | kTransport;
  if (uses == 0 || (uses & ~kAll) != 0) return base::fail(Cause::malformed, "a key needs at least one known use");
  if (type < KeyType::rsa || type > KeyType::ed25519) return base::fail(Cause::malformed, "unknown key type");
  if (type == KeyType::rsa) {
    if (bits < kMinRsa || bits > kMaxRsa || bits % 8 != 0)
      return base::fail(Cause::malformed, fmt::format("an RSA key has {} to {} bits, not {}", kMinRsa, kMaxRsa, bits));
    if (policy == FipsPolicy::strict && bits < kMinRsaStrict)
      return base::fail(Cause::misconfigured,
                        fmt::format("the FIPS policy asks for RSA keys of at least {} bits", kMinRsaStrict));
  }
  if (has(uses, Use::dkim) && type != KeyType::rsa && type != KeyType::ed25519)
    return base::fail(Cause::misconfigured,
                      fmt::format("DKIM knows rsa and ed25519 keys, not {}", x509::key_type_name(type)));
  return {};
}

std::string not_approved(KeyType type, uint32_t bits, uint32_t uses) {
  if (type == KeyType::rsa && bits < kMinRsaStrict) return fmt::format("RSA with less than {} bits", kMinRsaStrict);
  if (type == KeyType::ed25519) return "Ed25519 is in FIPS 186-5, but few module certificates cover it";
  if (type == KeyType::rsa && has(uses, Use::smime))
    return "RSA PKCS#1 v1.5 decryption is not approved; the strict policy refuses it";
  return "";
}

}  // namespace postern::keystore
