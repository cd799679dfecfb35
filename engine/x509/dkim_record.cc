// SPDX-License-Identifier: Apache-2.0
// DKIM key records. For RSA, p= holds the whole SubjectPublicKeyInfo, as everybody publishes it and as the erratum to
// RFC 6376 says; for Ed25519 the bare 32 bytes.
#include "engine/x509/dkim_record.h"

#include <algorithm>

#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"

namespace postern::x509 {

namespace {

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(bytes), static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace

base::Result<std::string> txt_record(KeyType type, std::string_view spki) {
  const auto key = read_spki(spki);
  if (!key) return std::unexpected(key.error());
  if (key->type != type) return base::fail(base::Cause::malformed, "the key is not of the type said");
  if (type == KeyType::rsa) return "v=DKIM1; k=rsa; p=" + base64(spki);
  if (type == KeyType::ed25519) return "v=DKIM1; k=ed25519; p=" + base64(spki.substr(spki.size() - 32));
  return base::fail(base::Cause::malformed,
                    "DKIM knows keys of type rsa and ed25519, not " + std::string(key_type_name(type)));
}

std::string zone_strings(std::string_view record) {
  constexpr size_t kMost = 255;
  std::string out;
  do {
    const std::string_view piece = record.substr(0, kMost);
    record.remove_prefix(piece.size());
    if (!out.empty()) out += ' ';
    out += '"';
    for (const char c : piece) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  } while (!record.empty());
  return out;
}

}  // namespace postern::x509
