// SPDX-License-Identifier: Apache-2.0
// Names and extensions are encoded by OpenSSL, the structure round them by our DER writer: OpenSSL sets algorithm and
// signature only together with a key it can use itself.
#include "engine/x509/request.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <array>
#include <ctime>

#include "engine/base/text.h"
#include "engine/x509/der.h"
#include "engine/x509/names.h"
#include "engine/x509/openssl.h"
#include "engine/x509/spki.h"

namespace postern::x509 {

namespace {

using base::Cause;

struct Method {
  SignAlgorithm algorithm;
  Hash hash;
  std::string identifier;  // AlgorithmIdentifier
};

Method method_of(KeyType type) {
  const auto identifier = [](std::string_view oid, bool null = false) {
    return der_element(Tag::sequence, der_element(Tag::oid, oid) + (null ? der_element(Tag::null, "") : ""));
  };
  switch (type) {
    case KeyType::rsa:
      return {SignAlgorithm::rsa_pkcs1, Hash::sha256, identifier({"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B", 9}, true)};
    case KeyType::ec_p256:
      return {SignAlgorithm::ecdsa, Hash::sha256, identifier({"\x2A\x86\x48\xCE\x3D\x04\x03\x02", 8})};
    case KeyType::ec_p384:
      return {SignAlgorithm::ecdsa, Hash::sha384, identifier({"\x2A\x86\x48\xCE\x3D\x04\x03\x03", 8})};
    case KeyType::ed25519:
      break;
  }
  return {SignAlgorithm::eddsa, Hash::none, identifier({"\x2B\x65\x70", 3})};
}

// general_name encodes one name of subjectAltName (RFC 5280 section 4.2.1.6).
base::Result<std::string> general_name(std::string_view name) {
  const auto bad = [&] {
    return base::fail(Cause::malformed,
                      "\"" + base::escape_for_log(name, 80) + "\" is no host name, address or mailbox");
  };
  const auto element = [](uint8_t tag, std::string_view content) {
    return der_element(static_cast<Tag>(tag), content);
  };
  if (name.empty() || name.size() > 253 || !base::is_ascii(name)) return bad();
  std::array<char, 16> address{};
  const std::string text(name);
  if (inet_pton(AF_INET, text.c_str(), address.data()) == 1) return element(0x87, {address.data(), 4});
  if (inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return element(0x87, {address.data(), 16});
  constexpr std::string_view kHost = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  const size_t at = name.rfind('@');
  std::string_view host = at == std::string_view::npos ? name : name.substr(at + 1);
  if (at == std::string_view::npos && host.starts_with("*.")) host.remove_prefix(2);
  if (host.empty() || host.find_first_not_of(kHost) != std::string_view::npos) return bad();
  for (const std::string_view label : base::split(host, '.')) {
    if (label.empty() || label.size() > 63) return bad();
  }
  if (at == std::string_view::npos) return element(0x82, name);
  const std::string_view local = name.substr(0, at);
  if (local.empty() || local.size() > 64) return bad();
  for (const char c : local) {
    if (c <= 0x20 || c == 0x7F || std::string_view("\"(),:;<>@[\\]").find(c) != std::string_view::npos) return bad();
  }
  return element(0x81, name);
}

std::string extension(std::string_view oid, bool critical, std::string_view value) {
  return der_element(Tag::sequence, der_element(Tag::oid, oid) + (critical ? der_element(Tag::boolean, "\xFF") : "") +
                                        der_element(Tag::octet_string, value));
}

// Parts is what request and certificate have in common.
struct Parts {
  KeyHandle key;
  Method method;
  std::string name;         // Name, DER
  std::string alternative;  // the subjectAltName extension, or empty
};

base::Result<Parts> make_parts(const Subject& subject, std::string_view spki) {
  auto name = parse_name(subject.name);
  if (!name) return std::unexpected(std::move(name).error());
  const bool nameless = X509_NAME_entry_count(name->get()) == 0;
  if (nameless && subject.names.empty()) return base::fail(Cause::malformed, "neither a subject nor another name");
  if (subject.names.size() > kMaxRequestNames) return base::fail(Cause::limit, "more than 100 names");
  const auto kind = read_spki(spki);
  if (!kind) return std::unexpected(kind.error());
  auto key = load_public_key(spki);
  if (!key) return std::unexpected(std::move(key).error());
  Parts parts{std::move(*key), method_of(kind->type), encode<i2d_X509_NAME>(name->get()), {}};
  std::string names;
  for (const std::string& text : subject.names) {
    auto encoded = general_name(text);
    if (!encoded) return std::unexpected(std::move(encoded).error());
    names += *encoded;
  }
  // Without a subject the names are all there is, and the extension must be critical.
  if (!names.empty()) parts.alternative = extension({"\x55\x1D\x11", 3}, nameless, der_element(Tag::sequence, names));
  return parts;
}

// finish signs `body` and puts body, algorithm and signature together.
base::Result<std::string> finish(const Parts& parts, std::string_view body, const Signer& sign) {
  auto input = digest(parts.method.hash, body);
  if (!input) return std::unexpected(std::move(input).error());
  auto signature = sign(parts.method.algorithm, parts.method.hash, *input);
  if (!signature) return std::unexpected(std::move(signature).error());
  if (!verify_signature(parts.key.get(), parts.method.algorithm, parts.method.hash, *input, *signature)) {
    return base::fail(Cause::internal, "the signature is not one of this key");
  }
  return der_element(Tag::sequence, std::string(body) + parts.method.identifier + der_bit_string(*signature));
}

// time_element writes a date as RFC 5280 section 4.1.2.5 wants it: two digits of the year until 2049.
base::Result<std::string> time_element(int64_t when) {
  const base::Handle<ASN1_TIME, ASN1_TIME_free> time(ASN1_TIME_set(nullptr, static_cast<time_t>(when)));
  std::string der = time ? encode<i2d_ASN1_TIME>(time.get()) : std::string();
  if (der.empty()) return std::unexpected(openssl_error(Cause::malformed, "date"));
  return der;
}

std::string pem(const char* label, std::string_view der) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio(out.get(), label, "", bytes_of(der), static_cast<long>(der.size())) <= 0) {
    ERR_clear_error();
    return {};
  }
  return bio_text(out.get());
}

}  // namespace

std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string_view piece : base::split(text, ',')) {
    const std::string_view name = base::trim(piece);
    if (!name.empty()) names.emplace_back(name);
  }
  return names;
}

base::Result<std::string> make_request(const Subject& subject, std::string_view spki, const Signer& sign) {
  auto parts = make_parts(subject, spki);
  if (!parts) return std::unexpected(std::move(parts).error());
  std::string attributes;
  if (!parts->alternative.empty()) {
    constexpr std::string_view kExtensionRequest("\x2A\x86\x48\x86\xF7\x0D\x01\x09\x0E", 9);
    attributes = der_element(Tag::sequence, der_element(Tag::oid, kExtensionRequest) +
                                                der_element(Tag::set, der_element(Tag::sequence, parts->alternative)));
  }
  const std::string body = der_element(
      Tag::sequence, der_integer(0) + parts->name + std::string(spki) + der_element(Tag::context_0, attributes));
  return finish(*parts, body, sign);
}

base::Result<std::string> self_sign(const Subject& subject, std::string_view spki, int64_t now, uint32_t days,
                                    const Signer& sign) {
  if (days == 0 || days > kMaxDays) return base::fail(Cause::malformed, "a certificate lasts 1 to 36500 days");
  auto parts = make_parts(subject, spki);
  if (!parts) return std::unexpected(std::move(parts).error());
  std::string serial(16, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(serial.data()), static_cast<int>(serial.size())) != 1) {
    return std::unexpected(openssl_error(Cause::internal, "random number"));
  }
  const auto from = time_element(now - 3600);
  const auto to = time_element(now + static_cast<int64_t>(days) * 86400);
  if (!from) return std::unexpected(from.error());
  if (!to) return std::unexpected(to.error());
  // digitalSignature; for RSA also keyEncipherment, so that mail can be encrypted to it.
  const bool rsa = parts->method.algorithm == SignAlgorithm::rsa_pkcs1;
  const std::string usage =
      der_element(Tag::bit_string, rsa ? std::string_view("\x05\xA0") : std::string_view("\x07\x80"));
  std::string purposes;
  for (const char last : {'\x01', '\x02', '\x04'}) {  // serverAuth, clientAuth, emailProtection
    purposes += der_element(Tag::oid, std::string("\x2B\x06\x01\x05\x05\x07\x03") + last);
  }
  const std::string extensions = extension({"\x55\x1D\x13", 3}, true, der_element(Tag::sequence, "")) +
                                 extension({"\x55\x1D\x0F", 3}, true, usage) +
                                 extension({"\x55\x1D\x25", 3}, false, der_element(Tag::sequence, purposes)) +
                                 parts->alternative;
  const std::string body = der_element(
      Tag::sequence, der_element(Tag::context_0, der_integer(2)) + der_integer(serial) + parts->method.identifier +
                         parts->name + der_element(Tag::sequence, *from + *to) + parts->name + std::string(spki) +
                         der_element(Tag::context_3, der_element(Tag::sequence, extensions)));
  return finish(*parts, body, sign);
}

std::string request_pem(std::string_view der) { return pem(PEM_STRING_X509_REQ, der); }

}  // namespace postern::x509
