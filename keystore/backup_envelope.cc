// SPDX-License-Identifier: Apache-2.0
// One start tag with its attributes in one order, lines of 76 characters of base64, one end tag. AES-256-GCM with the
// start tag as associated data (NIST SP 800-38D); scrypt (RFC 7914) or PBKDF2-HMAC-SHA-256 (SP 800-132).
#include "keystore/backup_envelope.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <charconv>
#include <optional>

#include "engine/base/handle.h"
#include "engine/base/text.h"
#include "engine/x509/openssl.h"
#include "keystore/backup.h"
#include "keystore/encoding.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

using base::Cause;
using base::fail;
using x509::CipherContext;

constexpr std::string_view kElement = "<postern-backup version=\"";
constexpr std::string_view kEnd = "</postern-backup>\n";
constexpr size_t kLine = 76;
constexpr size_t kKeySize = 32;
constexpr size_t kMaxHeader = 512;
constexpr uint32_t kScryptBlock = 8;
constexpr uint32_t kScryptLn = 17;  // 128 MiB, half a second
constexpr uint32_t kRounds = 600'000;

std::unexpected<base::Error> damaged(std::string_view what) {
  return fail(Cause::malformed, "not a backup file, or damaged: " + std::string(what));
}

// Tag reads a start tag from the left.
class Tag {
 public:
  explicit Tag(std::string_view rest) : rest_(rest) {}

  // attribute returns the value of ` name="…"` that must come next.
  std::optional<std::string_view> attribute(std::string_view name) {
    const std::string begin = fmt::format(" {}=\"", name);
    if (!rest_.starts_with(begin)) return std::nullopt;
    const size_t end = rest_.find('"', begin.size());
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view value = rest_.substr(begin.size(), end - begin.size());
    rest_.remove_prefix(end + 1);
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "2026-01-31T12:00:00Z": digits where digits are, so that it can be shown; the value itself is authenticated.
bool is_time(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
  if (text.size() != kShape.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == '0' ? !digit : text[i] != kShape[i]) return false;
  }
  return true;
}

// The version comes first, because a file of another version may be different in everything after it.
base::Result<void> check_version(std::string_view file) {
  if (!file.starts_with(kElement)) return damaged("it does not begin like one");
  const size_t end = file.find('"', kElement.size());
  const auto version = number(file.substr(kElement.size(), std::min<size_t>(end, file.size()) - kElement.size()));
  if (end == std::string_view::npos || !version) return damaged("it has no format version");
  if (*version == kBackupVersion) return {};
  return fail(Cause::misconfigured, fmt::format("this backup has format version {}; this program reads version {}",
                                                *version, kBackupVersion));
}

base::Result<EnvelopeHeader> read_header(std::string_view tag) {
  EnvelopeHeader header;
  Tag in(tag.substr(tag.find('"', kElement.size()) + 1));
  const auto created = in.attribute("created");
  const auto kdf = in.attribute("kdf");
  const auto cost = in.attribute("cost");
  const auto salt = in.attribute("salt");
  const auto nonce = in.attribute("nonce");
  if (!created || !kdf || !cost || !salt || !nonce || in.rest() != ">")
    return damaged("its first line is not as written");
  if (!is_time(*created)) return damaged("its time is not as written");
  header.created = *created;
  if (*kdf == "pbkdf2-sha256") {
    header.kdf = PasswordHash::pbkdf2;
  } else if (*kdf != "scrypt") {
    return damaged("unknown key derivation");
  }
  const bool scrypt = header.kdf == PasswordHash::scrypt;
  const auto value = number(*cost);
  if (!value) return damaged("its cost is no number");
  header.cost = *value;
  const uint32_t least = scrypt ? kLeastScryptLn : kLeastRounds;
  const uint32_t most = scrypt ? kMostScryptLn : kMostRounds;
  if (header.cost < least || header.cost > most)
    return fail(Cause::limit, fmt::format("the cost of the password's derivation is {}; {} to {} are taken",
                                          header.cost, least, most));
  auto salt_bytes = from_base64(*salt);
  auto nonce_bytes = from_base64(*nonce);
  if (!salt_bytes || salt_bytes->size() != kEnvelopeSalt || !nonce_bytes || nonce_bytes->size() != kEnvelopeNonce)
    return damaged("salt or nonce is not as written");
  header.salt = std::move(*salt_bytes);
  header.nonce = std::move(*nonce_bytes);
  return header;
}

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace

std::string EnvelopeHeader::text() const {
  return fmt::format("{}{}\" created=\"{}\" kdf=\"{}\" cost=\"{}\" salt=\"{}\" nonce=\"{}\">", kElement, kBackupVersion,
                     created, kdf == PasswordHash::scrypt ? "scrypt" : "pbkdf2-sha256", cost, to_base64(salt),
                     to_base64(nonce));
}

base::Result<EnvelopeHeader> new_header(PasswordHash kdf, int64_t created) {
  EnvelopeHeader header;
  header.created = base::format_time(created);
  header.kdf = kdf;
  header.cost = kdf == PasswordHash::scrypt ? kScryptLn : kRounds;
  header.salt.resize(kEnvelopeSalt);
  header.nonce.resize(kEnvelopeNonce);
  if (RAND_bytes(reinterpret_cast<uint8_t*>(header.salt.data()), kEnvelopeSalt) != 1 ||
      RAND_bytes(reinterpret_cast<uint8_t*>(header.nonce.data()), kEnvelopeNonce) != 1) {
    return fail(Cause::unavailable, "no random bytes");
  }
  return header;
}

std::string write_envelope(const Envelope& envelope) {
  std::string out = envelope.header.text();
  const std::string body = to_base64(envelope.sealed);
  out.reserve(out.size() + body.size() + body.size() / kLine + kEnd.size() + 2);
  out += '\n';
  for (size_t at = 0; at < body.size(); at += kLine) {
    out.append(body, at, kLine);
    out += '\n';
  }
  out += kEnd;
  return out;
}

base::Result<Envelope> read_envelope(std::string_view file) {
  if (file.size() > kMaxBlob) return fail(Cause::limit, "a backup file has at most 16 MiB");
  if (auto version = check_version(file); !version) return std::unexpected(std::move(version.error()));
  const size_t line = file.substr(0, kMaxHeader).find('\n');
  if (line == std::string_view::npos) return damaged("its first line is not as written");
  auto header = read_header(file.substr(0, line));
  if (!header) return std::unexpected(std::move(header.error()));
  std::string_view body = file.substr(line + 1);
  if (!body.ends_with(kEnd)) return damaged("its end is missing");
  body.remove_suffix(kEnd.size());
  std::string base64;
  base64.reserve(body.size());
  for (const char c : body) {
    if (c != '\n') base64 += c;
  }
  auto sealed = from_base64(base64);
  if (!sealed || sealed->size() < kEnvelopeTag) return damaged("its content is not base64");
  Envelope envelope{std::move(*header), std::move(*sealed)};
  // One spelling only: what we would write is what must stand there.
  if (write_envelope(envelope) != file) return damaged("it is not spelled as it was written");
  return envelope;
}

base::Result<Secret> derive_key(const EnvelopeHeader& header, const Secret& password) {
  Secret key = Secret::sized(kKeySize);
  auto* const out = reinterpret_cast<uint8_t*>(key.data());
  int done = 0;
  if (header.kdf == PasswordHash::scrypt) {
    const uint64_t n = 1ull << header.cost;
    const uint64_t memory = 128ull * kScryptBlock * n + (1ull << 20);
    done = EVP_PBE_scrypt(password.view().data(), password.size(), bytes_of(header.salt), header.salt.size(), n,
                          kScryptBlock, 1, memory, out, kKeySize);
  } else {
    done = PKCS5_PBKDF2_HMAC(password.view().data(), static_cast<int>(password.size()), bytes_of(header.salt),
                             static_cast<int>(header.salt.size()), static_cast<int>(header.cost), EVP_sha256(),
                             kKeySize, out);
  }
  if (done != 1) return fail(Cause::unavailable, "the key could not be derived: not enough memory");
  return key;
}

base::Result<Envelope> seal_envelope(EnvelopeHeader header, const Secret& key, std::string_view plain) {
  Envelope out{std::move(header), {}};
  const std::string associated = out.header.text();
  out.sealed.resize(plain.size() + kEnvelopeTag);
  auto* const sealed = reinterpret_cast<uint8_t*>(out.sealed.data());
  const CipherContext cipher(EVP_CIPHER_CTX_new());
  int count = 0;
  const bool done =
      cipher != nullptr && plain.size() <= kMaxBlob &&
      EVP_EncryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), bytes_of(key.view()), bytes_of(out.header.nonce), nullptr) ==
          1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &count, bytes_of(associated), static_cast<int>(associated.size())) ==
          1 &&
      EVP_EncryptUpdate(cipher.get(), sealed, &count, bytes_of(plain), static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), sealed + plain.size(), &count) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kEnvelopeTag, sealed + plain.size()) == 1;
  if (!done) return fail(Cause::internal, "the backup could not be encrypted");
  return out;
}

base::Result<Secret> open_envelope(const Envelope& envelope, const Secret& key) {
  if (envelope.sealed.size() < kEnvelopeTag) return damaged("its content is missing");
  const std::string associated = envelope.header.text();
  const size_t size = envelope.sealed.size() - kEnvelopeTag;
  std::string tag = envelope.sealed.substr(size);
  Secret plain = Secret::sized(size);
  auto* const out = reinterpret_cast<uint8_t*>(plain.data());
  const CipherContext cipher(EVP_CIPHER_CTX_new());
  int count = 0;
  const bool done = cipher != nullptr &&
                    EVP_DecryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), bytes_of(key.view()),
                                        bytes_of(envelope.header.nonce), nullptr) == 1 &&
                    EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kEnvelopeTag, tag.data()) == 1 &&
                    EVP_DecryptUpdate(cipher.get(), nullptr, &count, bytes_of(associated),
                                      static_cast<int>(associated.size())) == 1 &&
                    (size == 0 || EVP_DecryptUpdate(cipher.get(), out, &count, bytes_of(envelope.sealed),
                                                    static_cast<int>(size)) == 1) &&
                    EVP_DecryptFinal_ex(cipher.get(), out + size, &count) == 1;
  if (!done) return fail(Cause::denied, "wrong password, or the file was changed");
  return plain;
}

}  // namespace postern::keystore
