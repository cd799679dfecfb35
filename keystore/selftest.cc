// SPDX-License-Identifier: Apache-2.0
// The self-tests: one function each, in one table. A test gets its known answer from the table's runner, which
// falsifies it where `corrupt` says so; so no test can pass with a wrong answer without being seen to.
#include "keystore/selftest.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <optional>

#include "engine/x509/openssl.h"
#include "keystore/selftest_vectors.h"
#include "keystore/token/pkcs8.h"
#include "keystore/token/public_key.h"

namespace postern::keystore {

namespace {

using base::Cause;
using base::fail;
using base::Result;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

using x509::CipherContext;
using x509::KeyContext;

// Verdict is empty when a test passed, else why it failed.
using Verdict = std::string;
const Verdict kPassed;

struct Bench {
  Token* token;
  Session* session;
  std::string answer;    // the known one
  bool unknown = false;  // set by a test: the token does not have what is tested
};

const unsigned char* bytes(std::string_view text) { return x509::bytes_of(text); }
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }
std::string unhex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  return out;
}

Verdict same(bool computed, std::string_view got, Bench& bench) {
  if (!computed) return "it could not be computed";
  return got == bench.answer ? kPassed : "it is not the known answer";
}

std::string digest(Hash hash, std::string_view text) {
  std::string out(x509::hash_size(hash), '\0');
  if (EVP_Digest(text.data(), text.size(), bytes(out), nullptr, digest_of(hash), nullptr) != 1) return {};
  return out;
}

Verdict sha256(Bench& bench) { return same(true, digest(Hash::sha256, "abc"), bench); }
Verdict sha384(Bench& bench) { return same(true, digest(Hash::sha384, "abc"), bench); }
Verdict sha512(Bench& bench) { return same(true, digest(Hash::sha512, "abc"), bench); }

Verdict hmac(Bench& bench) {
  std::string out(32, '\0');
  bool made = HMAC(EVP_sha256(), "Jefe", 4, bytes("what do ya want for nothing?"), 28, bytes(out), nullptr) != nullptr;
  return same(made, out, bench);
}

Verdict hkdf(Bench& bench) {
  std::string key = unhex(vectors::kHkdfKey), salt = unhex(vectors::kHkdfSalt), info = unhex(vectors::kHkdfInfo);
  std::string out(bench.answer.size(), '\0');
  size_t size = out.size();
  KeyContext context(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  bool made = context != nullptr && EVP_PKEY_derive_init(context.get()) == 1 &&
              EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_salt(context.get(), bytes(salt), static_cast<int>(salt.size())) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(context.get(), bytes(key), static_cast<int>(key.size())) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(context.get(), bytes(info), static_cast<int>(info.size())) == 1 &&
              EVP_PKEY_derive(context.get(), bytes(out), &size) == 1;
  return same(made, out, bench);
}

Verdict gcm(Bench& bench) {
  std::string key = unhex(vectors::kGcmKey), nonce = unhex(vectors::kGcmNonce), data = unhex(vectors::kGcmData);
  std::string plain = unhex(vectors::kGcmPlain), out(plain.size(), '\0'), tag(16, '\0');
  int size = 0;
  CipherContext context(EVP_CIPHER_CTX_new());
  bool made = context != nullptr &&
              EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(nonce)) == 1 &&
              EVP_EncryptUpdate(context.get(), nullptr, &size, bytes(data), static_cast<int>(data.size())) == 1 &&
              EVP_EncryptUpdate(context.get(), bytes(out), &size, bytes(plain), static_cast<int>(plain.size())) == 1 &&
              EVP_EncryptFinal_ex(context.get(), bytes(out) + size, &size) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()) == 1;
  if (Verdict verdict = same(made, out + tag, bench); !verdict.empty()) return verdict;
  // And the way back, where a changed tag must be noticed.
  for (bool changed : {false, true}) {
    if (changed) tag[0] ^= 1;
    std::string back(out.size(), '\0');
    bool opened = EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(nonce)) == 1 &&
                  EVP_DecryptUpdate(context.get(), nullptr, &size, bytes(data), static_cast<int>(data.size())) == 1 &&
                  EVP_DecryptUpdate(context.get(), bytes(back), &size, bytes(out), static_cast<int>(out.size())) == 1 &&
                  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, 16, tag.data()) == 1 &&
                  EVP_DecryptFinal_ex(context.get(), bytes(back) + size, &size) == 1 && back == plain;
    if (opened == changed) return changed ? "a changed tag is taken" : "it does not open what it sealed";
  }
  return kPassed;
}

std::string key_wrap(const EVP_CIPHER* cipher, std::string_view key, std::string_view plain) {
  CipherContext context(EVP_CIPHER_CTX_new());
  std::string out(plain.size() + 24, '\0');
  int size = 0;
  if (context == nullptr) return {};
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  if (EVP_EncryptInit_ex(context.get(), cipher, nullptr, bytes(key), nullptr) != 1 ||
      EVP_EncryptUpdate(context.get(), bytes(out), &size, bytes(plain), static_cast<int>(plain.size())) != 1) {
    return {};
  }
  out.resize(static_cast<size_t>(size));
  return out;
}

Verdict wrap(Bench& bench) {
  std::string out = key_wrap(EVP_aes_192_wrap_pad(), unhex(vectors::kWrap192Key), unhex(vectors::kWrap192Plain));
  out += key_wrap(EVP_aes_256_wrap_pad(), unhex(vectors::kWrap256Key), unhex(vectors::kWrap256Plain));
  return same(true, out, bench);
}

Verdict scrypt(Bench& bench) {
  std::string out(64, '\0');
  bool made = EVP_PBE_scrypt("password", 8, bytes("NaCl"), 4, 1024, 8, 16, 32u << 20, bytes(out), out.size()) == 1;
  return same(made, out, bench);
}

Verdict pbkdf2(Bench& bench) {
  std::string out(64, '\0');
  bool made = PKCS5_PBKDF2_HMAC("passwd", 6, bytes("salt"), 4, 1, EVP_sha256(), 64, bytes(out)) == 1;
  return same(made, out, bench);
}

// The health of the random generator: the two tests of SP 800-90B section 4.4 over its output (cut-offs for a chance of
// less than 2^-40 that a sound one fails), and two draws that differ.
Verdict random(Bench& bench) {
  constexpr size_t kDraw = 4096;
  std::array<unsigned char, kDraw> first{}, second{};
  if (RAND_status() != 1 || RAND_bytes(first.data(), kDraw) != 1 || RAND_priv_bytes(second.data(), kDraw) != 1) {
    return "the generator gives nothing";
  }
  // Falsified: a generator that is stuck.
  if (bench.answer != unhex(vectors::kRandom)) first.fill(0);
  if (first == second) return "two draws are the same";
  size_t run = 1;
  for (size_t i = 1; i < kDraw; ++i) {
    run = first[i] == first[i - 1] ? run + 1 : 1;
    if (run >= 8) return "a value repeats";
  }
  std::array<uint32_t, 256> counts{};
  for (unsigned char value : first) ++counts[value];
  if (*std::max_element(counts.begin(), counts.end()) > 56) return "a value is too frequent";
  return kPassed;
}

struct Signing {
  SignAlgorithm algorithm;
  Hash hash;
  std::string_view key;
  bool deterministic;
};

// known_signature has the token sign with a published key; the known signature must verify and, where there can be only
// one, be the same.
Verdict known_signature(Bench& bench, const Signing& what) {
  Secret pkcs8(unhex(what.key));
  auto key = read_pkcs8(pkcs8);
  if (!key) return "the test's key: " + key.error().text();
  std::string input = what.hash == Hash::none ? unhex(vectors::kEd25519Message) : digest(what.hash, "sample");
  if (!key->pub.verify(what.algorithm, what.hash, input, bench.answer)) return "the known signature does not verify";
  auto signature = bench.token->sign_once(*bench.session, pkcs8, what.algorithm, what.hash, input);
  if (!signature) {
    bench.unknown = signature.error().cause() == Cause::misconfigured;
    return signature.error().text();
  }
  if (!key->pub.verify(what.algorithm, what.hash, input, *signature)) return "the token's signature does not verify";
  if (what.deterministic && *signature != bench.answer) return "it is not the known answer";
  input[0] ^= 1;
  if (key->pub.verify(what.algorithm, what.hash, input, *signature)) return "it verifies for something else";
  return kPassed;
}

Verdict rsa_pkcs1(Bench& bench) {
  return known_signature(bench, {SignAlgorithm::rsa_pkcs1, Hash::sha256, vectors::kRsaKey, true});
}
Verdict rsa_pss(Bench& bench) {
  return known_signature(bench, {SignAlgorithm::rsa_pss, Hash::sha256, vectors::kRsaKey, false});
}
Verdict ecdsa_p256(Bench& bench) {
  return known_signature(bench, {SignAlgorithm::ecdsa, Hash::sha256, vectors::kP256Key, false});
}
Verdict ecdsa_p384(Bench& bench) {
  return known_signature(bench, {SignAlgorithm::ecdsa, Hash::sha384, vectors::kP384Key, false});
}
Verdict ed25519(Bench& bench) {
  return known_signature(bench, {SignAlgorithm::eddsa, Hash::none, vectors::kEd25519Key, true});
}

struct Row {
  std::string_view name;
  bool approved;  // SP 800-140C and 800-140D; Ed25519 by FIPS 186-5
  std::optional<KeyType> in_token;
  std::array<std::string_view, 2> answer;  // hexadecimal, one after the other
  Verdict (*test)(Bench&);
};

constexpr Row kRows[] = {
    {"sha-256", true, {}, {vectors::kSha256}, sha256},
    {"sha-384", true, {}, {vectors::kSha384}, sha384},
    {"sha-512", true, {}, {vectors::kSha512}, sha512},
    {"hmac-sha-256", true, {}, {vectors::kHmac}, hmac},
    {"hkdf-sha-256", true, {}, {vectors::kHkdf}, hkdf},
    {"aes-256-gcm", true, {}, {vectors::kGcmCipher, vectors::kGcmTag}, gcm},
    {"aes-kwp", true, {}, {vectors::kWrap192, vectors::kWrap256}, wrap},
    {"scrypt", false, {}, {vectors::kScrypt}, scrypt},
    {"pbkdf2", true, {}, {vectors::kPbkdf2}, pbkdf2},
    {"random", true, {}, {vectors::kRandom}, random},
    {"rsa-pkcs1", true, KeyType::rsa, {vectors::kRsaPkcs1}, rsa_pkcs1},
    {"rsa-pss", true, KeyType::rsa, {vectors::kRsaPss}, rsa_pss},
    {"ecdsa-p256", true, KeyType::ec_p256, {vectors::kP256}, ecdsa_p256},
    {"ecdsa-p384", true, KeyType::ec_p384, {vectors::kP384}, ecdsa_p384},
    {"ed25519", true, KeyType::ed25519, {vectors::kEd25519}, ed25519},
};

// encrypts_and_decrypts makes an unpadded ciphertext of a known block and has the token open it.
Result<void> encrypts_and_decrypts(Token& token, Session& session, const KeyRef& key) {
  auto pub = PublicKey::from_spki(key.spki);
  if (!pub) return std::unexpected(pub.error());
  std::string plain(pub->size(), '\x5a'), cipher(pub->size(), '\0');
  plain[0] = '\0';
  size_t size = cipher.size();
  const unsigned char* at = bytes(key.spki);
  EvpKey evp(d2i_PUBKEY(nullptr, &at, static_cast<long>(key.spki.size())));
  KeyContext context(evp != nullptr ? EVP_PKEY_CTX_new(evp.get(), nullptr) : nullptr);
  if (context == nullptr || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING) != 1 ||
      EVP_PKEY_encrypt(context.get(), bytes(cipher), &size, bytes(plain), plain.size()) != 1) {
    ERR_clear_error();
    return fail(Cause::internal, "pairwise test: cannot encrypt");
  }
  auto opened = token.decrypt_raw(session, key, cipher);
  if (!opened) return std::unexpected(std::move(opened.error()).in("pairwise test"));
  if (opened->view() != plain) return fail(Cause::internal, "pairwise test: the private key does not decrypt");
  return {};
}

}  // namespace

std::vector<std::string_view> self_test_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

std::vector<SelfTestResult> run_self_tests(Token* token, Session* session, std::string_view corrupt,
                                           const std::vector<KeyType>& needed) {
  std::vector<SelfTestResult> results;
  for (const Row& row : kRows) {
    if (row.in_token && (token == nullptr || session == nullptr)) continue;
    Bench bench{token, session, unhex(row.answer[0]) + unhex(row.answer[1])};
    if (row.name == corrupt) bench.answer.back() = static_cast<char>(bench.answer.back() ^ 1);
    SelfTestResult result{std::string(row.name), false, row.approved, row.test(bench)};
    ERR_clear_error();
    result.passed = result.detail.empty();
    if (bench.unknown && std::find(needed.begin(), needed.end(), *row.in_token) == needed.end()) {
      result.passed = true;
      result.detail.insert(0, "the token does not know it: ");
    }
    results.push_back(std::move(result));
  }
  return results;
}

Result<void> pairwise_test(Token& token, Session& session, const KeyRef& key) {
  auto pub = PublicKey::from_spki(key.spki);
  if (!pub) return std::unexpected(pub.error());
  bool edwards = key.type == KeyType::ed25519;
  SignAlgorithm algorithm = edwards                    ? SignAlgorithm::eddsa
                            : key.type == KeyType::rsa ? SignAlgorithm::rsa_pkcs1
                                                       : SignAlgorithm::ecdsa;
  std::string input = digest(Hash::sha256, "pairwise test of a new key");
  auto signature = token.sign(session, key, algorithm, edwards ? Hash::none : Hash::sha256, input);
  if (!signature) return std::unexpected(std::move(signature.error()).in("pairwise test"));
  if (!pub->verify(algorithm, edwards ? Hash::none : Hash::sha256, input, *signature)) {
    return fail(Cause::internal, "pairwise test: the signature does not verify");
  }
  if (key.type == KeyType::rsa) return encrypts_and_decrypts(token, session, key);
  return {};
}

}  // namespace postern::keystore
