// SPDX-License-Identifier: Apache-2.0
// Self-tests: known answers for every algorithm fipsd relies on (SHA-2, HMAC, HKDF, AES-GCM, AES key wrap, scrypt,
// PBKDF2 in OpenSSL; RSA PKCS#1, RSA-PSS, ECDSA, Ed25519 in the token, with session objects), the health of the random
// generator, and a sign-and-verify pair after each key is made. A failure is the state `error`: no key is used after
// it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "keystore/settings.h"
#include "keystore/token/token.h"

namespace postern::keystore {

struct SelfTestResult {
  std::string name;  // "sha-256", "rsa-pkcs1", …
  bool passed = false;
  bool approved = false;  // on the approved list of FIPS 140-3 / SP 800-140C
  std::string detail;     // why it failed, or that the token does not know the mechanism
};

// self_test_names lists every test, for --help and the tests.
std::vector<std::string_view> self_test_names();

// run_self_tests runs all of them; `token` may be null (then only the library's). `corrupt` names a test whose known
// answer is falsified first, which must make it fail: the way to test that failures are noticed. A mechanism the token
// does not have passes with a detail, unless a key of that type is in use (`needed`).
std::vector<SelfTestResult> run_self_tests(Token* token, Session* session, std::string_view corrupt,
                                           const std::vector<x509::KeyType>& needed);

// pairwise_test signs and verifies with a key just made or imported; with an RSA key it also decrypts.
base::Result<void> pairwise_test(Token& token, Session& session, const KeyRef& key);

}  // namespace postern::keystore
