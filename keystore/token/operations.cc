// SPDX-License-Identifier: Apache-2.0
// Signing and raw RSA (PKCS#11 v2.40 sections 5.10 and 5.9). What goes to the token is made here and of known length;
// what comes back has the one length it can have.
#include <string.h>

#include "keystore/token/objects.h"

namespace postern::keystore {

namespace {

using base::Cause;
using x509::Hash;
using x509::KeyType;
using x509::SignAlgorithm;

using namespace std::string_view_literals;

// The DER before the digest in a DigestInfo (RFC 8017 section 9.2, note 1).
std::string_view digest_info(Hash hash) {
  switch (hash) {
    case Hash::sha256:
      return "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"sv;
    case Hash::sha384:
      return "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"sv;
    case Hash::sha512:
      return "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"sv;
    case Hash::none:
    case Hash::sha1:
      break;
  }
  return {};
}

CK_RSA_PKCS_PSS_PARAMS pss_parameters(Hash hash) {
  switch (hash) {
    case Hash::sha384:
      return {CKM_SHA384, CKG_MGF1_SHA384, 48};
    case Hash::sha512:
      return {CKM_SHA512, CKG_MGF1_SHA512, 64};
    default:
      return {CKM_SHA256, CKG_MGF1_SHA256, 32};
  }
}

// check says why a signature cannot be asked for in this way; empty when it can.
std::string_view check(KeyType type, SignAlgorithm algorithm, Hash hash, std::string_view input) {
  bool rsa = algorithm == SignAlgorithm::rsa_pkcs1 || algorithm == SignAlgorithm::rsa_pss;
  if (algorithm == SignAlgorithm::eddsa) {
    if (type != KeyType::ed25519) return "only an Ed25519 key signs with eddsa";
    if (hash != Hash::none) return "eddsa takes the message, not a digest";
    return input.empty() ? "there is nothing to sign" : "";
  }
  if (rsa != (type == KeyType::rsa) || type == KeyType::ed25519) return "this key does not sign with this algorithm";
  if (digest_info(hash).empty()) return "signatures take SHA-256, SHA-384 or SHA-512";
  if (input.size() != x509::hash_size(hash)) return "the digest's length is not that of its hash";
  return {};
}

}  // namespace

Outcome<std::string> sign_with(const Calls& calls, CK_OBJECT_HANDLE handle, const PublicKey& pub,
                               SignAlgorithm algorithm, Hash hash, std::string_view input) {
  if (auto why = check(pub.type(), algorithm, hash, input); !why.empty()) {
    return refused(Cause::malformed, std::string(why));
  }
  CK_MECHANISM mechanism{CKM_EDDSA, nullptr, 0};
  CK_RSA_PKCS_PSS_PARAMS pss = pss_parameters(hash);
  std::string info;
  switch (algorithm) {
    case SignAlgorithm::rsa_pkcs1:
      mechanism.mechanism = CKM_RSA_PKCS;
      info.append(digest_info(hash)).append(input);
      input = info;
      break;
    case SignAlgorithm::rsa_pss:
      mechanism = {CKM_RSA_PKCS_PSS, &pss, sizeof pss};
      break;
    case SignAlgorithm::ecdsa:
      mechanism.mechanism = CKM_ECDSA;
      // FIPS 186-5 section 6.4: of a longer digest the leftmost bits; not every token cuts it.
      input = input.substr(0, pub.size() / 2);
      break;
    case SignAlgorithm::eddsa:
      break;
  }
  CK_RV rv = calls.pkcs11.C_SignInit(calls.session, &mechanism, handle);
  if (rv != CKR_OK) return call_failed("C_SignInit", rv);
  std::string out(pub.size(), '\0');
  CK_ULONG size = out.size();
  rv = calls.pkcs11.C_Sign(calls.session, reinterpret_cast<unsigned char*>(const_cast<char*>(input.data())),
                           input.size(), reinterpret_cast<unsigned char*>(out.data()), &size);
  if (rv != CKR_OK) return call_failed("C_Sign", rv);
  if (size != out.size()) return out_of_line("C_Sign: a signature of another length");
  if (algorithm != SignAlgorithm::ecdsa) return out;
  std::string der = ecdsa_to_der(out, out.size());
  if (der.empty()) return out_of_line("C_Sign: not a signature");
  return der;
}

Outcome<Secret> decrypt_with(const Calls& calls, const FoundKey& key, std::string_view ciphertext) {
  size_t size = key.pub.size();
  if (key.pub.type() != KeyType::rsa) return refused(Cause::malformed, "only an RSA key decrypts");
  // Checked here, so that no error of the token's can be caused by what a correspondent sent.
  if (ciphertext.size() != size || memcmp(ciphertext.data(), key.pub.modulus().data(), size) >= 0) {
    return refused(Cause::malformed, "this is no ciphertext for this key");
  }
  CK_MECHANISM mechanism{CKM_RSA_X_509, nullptr, 0};
  CK_RV rv = calls.pkcs11.C_DecryptInit(calls.session, &mechanism, key.handle);
  if (rv != CKR_OK) return call_failed("C_DecryptInit", rv);
  Secret out = Secret::sized(size);
  CK_ULONG got = size;
  rv = calls.pkcs11.C_Decrypt(calls.session, reinterpret_cast<unsigned char*>(const_cast<char*>(ciphertext.data())),
                              ciphertext.size(), reinterpret_cast<unsigned char*>(out.data()), &got);
  if (rv != CKR_OK) return call_failed("C_Decrypt", rv);
  if (got > size) return out_of_line("C_Decrypt: more bytes than the modulus has");
  // Some tokens cut leading zeros.
  if (got < size) {
    memmove(out.data() + (size - got), out.data(), got);
    memset(out.data(), 0, size - got);
  }
  return out;
}

}  // namespace postern::keystore
