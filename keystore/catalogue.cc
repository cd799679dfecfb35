// SPDX-License-Identifier: Apache-2.0
// The catalogue's file: a first line "postern-catalogue 1 MAC" (HMAC-SHA-256 of all that follows, in hexadecimal) and
// one JSON object. Binary values are base64, key ids hexadecimal. Nothing is parsed before its MAC was right.
#include "keystore/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/base/text.h"
#include "keystore/encoding.h"
#include "keystore/protocol/protocol.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;
using Json = nlohmann::json;

namespace {

constexpr std::string_view kFile = "catalogue";
constexpr std::string_view kHead = "postern-catalogue 1 ";
constexpr std::string_view kContext = "catalogue";
constexpr size_t kMacText = 64;
constexpr size_t kMaxEscrow = 16384;
constexpr size_t kMaxDistrustEntry = 4096;
constexpr uint32_t kMaxBits = 16384;
constexpr uint32_t kAllUses = 31;
constexpr int kMaxDepth = 3;  // object, array of entries, entry

// Fault is a text for people; it ends the reading at once.
struct Fault {
  std::string text;
};

[[noreturn]] void refuse(std::string text) { throw Fault{std::move(text)}; }

const Json& field(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) refuse(fmt::format("\"{}\" is missing", name));
  return *found;
}

std::string text_of(const Json& object, const char* name, size_t most) {
  const auto* value = field(object, name).get_ptr<const std::string*>();
  if (value == nullptr || value->size() > most)
    refuse(fmt::format("\"{}\" is no text of at most {} bytes", name, most));
  return *value;
}

bool truth_of(const Json& object, const char* name) {
  const auto* value = field(object, name).get_ptr<const bool*>();
  if (value == nullptr) refuse(fmt::format("\"{}\" is neither true nor false", name));
  return *value;
}

uint64_t number_of(const Json& object, const char* name, uint64_t most) {
  const auto* value = field(object, name).get_ptr<const uint64_t*>();
  if (value == nullptr || *value > most) refuse(fmt::format("\"{}\" is no number up to {}", name, most));
  return *value;
}

std::string bytes_of(const Json& object, const char* name, size_t most) {
  auto bytes = from_base64(text_of(object, name, base64_size(most, Base64::padded)));
  if (!bytes) refuse(fmt::format("\"{}\" is not base64", name));
  return std::move(*bytes);
}

const Json& list_of(const Json& object, const char* name, size_t most) {
  const Json& value = field(object, name);
  if (!value.is_array() || value.size() > most) refuse(fmt::format("\"{}\" is no list of at most {}", name, most));
  return value;
}

KeyId id_from(const std::string* text) {
  KeyId id{};
  const auto bytes = text == nullptr ? std::nullopt : from_hex(*text);
  if (!bytes || bytes->size() != id.size()) refuse("a key id is not 32 hexadecimal digits");
  std::copy(bytes->begin(), bytes->end(), reinterpret_cast<char*>(id.data()));
  return id;
}

std::string id_text(const KeyId& id) { return to_hex({reinterpret_cast<const char*>(id.data()), id.size()}); }

void expect_fields(const Json& object, size_t count) {
  // All wanted fields were found, so one more is one that nobody knows.
  if (object.size() != count) refuse("there is a field that this version does not know");
}

KeyEntry entry_from(const Json& object) {
  if (!object.is_object()) refuse("an entry is no object");
  KeyEntry out;
  out.name = text_of(object, "name", kMaxName);
  if (!is_object_name(out.name)) refuse("a name is not one of a key or certificate");
  out.has_key = truth_of(object, "has_key");
  size_t fields = 9;
  if (out.has_key) {
    fields += 4;
    out.ref.id = id_from(field(object, "id").get_ptr<const std::string*>());
    const auto type = x509::key_type_from(text_of(object, "type", 32));
    if (!type) refuse("a key is of no type that is known");
    out.ref.type = *type;
    out.ref.spki = bytes_of(object, "spki", kMaxSpki);
    if (out.ref.spki.empty()) refuse("a key has no public half");
    out.escrow = bytes_of(object, "escrow", kMaxEscrow);
  }
  out.bits = static_cast<uint32_t>(number_of(object, "bits", kMaxBits));
  out.uses = static_cast<uint32_t>(number_of(object, "uses", kAllUses));
  out.backup = truth_of(object, "backup");
  out.backed_up = truth_of(object, "backed_up");
  out.imported = truth_of(object, "imported");
  out.created = static_cast<int64_t>(number_of(object, "created", std::numeric_limits<int64_t>::max()));
  out.chain = text_of(object, "chain", kMaxChain);
  expect_fields(object, fields);
  return out;
}

Json entry_json(const KeyEntry& entry) {
  Json out = {{"name", entry.name},         {"has_key", entry.has_key}, {"bits", entry.bits},
              {"uses", entry.uses},         {"backup", entry.backup},   {"backed_up", entry.backed_up},
              {"imported", entry.imported}, {"created", entry.created}, {"chain", entry.chain}};
  if (entry.has_key) {
    out["id"] = id_text(entry.ref.id);
    out["type"] = std::string(x509::key_type_name(entry.ref.type));
    out["spki"] = to_base64(entry.ref.spki);
    out["escrow"] = to_base64(entry.escrow);
  }
  return out;
}

// parse gives the object, having refused what is nested deeper than ours, holds a name twice, or is no JSON.
Json parse(std::string_view text) {
  std::vector<std::set<std::string>> names;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= kMaxDepth) refuse("it is nested too deeply");
    }
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::key && !names.back().insert(parsed.get<std::string>()).second) {
      refuse("a field stands there twice");
    }
    if (event == Json::parse_event_t::object_end) names.pop_back();
    return true;
  };
  Json out = Json::parse(text.begin(), text.end(), watch, false);
  if (!out.is_object()) refuse("it is no JSON object");
  return out;
}

}  // namespace

const KeyEntry* Catalogue::find(std::string_view name) const {
  const auto found = entries.find(name);
  return found == entries.end() ? nullptr : &found->second;
}

size_t Catalogue::keys_without_backup() const {
  return static_cast<size_t>(std::count_if(
      entries.begin(), entries.end(), [](const auto& item) { return item.second.has_key && !item.second.backed_up; }));
}

Result<std::string> write_catalogue(const Catalogue& catalogue) {
  try {
    Json entries = Json::array();
    for (const auto& [name, entry] : catalogue.entries) {
      if (name != entry.name)
        return fail(Cause::internal, fmt::format("entry {} is filed under another name", entry.name));
      entries.push_back(entry_json(entry));
    }
    Json pending = Json::array();
    for (const KeyId& id : catalogue.pending) pending.push_back(id_text(id));
    const Json all = {{"generation", catalogue.generation},
                      {"entries", std::move(entries)},
                      {"distrust", catalogue.distrust},
                      {"pending", std::move(pending)}};
    return all.dump() + "\n";
  } catch (const Json::exception&) {
    return fail(Cause::malformed, "a text of the catalogue is not UTF-8");
  }
}

Result<Catalogue> read_catalogue(std::string_view text) {
  try {
    const Json all = parse(text);
    Catalogue out;
    out.generation = number_of(all, "generation", std::numeric_limits<uint64_t>::max());
    for (const Json& item : list_of(all, "entries", kMaxEntries)) {
      KeyEntry entry = entry_from(item);
      std::string name = entry.name;
      if (!out.entries.emplace(std::move(name), std::move(entry)).second) refuse("a name stands there twice");
    }
    for (const Json& item : list_of(all, "distrust", kMaxDistrust)) {
      const auto* value = item.get_ptr<const std::string*>();
      if (value == nullptr || value->empty() || value->size() > kMaxDistrustEntry)
        refuse("an entry of \"distrust\" is no text");
      out.distrust.push_back(*value);
    }
    for (const Json& item : list_of(all, "pending", kMaxPending)) {
      out.pending.push_back(id_from(item.get_ptr<const std::string*>()));
    }
    expect_fields(all, 4);
    return out;
  } catch (const Fault& fault) {
    return fail(Cause::malformed, "the catalogue cannot be read: " + fault.text);
  } catch (const Json::exception&) {
    return fail(Cause::malformed, "the catalogue cannot be read");
  }
}

Result<Catalogue> load_catalogue(const StateDirectory& directory, const Kek& kek) {
  auto file = directory.read(kFile, kMaxCatalogue);
  if (!file) return std::unexpected(file.error());
  const std::string_view text = file->view();
  const std::string path = directory.path() + "/catalogue";
  const size_t body = kHead.size() + kMacText + 1;
  if (text.size() < body || !text.starts_with(kHead) || text[body - 1] != '\n') {
    return fail(Cause::malformed, path + " is damaged or of another version");
  }
  const std::string mac = to_hex(kek.mac(kContext, text.substr(body)));
  if (!equal_in_constant_time(mac, text.substr(kHead.size(), kMacText))) {
    return fail(Cause::malformed, path + " was changed or is damaged, or belongs to another key-encryption key");
  }
  auto out = read_catalogue(text.substr(body));
  if (!out) return std::unexpected(std::move(out.error()).in(path));
  return out;
}

Result<void> save_catalogue(StateDirectory& directory, const Kek& kek, Catalogue& catalogue) {
  if (directory.durable() == Condition::zeroising) return fail(Cause::denied, "zeroising has begun");
  ++catalogue.generation;
  const auto save = [&]() -> Result<void> {
    auto text = write_catalogue(catalogue);
    if (!text) return std::unexpected(text.error());
    // What could not be read again must not be written. Cheap beside the fsync.
    if (auto again = read_catalogue(*text); !again) {
      return fail(Cause::limit, "not written, because it would not be read again: " + again.error().text());
    }
    const std::string file = fmt::format("{}{}\n{}", kHead, to_hex(kek.mac(kContext, *text)), *text);
    if (file.size() > kMaxCatalogue) return fail(Cause::limit, "the catalogue would be too large");
    return directory.write(kFile, file);
  };
  auto saved = save();
  if (!saved) --catalogue.generation;
  return saved;
}

}  // namespace postern::keystore
