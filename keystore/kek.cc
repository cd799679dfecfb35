// SPDX-License-Identifier: Apache-2.0
// What hangs on the key-encryption key: HKDF-SHA-256 (RFC 5869) for every derived key, AES-256-GCM for sealing,
// HMAC-SHA-256 for authentication. Sealed: one version byte, 12 bytes nonce, ciphertext, 16 bytes tag.
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <array>
#include <cstdlib>

#include "engine/x509/openssl.h"
#include "keystore/encoding.h"
#include "keystore/state.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;

namespace {

using KdfHandle = base::Handle<EVP_KDF, EVP_KDF_free>;
using KdfContext = base::Handle<EVP_KDF_CTX, EVP_KDF_CTX_free>;
using x509::CipherContext;

constexpr std::string_view kFile = "kek";
constexpr size_t kKeySize = 32;
constexpr size_t kNonceSize = 12;
constexpr size_t kTagSize = 16;
constexpr char kSealVersion = 1;
constexpr size_t kMaxSealed = 64u << 20;

uint8_t* bytes_of(char* data) { return reinterpret_cast<uint8_t*>(data); }
const uint8_t* bytes_of(std::string_view data) { return reinterpret_cast<const uint8_t*>(data.data()); }

// The input of every derivation: the file's bytes and, where there is one, the digest of the credential. Both are
// needed to compute anything.
Secret root_of(const Secret& file, std::string_view credential) {
  std::string digest = credential.empty() ? std::string() : sha256(credential);
  Secret out = Secret::sized(file.size() + digest.size());
  file.view().copy(out.data(), file.size());
  digest.copy(out.data() + file.size(), digest.size());
  wipe(digest);
  return out;
}

Result<void> usable(const StateDirectory& directory) {
  if (directory.durable() == Condition::zeroising || directory.durable() == Condition::zeroised) {
    return fail(Cause::denied, "the key-encryption key was destroyed");
  }
  return {};
}

// One pass of AES-256-GCM; `encrypting` decides whether the tag is written or compared.
bool run_gcm(const Secret& key, std::string_view nonce, std::string_view context, std::string_view in, char* out,
             char* tag, bool encrypting) {
  const CipherContext cipher(EVP_CIPHER_CTX_new());
  const auto size = static_cast<int>(in.size());
  int count = 0;
  return cipher != nullptr &&
         EVP_CipherInit_ex2(cipher.get(), EVP_aes_256_gcm(), bytes_of(key.view()), bytes_of(nonce), encrypting ? 1 : 0,
                            nullptr) == 1 &&
         (encrypting || EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, tag) == 1) &&
         EVP_CipherUpdate(cipher.get(), nullptr, &count, bytes_of(context), static_cast<int>(context.size())) == 1 &&
         (in.empty() || EVP_CipherUpdate(cipher.get(), bytes_of(out), &count, bytes_of(in), size) == 1) &&
         EVP_CipherFinal_ex(cipher.get(), bytes_of(out) + in.size(), &count) == 1 &&
         (!encrypting || EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize, tag) == 1);
}

}  // namespace

Result<Kek> Kek::create(StateDirectory& directory, std::string_view credential) {
  if (directory.durable() == Condition::operational) {
    return fail(Cause::denied, "a new key-encryption key would make every key unusable");
  }
  if (directory.durable() == Condition::zeroising) return std::unexpected(usable(directory).error());
  if (!directory.exists(kFile)) {
    Secret fresh = Secret::sized(kKeySize);
    if (RAND_priv_bytes(bytes_of(fresh.data()), kKeySize) != 1) {
      return fail(Cause::unavailable, "the random generator gives nothing");
    }
    if (auto written = directory.write(kFile, fresh.view()); !written) return std::unexpected(written.error());
  }
  auto file = directory.read(kFile, kKeySize);
  if (!file) return std::unexpected(file.error());
  if (file->size() != kKeySize) return fail(Cause::malformed, directory.path() + "/kek is damaged");
  return Kek(root_of(*file, credential));
}

Result<Kek> Kek::load(const StateDirectory& directory, std::string_view credential) {
  if (auto checked = usable(directory); !checked) return std::unexpected(checked.error());
  auto file = directory.read(kFile, kKeySize);
  if (!file) return std::unexpected(file.error());
  if (file->size() != kKeySize) return fail(Cause::malformed, directory.path() + "/kek is damaged");
  return Kek(root_of(*file, credential));
}

Secret Kek::derive(std::string_view label) const {
  Secret out = Secret::sized(kKeySize);
  std::string digest = "SHA256";
  std::string salt = "postern fipsd 1";
  std::string info(label);
  const std::array<OSSL_PARAM, 5> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<char*>(secret_.view().data()), secret_.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()), OSSL_PARAM_construct_end()};
  const KdfHandle kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const KdfContext context(kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()));
  // Fails only where OpenSSL has no memory or no HKDF. To go on with a key of zeros would be worse than to end.
  if (context == nullptr || EVP_KDF_derive(context.get(), bytes_of(out.data()), kKeySize, parameters.data()) != 1) {
    std::abort();
  }
  return out;
}

Secret Kek::user_pin() const {
  const Secret key = derive("token user pin");
  Secret out = Secret::sized(base64_size(key.size(), Base64::url));
  to_base64_at(key.view(), Base64::url, out.data());
  return out;
}

Secret Kek::so_pin() const {
  const Secret key = derive("token so pin");
  Secret out = Secret::sized(base64_size(key.size(), Base64::url));
  to_base64_at(key.view(), Base64::url, out.data());
  return out;
}

Result<std::string> Kek::seal(std::string_view context, std::string_view plain) const {
  if (plain.size() > kMaxSealed) return fail(Cause::limit, "too much to be sealed at once");
  std::string out(1 + kNonceSize + plain.size() + kTagSize, '\0');
  out[0] = kSealVersion;
  if (RAND_bytes(bytes_of(out.data() + 1), kNonceSize) != 1) {
    return fail(Cause::unavailable, "the random generator gives nothing");
  }
  char* const body = out.data() + 1 + kNonceSize;
  if (!run_gcm(derive("seal"), {out.data() + 1, kNonceSize}, context, plain, body, body + plain.size(), true)) {
    return fail(Cause::internal, "AES-256-GCM cannot be used");
  }
  return out;
}

Result<Secret> Kek::open(std::string_view context, std::string_view sealed) const {
  constexpr size_t kFrame = 1 + kNonceSize + kTagSize;
  if (sealed.size() < kFrame || sealed.size() > kMaxSealed + kFrame || sealed[0] != kSealVersion) {
    return fail(Cause::malformed, "not sealed by this fipsd");
  }
  const std::string_view nonce = sealed.substr(1, kNonceSize);
  const std::string_view body = sealed.substr(1 + kNonceSize, sealed.size() - kFrame);
  std::string tag(sealed.substr(sealed.size() - kTagSize));
  // One byte more than the text, so that an empty one has an address too.
  Secret out = Secret::sized(body.size() + 1);
  if (!run_gcm(derive("seal"), nonce, context, body, out.data(), tag.data(), false)) {
    return fail(Cause::malformed, "not sealed by this fipsd for this purpose, or changed since");
  }
  out.shrink(body.size());
  return out;
}

std::string Kek::mac(std::string_view context, std::string_view data) const {
  // A key for each context, so that no boundary between context and data can be moved.
  const Secret key = derive("mac " + std::string(context));
  std::string out(32, '\0');
  if (HMAC(EVP_sha256(), key.view().data(), static_cast<int>(key.size()), bytes_of(data), data.size(),
           bytes_of(out.data()), nullptr) == nullptr) {
    std::abort();
  }
  return out;
}

}  // namespace postern::keystore
