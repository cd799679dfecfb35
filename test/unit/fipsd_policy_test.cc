// SPDX-License-Identifier: Apache-2.0
// The policy as a matrix: every use, key type, algorithm, digest and FIPS policy against a second statement of what is
// allowed; rights of sockets; what a socket may know of; what may be made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/config/source.h"
#include "keystore/policy.h"

namespace postern::keystore {
namespace {

using base::Cause;
using testing::HasSubstr;
using x509::DecryptAlgorithm;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

constexpr Use kUses[] = {Use::dkim, Use::smime, Use::tls_server, Use::tls_client, Use::ldap};
constexpr KeyType kTypes[] = {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384, KeyType::ed25519};
constexpr Hash kHashes[] = {Hash::none, Hash::sha1, Hash::sha256, Hash::sha384, Hash::sha512};
constexpr SignAlgorithm kSign[] = {SignAlgorithm::rsa_pkcs1, SignAlgorithm::rsa_pss, SignAlgorithm::ecdsa,
                                   SignAlgorithm::eddsa};

FipsdSettings settings_of(const std::string& text) {
  config::Sources sources;
  config::Diagnostics diagnostics(sources);
  auto settings = read_fipsd_settings(sources, sources.add_text("/fipsd.yaml", text), diagnostics);
  EXPECT_TRUE(settings) << diagnostics.render();
  return settings ? *settings : FipsdSettings();
}

// Everything is allowed to the milter, so that only use and FIPS policy decide.
FipsdSettings open_settings(FipsPolicy policy) {
  return settings_of("fips: " + std::string(policy == FipsPolicy::strict ? "strict" : "permissive") +
                     "\nrights: [{socket: milter, allow: [describe, sign, decrypt]}]\n");
}

KeyEntry key(KeyType type, uint32_t uses, uint32_t bits = 2048, const std::string& name = "k1") {
  KeyEntry entry;
  entry.name = name;
  entry.ref.type = type;
  entry.uses = uses;
  entry.bits = type == KeyType::rsa ? bits : type == KeyType::ec_p384 ? 384 : 256;
  return entry;
}

uint32_t bit(Use use) { return static_cast<uint32_t>(use); }

std::string outcome(const base::Result<void>& result) {
  return result ? "yes" : std::string(base::cause_name(result.error().cause()));
}

std::string sign_outcome(const FipsdSettings& settings, const KeyEntry& entry, SignAlgorithm algorithm, Hash hash,
                         const std::string& input) {
  return outcome(check_sign(settings, "milter", &entry,
                            {entry.name, static_cast<uint8_t>(algorithm), static_cast<uint8_t>(hash), input}));
}

// The table of keystore/policy.h once more, written the other way round.
std::string wanted(KeyType type, uint32_t bits, Use use, SignAlgorithm algorithm, Hash hash, bool strict) {
  const bool rsa_way = algorithm == SignAlgorithm::rsa_pkcs1 || algorithm == SignAlgorithm::rsa_pss;
  const bool ec = type == KeyType::ec_p256 || type == KeyType::ec_p384;
  if (rsa_way != (type == KeyType::rsa) || (algorithm == SignAlgorithm::ecdsa) != ec) return "malformed";
  if (type == KeyType::ed25519) return hash == Hash::none ? "yes" : "malformed";
  if (hash == Hash::none) return "malformed";
  if (hash == Hash::sha1) return "misconfigured";
  if (use == Use::dkim && (algorithm != SignAlgorithm::rsa_pkcs1 || hash != Hash::sha256)) return "misconfigured";
  if (strict && type == KeyType::rsa && bits < 2048) return "misconfigured";
  return "yes";
}

TEST(Policy, SignsAsTheMatrixSays) {
  size_t cases = 0;
  size_t allowed = 0;
  for (const FipsPolicy policy : {FipsPolicy::permissive, FipsPolicy::strict}) {
    const FipsdSettings settings = open_settings(policy);
    for (const KeyType type : kTypes) {
      for (const uint32_t bits : {1024u, 2048u, 4096u}) {
        for (const Use use : kUses) {
          for (const SignAlgorithm algorithm : kSign) {
            for (const Hash hash : kHashes) {
              const std::string input(hash == Hash::none ? 32 : x509::hash_size(hash), 'x');
              const std::string want = wanted(type, bits, use, algorithm, hash, policy == FipsPolicy::strict);
              EXPECT_EQ(sign_outcome(settings, key(type, bit(use), bits), algorithm, hash, input), want)
                  << key_type_name(type) << bits << " " << use_name(use) << " " << static_cast<int>(algorithm) << " "
                  << hash_name(hash) << " " << static_cast<int>(policy);
              ++cases;
              allowed += want == "yes" ? 1 : 0;
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(cases, 2u * 4 * 3 * 5 * 4 * 5);
  EXPECT_EQ(allowed, 299u);
}

TEST(Policy, DigestsHaveTheirLength) {
  const FipsdSettings settings = open_settings(FipsPolicy::permissive);
  const KeyEntry rsa = key(KeyType::rsa, bit(Use::dkim));
  for (const size_t length : {size_t{0}, size_t{31}, size_t{33}, size_t{64}})
    EXPECT_EQ(sign_outcome(settings, rsa, SignAlgorithm::rsa_pkcs1, Hash::sha256, std::string(length, 'x')),
              "malformed");
  // DKIM signs the hash of the header with Ed25519, and nothing else; TLS and CMS sign messages.
  const KeyEntry dkim = key(KeyType::ed25519, bit(Use::dkim));
  const KeyEntry tls = key(KeyType::ed25519, bit(Use::tls_server));
  EXPECT_EQ(sign_outcome(settings, dkim, SignAlgorithm::eddsa, Hash::none, std::string(33, 'x')), "misconfigured");
  EXPECT_EQ(sign_outcome(settings, tls, SignAlgorithm::eddsa, Hash::none, std::string(33, 'x')), "yes");
  EXPECT_EQ(sign_outcome(settings, tls, SignAlgorithm::eddsa, Hash::none, std::string(48u << 10, 'x')), "yes");
  EXPECT_EQ(sign_outcome(settings, tls, SignAlgorithm::eddsa, Hash::none, std::string((48u << 10) + 1, 'x')),
            "malformed");
}

TEST(Policy, NumbersOutsideTheEnumsAreMalformed) {
  const FipsdSettings settings = open_settings(FipsPolicy::permissive);
  const KeyEntry rsa = key(KeyType::rsa, bit(Use::smime));
  for (int algorithm = 0; algorithm < 256; ++algorithm) {
    for (const int hash : {0, 1, 2, 5, 77, 255}) {
      const bool known = algorithm >= 1 && algorithm <= 4 && hash <= 4;
      const auto result = check_sign(settings, "milter", &rsa,
                                     {"k1", static_cast<uint8_t>(algorithm), static_cast<uint8_t>(hash), "x"});
      ASSERT_FALSE(result);
      if (!known) {
        EXPECT_EQ(result.error().cause(), Cause::malformed);
      }
      const auto open = check_decrypt(settings, "milter", &rsa,
                                      {"k1", static_cast<uint8_t>(algorithm), static_cast<uint8_t>(hash), "", "x"});
      ASSERT_FALSE(open);
      EXPECT_EQ(open.error().cause(), Cause::malformed);
    }
  }
}

TEST(Policy, DecryptsAsTheMatrixSays) {
  for (const FipsPolicy policy : {FipsPolicy::permissive, FipsPolicy::strict}) {
    const FipsdSettings settings = open_settings(policy);
    for (const KeyType type : kTypes) {
      for (const uint32_t bits : {1024u, 2048u}) {
        for (const Use use : kUses) {
          for (const DecryptAlgorithm algorithm : {DecryptAlgorithm::rsa_pkcs1, DecryptAlgorithm::rsa_oaep}) {
            for (const Hash hash : kHashes) {
              const bool oaep = algorithm == DecryptAlgorithm::rsa_oaep;
              std::string want = "yes";
              if (policy == FipsPolicy::strict && (!oaep || hash == Hash::sha1 || bits < 2048)) want = "misconfigured";
              if (use != Use::smime) want = "misconfigured";
              if (type != KeyType::rsa || (oaep && hash == Hash::none)) want = "malformed";
              const KeyEntry entry = key(type, bit(use), bits);
              const std::string ciphertext(bits / 8, 'x');
              EXPECT_EQ(outcome(check_decrypt(
                            settings, "milter", &entry,
                            {"k1", static_cast<uint8_t>(algorithm), static_cast<uint8_t>(hash), "", ciphertext})),
                        want)
                  << key_type_name(type) << bits << " " << use_name(use) << " " << oaep << " " << hash_name(hash);
            }
          }
        }
      }
    }
  }
  const FipsdSettings settings = open_settings(FipsPolicy::permissive);
  const KeyEntry entry = key(KeyType::rsa, bit(Use::smime));
  for (const size_t size : {size_t{0}, size_t{255}, size_t{257}})
    EXPECT_EQ(outcome(check_decrypt(settings, "milter", &entry, {"k1", 1, 0, "", std::string(size, 'x')})),
              "malformed");
  EXPECT_EQ(outcome(check_decrypt(settings, "milter", &entry, {"k1", 1, 0, "label", std::string(256, 'x')})),
            "malformed");
  EXPECT_EQ(outcome(check_decrypt(settings, "milter", &entry, {"k1", 2, 2, "label", std::string(256, 'x')})), "yes");
}

TEST(Policy, RefusalsNameKeyAndAlgorithm) {
  const FipsdSettings settings = open_settings(FipsPolicy::strict);
  const std::string digest(64, 'x');
  const KeyEntry dkim = key(KeyType::rsa, bit(Use::dkim), 2048, "dkim-r1");
  const auto pss = check_sign(settings, "milter", &dkim, {"dkim-r1", 2, 4, digest});
  ASSERT_FALSE(pss);
  EXPECT_THAT(pss.error().text(), HasSubstr("the key dkim-r1 is for dkim"));
  EXPECT_THAT(pss.error().text(), HasSubstr("RSA-PSS and sha512"));
  const KeyEntry small = key(KeyType::rsa, bit(Use::smime), 1024, "old");
  const auto strict = check_sign(settings, "milter", &small, {"old", 1, 4, digest});
  ASSERT_FALSE(strict);
  EXPECT_THAT(strict.error().text(), HasSubstr("the key old has 1024 bits; the FIPS policy asks for 2048"));
}

TEST(Policy, DefaultRights) {
  const FipsdSettings settings = settings_of("");
  struct Row {
    std::string_view socket;
    Use use;
    std::string_view visible_describe_sign_decrypt;
  };
  const Row rows[] = {
      {"milter", Use::dkim, "yes yes yes denied"},
      {"milter", Use::smime, "yes yes yes yes"},
      {"milter", Use::tls_server, "no not-found not-found not-found"},
      {"milter", Use::tls_client, "yes yes yes denied"},
      {"milter", Use::ldap, "yes yes yes denied"},
      {"postfix", Use::dkim, "no not-found not-found not-found"},
      {"postfix", Use::smime, "no not-found not-found not-found"},
      {"postfix", Use::tls_server, "yes yes yes denied"},
      {"postfix", Use::tls_client, "yes yes yes denied"},
      {"postfix", Use::ldap, "no not-found not-found not-found"},
      {"officer", Use::dkim, "yes yes denied denied"},
      {"officer", Use::tls_server, "yes yes denied denied"},
      {"elsewhere", Use::dkim, "no not-found not-found not-found"},
  };
  for (const Row& row : rows) {
    const KeyEntry entry = key(KeyType::rsa, bit(row.use));
    const std::string text =
        std::string(visible(settings, row.socket, entry) ? "yes " : "no ") +
        outcome(check_describe(settings, row.socket, &entry)) + " " +
        outcome(check_sign(settings, row.socket, &entry, {"k1", 1, 2, std::string(32, 'x')})) + " " +
        outcome(check_decrypt(settings, row.socket, &entry, {"k1", 2, 2, "", std::string(256, 'x')}));
    EXPECT_EQ(text, row.visible_describe_sign_decrypt) << row.socket << " " << use_name(row.use);
  }
}

TEST(Policy, AHiddenKeyIsNotToldFromAMissingOne) {
  const FipsdSettings settings = settings_of("");
  const KeyEntry hidden = key(KeyType::rsa, bit(Use::dkim));
  const SignBody sign{"k1", 1, 2, "x"};
  EXPECT_EQ(check_sign(settings, "postfix", &hidden, sign).error().text(),
            check_sign(settings, "postfix", nullptr, sign).error().text());
  EXPECT_EQ(check_describe(settings, "postfix", &hidden).error().text(),
            check_describe(settings, "postfix", nullptr).error().text());
  EXPECT_EQ(check_decrypt(settings, "postfix", &hidden, {}).error().text(),
            check_decrypt(settings, "postfix", nullptr, {}).error().text());
}

TEST(Policy, ARightCountsForItsUsesOnly) {
  const FipsdSettings settings = settings_of(
      "rights:\n  - {socket: milter, uses: [dkim], allow: [describe, sign]}\n"
      "  - {socket: postfix, uses: [tls-server], allow: [sign]}\n");
  const KeyEntry both = key(KeyType::rsa, bit(Use::dkim) | bit(Use::tls_server));
  const SignBody pss{"k1", 2, 2, "01234567890123456789012345678901"};
  const SignBody pkcs1{"k1", 1, 2, "01234567890123456789012345678901"};
  EXPECT_EQ(outcome(check_sign(settings, "milter", &both, pss)), "misconfigured");
  EXPECT_EQ(outcome(check_sign(settings, "milter", &both, pkcs1)), "yes");
  EXPECT_EQ(outcome(check_sign(settings, "postfix", &both, pss)), "yes");
  EXPECT_EQ(outcome(check_describe(settings, "postfix", &both)), "denied");
}

TEST(Policy, NamesMatchLikeShellPatterns) {
  struct Row {
    std::string_view pattern, name;
    bool match;
  };
  const Row rows[] = {
      {"*", "a", true},
      {"a", "a", true},
      {"a", "b", false},
      {"a", "ab", false},
      {"ab", "a", false},
      {"?", "a", true},
      {"?", "ab", false},
      {"dkim-*", "dkim-example.org-s1", true},
      {"dkim-*", "dkim", false},
      {"*-s1", "dkim-s1-s1", true},
      {"*a*b*c*", "xxaxxbxxcxx", true},
      {"*a*b*c*", "xxaxxcxxbxx", false},
      {"a*", "a", true},
      {"a?*", "a", false},
      {"*.example.org", "mx.example.org", true},
      {"*.example.org", "mxXexample.org", false},
      {"a**b", "ab", true},
  };
  for (const Row& row : rows) {
    FipsdSettings settings = settings_of("");
    settings.rights = {{"milter", {std::string(row.pattern)}, bit(Use::dkim), 3}};
    EXPECT_EQ(visible(settings, "milter", key(KeyType::rsa, bit(Use::dkim), 2048, std::string(row.name))), row.match)
        << row.pattern << " " << row.name;
  }
  FipsdSettings settings = settings_of("");
  settings.rights = {{"milter", {"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"}, bit(Use::dkim), 3}};
  EXPECT_FALSE(visible(settings, "milter", key(KeyType::rsa, bit(Use::dkim), 2048, std::string(64, 'a'))));
}

TEST(Policy, CertificatesAloneAreSeenByName) {
  const FipsdSettings settings = settings_of("rights: [{socket: milter, keys: ['ca-*'], allow: [describe, sign]}]\n");
  KeyEntry certificate = key(KeyType::rsa, 0, 0, "ca-1");
  certificate.has_key = false;
  EXPECT_TRUE(visible(settings, "milter", certificate));
  EXPECT_EQ(outcome(check_describe(settings, "milter", &certificate)), "yes");
  EXPECT_FALSE(visible(settings, "postfix", certificate));
  const auto sign = check_sign(settings, "milter", &certificate, {"ca-1", 1, 2, ""});
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().cause(), Cause::not_found);
  EXPECT_THAT(sign.error().text(), HasSubstr("ca-1 is a certificate without a key"));
  certificate.name = "other";
  EXPECT_FALSE(visible(settings, "milter", certificate));
  EXPECT_TRUE(visible(settings, "officer", certificate));
}

TEST(Policy, NewKeys) {
  struct Row {
    KeyType type;
    uint32_t bits;
    uint32_t uses;
    std::string_view permissive, strict;
  };
  const uint32_t dkim = bit(Use::dkim);
  const uint32_t tls = bit(Use::tls_server) | bit(Use::smime);
  const Row rows[] = {
      {KeyType::rsa, 2048, dkim, "yes", "yes"},
      {KeyType::rsa, 4096, tls, "yes", "yes"},
      {KeyType::rsa, 3072, tls | dkim, "yes", "yes"},
      {KeyType::rsa, 1024, dkim, "yes", "misconfigured"},
      {KeyType::rsa, 2040, dkim, "yes", "misconfigured"},
      {KeyType::rsa, 1016, dkim, "malformed", "malformed"},
      {KeyType::rsa, 2047, dkim, "malformed", "malformed"},
      {KeyType::rsa, 8192, dkim, "malformed", "malformed"},
      {KeyType::rsa, 2048, 0, "malformed", "malformed"},
      {KeyType::rsa, 2048, 32, "malformed", "malformed"},
      {KeyType::ec_p256, 0, tls, "yes", "yes"},
      {KeyType::ec_p384, 0, tls, "yes", "yes"},
      {KeyType::ec_p256, 0, tls | dkim, "misconfigured", "misconfigured"},
      {KeyType::ed25519, 0, dkim, "yes", "yes"},
      {KeyType::ed25519, 0, tls, "yes", "yes"},
      {static_cast<KeyType>(0), 0, tls, "malformed", "malformed"},
      {static_cast<KeyType>(5), 0, tls, "malformed", "malformed"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(outcome(check_new_key(FipsPolicy::permissive, row.type, row.bits, row.uses)), row.permissive)
        << static_cast<int>(row.type) << " " << row.bits << " " << row.uses;
    EXPECT_EQ(outcome(check_new_key(FipsPolicy::strict, row.type, row.bits, row.uses)), row.strict)
        << static_cast<int>(row.type) << " " << row.bits << " " << row.uses;
  }
}

TEST(Policy, SaysWhatIsNotApproved) {
  EXPECT_EQ(not_approved(KeyType::rsa, 2048, bit(Use::dkim)), "");
  EXPECT_EQ(not_approved(KeyType::ec_p256, 256, bit(Use::smime)), "");
  EXPECT_THAT(not_approved(KeyType::rsa, 1024, bit(Use::dkim)), HasSubstr("less than 2048 bits"));
  EXPECT_THAT(not_approved(KeyType::ed25519, 256, bit(Use::dkim)), HasSubstr("few module certificates cover it"));
  EXPECT_THAT(not_approved(KeyType::rsa, 2048, bit(Use::smime)), HasSubstr("PKCS#1 v1.5 decryption"));
}

}  // namespace
}  // namespace postern::keystore
