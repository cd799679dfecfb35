// SPDX-License-Identifier: Apache-2.0
// Tag lists as RFC 6376 section 3.2 has them: white space and folds round names and values, no name twice, names that
// nobody knows passed over.
#include "engine/auth/dkim_key.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>

#include "engine/base/handle.h"
#include "engine/base/text.h"
#include "engine/x509/openssl.h"

namespace postern::auth {
namespace {

using base::Cause;
using base::fail;
using x509::KeyHandle;

constexpr size_t kLongestRecord = 16u << 10;
constexpr size_t kMostTags = 64;
constexpr size_t kMostWords = 64;

bool is_tag_name(std::string_view name) {
  const auto letter = [](char c) { return base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'; };
  return !name.empty() && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

std::vector<std::string> words_of(std::string_view value) {
  std::vector<std::string> out;
  for (const std::string_view word : base::split(value, ':')) {
    if (out.size() < kMostWords) out.push_back(base::lower(base::trim(word)));
  }
  return out;
}

base::Result<std::string> from_base64(std::string_view value) {
  std::string clean;
  for (const char c : value) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') clean += c;
  }
  if (clean.empty()) return clean;
  const size_t end = clean.find_last_not_of('=');
  const size_t padding = end == std::string::npos ? clean.size() : clean.size() - end - 1;
  std::string out(clean.size() / 4 * 3, '\0');
  const bool shape = clean.size() % 4 == 0 && padding <= 2 && clean.find('=') >= clean.size() - padding;
  const int size =
      shape ? EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                              reinterpret_cast<const unsigned char*>(clean.data()), static_cast<int>(clean.size()))
            : -1;
  if (size < 0) return fail(Cause::malformed, "p= is not base64");
  out.resize(out.size() - padding);
  return out;
}

// Both forms in which RSA keys stand in records.
KeyHandle rsa_key(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  KeyHandle key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (key) return key;
  at = reinterpret_cast<const unsigned char*>(der.data());
  return KeyHandle(d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, static_cast<long>(der.size())));
}

}  // namespace

bool KeyRecord::allows_hash(std::string_view hash) const {
  return hashes.empty() || std::ranges::find(hashes, hash) != hashes.end();
}

bool KeyRecord::allows_service(std::string_view service) const {
  return services.empty() || std::ranges::find(services, service) != services.end() ||
         std::ranges::find(services, "*") != services.end();
}

base::Result<KeyRecord> parse_key_record(std::string_view text) {
  if (text.size() > kLongestRecord) return fail(Cause::malformed, "the record is too long");
  KeyRecord record;
  std::vector<std::string_view> seen;
  bool has_key = false;
  for (const std::string_view part : base::split(text, ';')) {
    const std::string_view tag = base::trim(part);
    if (tag.empty()) {
      // Only the end of the record may hold nothing.
      if (part.data() + part.size() == text.data() + text.size()) continue;
      return fail(Cause::malformed, "there is an empty tag");
    }
    const size_t equals = tag.find('=');
    const std::string_view name = base::trim(tag.substr(0, equals));
    if (equals == std::string_view::npos || !is_tag_name(name)) {
      return fail(Cause::malformed, "'" + base::escape_for_log(tag, 40) + "' is no tag");
    }
    if (std::ranges::find(seen, name) != seen.end()) {
      return fail(Cause::malformed, std::string(name) + "= stands there twice");
    }
    if (seen.size() >= kMostTags) return fail(Cause::malformed, "there are too many tags");
    const std::string_view value = base::trim(tag.substr(equals + 1));
    if (name == "v" && (!seen.empty() || value != "DKIM1")) {
      return fail(Cause::malformed, "v= must be DKIM1 and come first");
    }
    seen.push_back(name);
    if (name == "k") {
      record.type = base::lower(value);
    } else if (name == "p") {
      auto key = from_base64(value);
      if (!key) return std::unexpected(std::move(key.error()));
      record.key = std::move(*key);
      has_key = true;
    } else if (name == "h") {
      record.hashes = words_of(value);
    } else if (name == "s") {
      record.services = words_of(value);
    } else if (name == "t") {
      const std::vector<std::string> flags = words_of(value);
      record.testing = std::ranges::find(flags, "y") != flags.end();
      record.strict = std::ranges::find(flags, "s") != flags.end();
    }
  }
  if (!has_key) return fail(Cause::malformed, "there is no p=");
  return record;
}

bool holds_key(const KeyRecord& record, std::string_view spki) {
  const auto* at = reinterpret_cast<const unsigned char*>(spki.data());
  const KeyHandle ours(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (!ours) return false;
  KeyHandle theirs;
  if (record.type == "ed25519") {
    theirs.reset(EVP_PKEY_new_raw_public_key(
        EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(record.key.data()), record.key.size()));
  } else if (record.type == "rsa") {
    theirs = rsa_key(record.key);
  }
  return theirs && EVP_PKEY_eq(ours.get(), theirs.get()) == 1;
}

}  // namespace postern::auth
