// SPDX-License-Identifier: Apache-2.0
// Keys in memory. What OpenSSL refuses here is a mistake of the test, so it ends the program.
#include "test/support/soft_keys.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>

namespace postern::test {
namespace {

using PkeyContext = base::Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContext = base::Handle<EVP_MD_CTX, EVP_MD_CTX_free>;

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "SoftKeys: %s failed\n", what);
  std::abort();
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string spki_of(EVP_PKEY* pkey) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(pkey, &der);
  require(size > 0, "i2d_PUBKEY");
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

const EVP_MD* digest_of(crypto::Hash hash) {
  switch (hash) {
    case crypto::Hash::none:
      return nullptr;
    case crypto::Hash::sha1:
      return EVP_sha1();
    case crypto::Hash::sha256:
      return EVP_sha256();
    case crypto::Hash::sha384:
      return EVP_sha384();
    case crypto::Hash::sha512:
      return EVP_sha512();
  }
  return nullptr;
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  out.resize(static_cast<size_t>(EVP_EncodeBlock(bytes_of(out), bytes_of(bytes), static_cast<int>(bytes.size()))));
  return out;
}

void SoftKeys::generate(const std::string& name, crypto::KeyType type, unsigned bits) {
  EVP_PKEY* made = nullptr;
  switch (type) {
    case crypto::KeyType::rsa:
      made = EVP_RSA_gen(bits);
      break;
    case crypto::KeyType::ed25519:
      made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
    case crypto::KeyType::ec_p256:
    case crypto::KeyType::ec_p384:
      made = EVP_EC_gen(type == crypto::KeyType::ec_p256 ? "P-256" : "P-384");
      break;
  }
  require(made != nullptr, "generation");
  keys_[name] = Key{type, base::Handle<EVP_PKEY, EVP_PKEY_free>(made)};
}

void SoftKeys::keep(const std::string& name, crypto::KeyType type, const std::string& path) {
  if (std::FILE* in = std::fopen(path.c_str(), "r")) {
    EVP_PKEY* read = PEM_read_PrivateKey(in, nullptr, nullptr, nullptr);
    std::fclose(in);
    require(read != nullptr, "reading a key");
    keys_[name] = Key{type, base::Handle<EVP_PKEY, EVP_PKEY_free>(read)};
    return;
  }
  generate(name, type);
  std::FILE* out = std::fopen(path.c_str(), "w");
  require(out != nullptr, "opening a file");
  require(PEM_write_PrivateKey(out, keys_.at(name).pkey.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "a PEM file");
  std::fclose(out);
}

void SoftKeys::add_ed25519(const std::string& name, std::string_view secret) {
  EVP_PKEY* made = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(secret), secret.size());
  require(made != nullptr, "a raw private key");
  keys_[name] = Key{crypto::KeyType::ed25519, base::Handle<EVP_PKEY, EVP_PKEY_free>(made)};
}

std::string SoftKeys::record(const std::string& name) const {
  const Key& key = keys_.at(name);
  if (key.type != crypto::KeyType::ed25519) return "v=DKIM1; k=rsa; p=" + base64(spki_of(key.pkey.get()));
  std::string raw(32, '\0');
  size_t size = raw.size();
  require(EVP_PKEY_get_raw_public_key(key.pkey.get(), bytes_of(raw), &size) == 1, "a raw public key");
  return "v=DKIM1; k=ed25519; p=" + base64(raw);
}

bool SoftKeys::verify(const std::string& name, std::string_view input, std::string_view signature) const {
  const Key& key = keys_.at(name);
  if (key.type == crypto::KeyType::ed25519) {
    const DigestContext context(EVP_MD_CTX_new());
    return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.pkey.get()) == 1 &&
           EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(input), input.size()) == 1;
  }
  const PkeyContext context(EVP_PKEY_CTX_new(key.pkey.get(), nullptr));
  return EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1 &&
         EVP_PKEY_verify(context.get(), bytes_of(signature), signature.size(), bytes_of(input), input.size()) == 1;
}

base::Result<std::string> SoftKeys::sign_one(const crypto::SignRequest& request) const {
  const auto found = keys_.find(request.key);
  if (found == keys_.end()) return base::fail(base::Cause::not_found, "no such key");
  const Key& key = found->second;
  std::string out(1024, '\0');
  size_t size = out.size();
  if (key.type == crypto::KeyType::ed25519) {
    if (request.algorithm != crypto::SignAlgorithm::eddsa)
      return base::fail(base::Cause::malformed, "the key is for eddsa");
    const DigestContext context(EVP_MD_CTX_new());
    require(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.pkey.get()) == 1 &&
                EVP_DigestSign(context.get(), bytes_of(out), &size, bytes_of(request.input), request.input.size()) == 1,
            "signing");
  } else {
    const bool rsa = key.type == crypto::KeyType::rsa;
    if (request.algorithm == crypto::SignAlgorithm::eddsa ||
        (request.algorithm == crypto::SignAlgorithm::ecdsa) == rsa || request.input.empty() ||
        request.input.size() != x509::hash_size(request.hash)) {
      return base::fail(base::Cause::malformed, "no digest for this key");
    }
    const bool pss = request.algorithm == crypto::SignAlgorithm::rsa_pss;
    const PkeyContext context(EVP_PKEY_CTX_new(key.pkey.get(), nullptr));
    require(EVP_PKEY_sign_init(context.get()) == 1, "signing");
    require(!rsa || EVP_PKEY_CTX_set_rsa_padding(context.get(), pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1,
            "padding");
    require(!pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_DIGEST) == 1, "salt");
    require(EVP_PKEY_CTX_set_signature_md(context.get(), digest_of(request.hash)) == 1 &&
                EVP_PKEY_sign(context.get(), bytes_of(out), &size, bytes_of(request.input), request.input.size()) == 1,
            "signing");
  }
  out.resize(size);
  return out;
}

std::vector<base::Result<std::string>> SoftKeys::sign(std::span<const crypto::SignRequest> requests, crypto::Deadline) {
  ++sign_calls;
  std::vector<base::Result<std::string>> out;
  for (const crypto::SignRequest& request : requests) {
    if (failure) {
      out.emplace_back(std::unexpected(*failure));
    } else {
      out.push_back(sign_one(request));
    }
  }
  return out;
}

base::Result<std::string> SoftKeys::decrypt(std::string_view name, crypto::DecryptAlgorithm algorithm,
                                            crypto::Hash hash, std::string_view label, std::string_view ciphertext,
                                            crypto::Deadline) {
  if (failure) return std::unexpected(*failure);
  const auto found = keys_.find(name);
  if (found == keys_.end()) return base::fail(base::Cause::not_found, "no such key");
  const PkeyContext context(EVP_PKEY_CTX_new(found->second.pkey.get(), nullptr));
  if (found->second.type != crypto::KeyType::rsa || EVP_PKEY_decrypt_init(context.get()) != 1) {
    return base::fail(base::Cause::malformed, "the key does not decrypt");
  }
  if (algorithm == crypto::DecryptAlgorithm::rsa_oaep) {
    require(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), digest_of(hash)) == 1 &&
                EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), digest_of(hash)) == 1,
            "OAEP");
    if (!label.empty()) {
      void* copy = OPENSSL_memdup(label.data(), label.size());
      require(EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(label.size())) == 1, "a label");
    }
  }
  std::string out(2048, '\0');
  size_t size = out.size();
  if (EVP_PKEY_decrypt(context.get(), bytes_of(out), &size, bytes_of(ciphertext), ciphertext.size()) != 1) {
    return base::fail(base::Cause::malformed, "decryption failed");
  }
  out.resize(size);
  return out;
}

base::Result<crypto::KeyInfo> SoftKeys::describe(std::string_view name, crypto::Deadline) {
  ++describe_calls;
  if (failure) return std::unexpected(*failure);
  const auto found = keys_.find(name);
  if (found == keys_.end()) return base::fail(base::Cause::not_found, "no such key");
  const Key& key = found->second;
  crypto::KeyInfo info;
  info.name = name;
  info.type = key.type;
  info.bits = key.type == crypto::KeyType::rsa ? static_cast<uint32_t>(EVP_PKEY_get_bits(key.pkey.get())) : 0;
  info.spki = spki_of(key.pkey.get());
  return info;
}

}  // namespace postern::test
