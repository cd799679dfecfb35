// SPDX-License-Identifier: Apache-2.0
// What fipsd says is passed on with what it means for contents: whether waiting helps, or whether they are lost.
#include "milter/store_keys.h"

#include <openssl/rsa.h>

#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"
#include "keystore/client/client.h"

namespace postern::milter {
namespace {

using base::Cause;
using base::Error;
using base::fail;
using base::Result;
using base::Secret;

constexpr uint32_t kFewestBits = 2048;

constexpr std::string_view kLost = "; what is encrypted with it is lost, unless the key comes back from a backup";

Error explain(Error error, const std::string& name) {
  const Cause cause = error.cause();
  const bool zeroised = error.text().find("zeroised") != std::string::npos;
  const Error out = std::move(error).in("fipsd's key '" + name + "'");
  switch (cause) {
    case Cause::not_found:
      return {Cause::misconfigured, out.text() + std::string(kLost)};
    case Cause::misconfigured:
      return {cause, out.text() + std::string(zeroised ? kLost : "; what is encrypted with it cannot be read")};
    case Cause::malformed:
      return {Cause::misconfigured, out.text() +
                                        "; it is another key than the one that this data key lies under, or "
                                        "the store is damaged"};
    default:
      return out;
  }
}

}  // namespace

Result<crypto::KeyInfo> StoreKeys::describe(const std::string& name) {
  auto info = ops_->describe(name, deadline());
  if (!info) return std::unexpected(explain(std::move(info.error()), name));
  if (info->type != crypto::KeyType::rsa || info->bits < kFewestBits) {
    return fail(Cause::misconfigured, "fipsd's key '" + name + "' is no RSA key of at least 2048 bits");
  }
  return info;
}

Result<std::string> StoreKeys::fingerprint(const std::string& name) {
  auto info = describe(name);
  if (!info) return std::unexpected(std::move(info.error()));
  return x509::spki_hash(info->spki);
}

Result<std::string> StoreKeys::wrap(const std::string& name, std::string_view label, const Secret& secret) {
  auto info = describe(name);
  if (!info) return std::unexpected(std::move(info.error()));
  auto key = x509::load_public_key(info->spki);
  if (!key) return std::unexpected(std::move(key.error()).in("fipsd's key '" + name + "'"));
  const x509::KeyContext context(EVP_PKEY_CTX_new(key->get(), nullptr));
  auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(label.data(), label.size()));
  std::string out(static_cast<size_t>(EVP_PKEY_get_size(key->get())), '\0');
  size_t size = out.size();
  bool done = context != nullptr && copy != nullptr && EVP_PKEY_encrypt_init(context.get()) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), EVP_sha256()) == 1;
  // The context owns the label once it is set.
  if (done) done = EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(label.size())) == 1;
  if (!done) OPENSSL_free(copy);
  done = done && EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                                  x509::bytes_of(secret.view()), secret.size()) == 1;
  if (!done) return std::unexpected(x509::openssl_error(Cause::internal, "wrapping a data key"));
  out.resize(size);
  return out;
}

Result<Secret> StoreKeys::unwrap(const std::string& name, std::string_view label, std::string_view wrapped) {
  auto bytes =
      ops_->decrypt(name, crypto::DecryptAlgorithm::rsa_oaep, crypto::Hash::sha256, label, wrapped, deadline());
  if (!bytes) return std::unexpected(explain(std::move(bytes.error()), name));
  Secret out(*bytes);
  base::wipe(*bytes);
  return out;
}

store::Store::Open store_place(const Settings& settings, bool create, size_t connections) {
  store::Store::Open out{settings.store, settings.hostname, create, connections};
  // Asked only when there is something to encrypt, or something that is.
  auto client = std::make_shared<keystore::Client>(keystore::ClientOptions{settings.keys_socket, 2});
  out.keys = std::make_shared<StoreKeys>(std::move(client), std::chrono::seconds(settings.keys_timeout));
  out.key = settings.store_key;
  return out;
}

}  // namespace postern::milter
