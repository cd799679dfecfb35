// SPDX-License-Identifier: Apache-2.0
// One JSON object with everything that is not secret, then the PKCS#8 of each key, so that private keys pass through no
// JSON library and no memory but that of a Secret.
#include "keystore/backup_payload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "keystore/encoding.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {
namespace {

using base::Cause;
using base::fail;
using Json = nlohmann::json;

constexpr size_t kMaxKeys = kMaxList;
constexpr size_t kMaxDistrust = 10'000;
constexpr size_t kMaxDistrustEntry = 4096;
constexpr size_t kMaxSerial = 64;
constexpr uint32_t kMaxBits = 16384;
constexpr size_t kDepth = 4;  // object, list, entry; one more would be something else

std::unexpected<base::Error> strange(std::string_view what) {
  return fail(Cause::malformed, fmt::format("the backup was made by something else: {}", what));
}

// Fields reads the fields of one JSON object; after the first that is missing or of another kind, good() is false. Each
// field is read exactly once, so that one that nobody knows shows in the count.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object), good_(object.is_object()) {}

  const Json* any(const char* name) {
    if (!good_) return nullptr;
    const auto found = object_.find(name);
    good_ = found != object_.end();
    ++read_;
    return good_ ? &*found : nullptr;
  }
  std::string text(const char* name, size_t most) {
    const Json* value = any(name);
    const auto* text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
    good_ = text != nullptr && text->size() <= most;
    return good_ ? *text : std::string();
  }
  std::string bytes(const char* name, size_t most) {
    const auto bytes = from_base64(text(name, base64_size(most, Base64::padded)));
    good_ = good_ && bytes;
    return good_ ? *bytes : std::string();
  }
  bool truth(const char* name) {
    const Json* value = any(name);
    good_ = value != nullptr && value->is_boolean();
    return good_ && value->get<bool>();
  }
  uint64_t number(const char* name, uint64_t most) {
    const Json* value = any(name);
    good_ = value != nullptr && value->is_number_unsigned() && value->get<uint64_t>() <= most;
    return good_ ? value->get<uint64_t>() : 0;
  }
  const Json* list(const char* name, size_t most) {
    const Json* value = any(name);
    good_ = value != nullptr && value->is_array() && value->size() <= most;
    return good_ ? value : nullptr;
  }
  void require(bool condition) { good_ = good_ && condition; }
  // done tells whether all went well and nothing is left over.
  bool done() const { return good_ && read_ == object_.size(); }

 private:
  const Json& object_;
  bool good_;
  size_t read_ = 0;
};

constexpr uint64_t kMaxTime = 253'402'300'799;  // the last second of the year 9999

Json entry_json(const KeyEntry& entry) {
  Json out = {{"name", entry.name},         {"has_key", entry.has_key},
              {"bits", entry.bits},         {"uses", entry.uses},
              {"imported", entry.imported}, {"created", static_cast<uint64_t>(std::max<int64_t>(entry.created, 0))},
              {"chain", entry.chain}};
  if (entry.has_key) {
    out["id"] = to_hex({reinterpret_cast<const char*>(entry.ref.id.data()), entry.ref.id.size()});
    out["type"] = x509::key_type_name(entry.ref.type);
    out["spki"] = to_base64(entry.ref.spki);
  }
  return out;
}

std::optional<KeyEntry> read_entry(const Json& object) {
  Fields in(object);
  KeyEntry out;
  out.backed_up = true;
  out.name = in.text("name", kMaxName);
  in.require(is_object_name(out.name));
  out.has_key = in.truth("has_key");
  out.bits = static_cast<uint32_t>(in.number("bits", kMaxBits));
  out.uses = static_cast<uint32_t>(in.number("uses", std::numeric_limits<uint32_t>::max()));
  in.require(uses_from(uses_text(out.uses)).value_or(0) == out.uses);
  out.imported = in.truth("imported");
  out.created = static_cast<int64_t>(in.number("created", kMaxTime));
  out.chain = in.text("chain", kMaxChain);
  if (out.has_key) {
    const auto id = from_hex(in.text("id", 2 * out.ref.id.size()));
    const bool whole = id && id->size() == out.ref.id.size();
    in.require(whole);
    if (whole) std::memcpy(out.ref.id.data(), id->data(), id->size());
    const auto type = x509::key_type_from(in.text("type", 16));
    in.require(type.has_value());
    out.ref.type = type.value_or(x509::KeyType::rsa);
    out.ref.spki = in.bytes("spki", kMaxSpki);
    in.require(!out.ref.spki.empty());
  }
  if (!in.done()) return std::nullopt;
  return out;
}

// The JSON text, with nothing nested deeper than it is written and no name twice.
std::optional<Json> parse(std::string_view text) {
  std::vector<std::set<std::string, std::less<>>> names;
  bool good = true;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      names.emplace_back();
      good = good && static_cast<size_t>(depth) < kDepth;
    } else if (event == Json::parse_event_t::object_end || event == Json::parse_event_t::array_end) {
      names.pop_back();
    } else if (event == Json::parse_event_t::key) {
      good = good && names.back().insert(value.get<std::string>()).second;
    }
    return true;
  };
  Json out = Json::parse(text, check, false);
  if (out.is_discarded() || !good) return std::nullopt;
  return out;
}

void put_number(char*& at, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<char>(value >> shift);
}

void put_bytes(char*& at, std::string_view bytes) {
  put_number(at, bytes.size());
  bytes.copy(at, bytes.size());
  at += bytes.size();
}

}  // namespace

base::Result<Secret> write_payload(const BackupContent& content) {
  Json keys = Json::array();
  size_t size = 0;
  for (const BackupKey& key : content.keys) {
    keys.push_back(entry_json(key.entry));
    if (!key.entry.has_key) continue;
    if (key.pkcs8.empty() || key.pkcs8.size() > kMaxPkcs8)
      return fail(Cause::internal, fmt::format("the key {} came without its private half", key.entry.name));
    size += 4 + key.pkcs8.size();
  }
  const Json object = {{"created", static_cast<uint64_t>(std::max<int64_t>(content.created, 0))},
                       {"token_serial", content.token_serial},
                       {"keys", std::move(keys)},
                       {"distrust", content.distrust}};
  const std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  size += 4 + text.size();
  if (size > kMaxBlob) return fail(Cause::limit, "there is more to back up than a backup file may hold (16 MiB)");
  Secret out = Secret::sized(size);
  char* at = out.data();
  put_bytes(at, text);
  for (const BackupKey& key : content.keys) {
    if (key.entry.has_key) put_bytes(at, key.pkcs8.view());
  }
  return out;
}

namespace {

base::Result<BackupContent> content_of(std::string_view payload) {
  Reader in(payload);
  const std::optional<Json> object = parse(in.blob(kMaxBlob));
  if (!in.ok() || !object) return strange("its content is no JSON of ours");
  Fields fields(*object);
  BackupContent out;
  out.created = static_cast<int64_t>(fields.number("created", kMaxTime));
  out.token_serial = fields.text("token_serial", kMaxSerial);
  const Json* keys = fields.list("keys", kMaxKeys);
  const Json* distrust = fields.list("distrust", kMaxDistrust);
  if (!fields.done()) return strange("a field is missing, unknown or of another kind");
  std::set<std::string> names;
  std::set<KeyId> ids;
  for (const Json& one : *keys) {
    BackupKey& key = out.keys.emplace_back();
    auto entry = read_entry(one);
    if (!entry) return strange("an entry is not one of a key or certificate");
    key.entry = std::move(*entry);
    if (!names.insert(key.entry.name).second) return strange("a name stands in it twice");
    if (!key.entry.has_key) continue;
    if (!ids.insert(key.entry.ref.id).second) return strange("a key stands in it twice");
    key.pkcs8 = Secret(in.blob(kMaxPkcs8));
    if (!in.ok() || key.pkcs8.empty()) return strange("a private key is missing");
  }
  if (!in.done()) return strange("something stands behind its end");
  for (const Json& one : *distrust) {
    const auto* text = one.get_ptr<const std::string*>();
    if (text == nullptr || text->size() > kMaxDistrustEntry) return strange("an entry of its distrust list is no text");
    out.distrust.push_back(*text);
  }
  return out;
}

}  // namespace

base::Result<BackupContent> read_payload(const Secret& payload) {
  try {
    return content_of(payload.view());
  } catch (const std::exception&) {
    return strange("its content cannot be read");
  }
}

}  // namespace postern::keystore
