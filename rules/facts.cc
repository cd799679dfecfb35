// SPDX-License-Identifier: Apache-2.0
// Facts, computed when asked. The header slots follow HeaderList::generation(): a slot is looked up again only when a
// header edit happened since, and decoded only when a test wants its text.
#include "rules/facts.h"

#include <arpa/inet.h>

#include <cstring>
#include <ctime>

#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"
#include "rules/prefilter.h"

namespace postern::rules {
namespace {
constexpr uint32_t kMaxScans = 8;  // of one header slot during one message
}

Facts::Facts(message::Message& message, const RuleSet& rules, std::string_view flow, uint64_t work_count)
    : message_(message),
      rules_(rules),
      flow_(flow),
      work_count_(work_count),
      prefilter_(rules.prefilter()),
      inspection_(message),
      content_(message, inspection_) {}

std::string_view Facts::hostname() const {
  if (!hostname_.empty()) return hostname_;
  return message_.connection.mta_name ? std::string_view(*message_.connection.mta_name) : std::string_view();
}

int64_t Facts::now() {
  if (!now_) now_ = static_cast<int64_t>(std::time(nullptr));
  return *now_;
}

Facts::Slot& Facts::find_slot(uint32_t slot) {
  if (slots_.size() < rules_.header_names().size()) slots_.resize(rules_.header_names().size());
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  Slot& entry = slots_[slot];
  const uint32_t generation = message_.headers.generation();
  if (entry.found_at == generation) return entry;
  entry.fields.clear();
  if (slot < rules_.header_names().size()) {
    const std::string& name = rules_.header_names()[slot];
    for (size_t at = message_.headers.find(name); at != mime::HeaderList::npos;
         at = message_.headers.find(name, at + 1)) {
      entry.fields.push_back(static_cast<uint32_t>(at));
    }
  }
  entry.found_at = generation;
  return entry;
}

bool Facts::header_present(uint32_t slot) { return !find_slot(slot).fields.empty(); }

const std::vector<std::string>& Facts::header_values(uint32_t slot) {
  Slot& entry = find_slot(slot);
  if (entry.decoded_at != entry.found_at) {
    entry.values.clear();
    entry.values.reserve(entry.fields.size());
    for (const uint32_t field : entry.fields) entry.values.push_back(mime::decode_words(message_.headers[field].value));
    entry.decoded_at = entry.found_at;
  }
  return entry.values;
}

bool Facts::scan_header(uint32_t slot, uint32_t member) {
  if (member == kNoMember || prefilter_ == nullptr || slot >= prefilter_->headers.size()) return true;
  const match::PatternSet* set = prefilter_->headers[slot].get();
  if (set == nullptr) return true;
  Slot& entry = find_slot(slot);
  if (entry.scanned_at != entry.found_at) {
    // Where filters keep editing, looking at the one pattern in question is cheaper than at all of them again.
    if (entry.scans >= kMaxScans) return true;
    const std::vector<std::string>& values = header_values(slot);
    if (values.empty()) entry.candidates = set->none();
    for (size_t i = 0; i < values.size(); ++i) {
      match::Candidates found = set->scan(values[i]);
      if (i == 0) {
        entry.candidates = std::move(found);
      } else {
        entry.candidates.merge(found);
      }
    }
    entry.scanned_at = entry.found_at;
    ++entry.scans;
  }
  return entry.candidates.has(member);
}

match::Candidates Facts::scan_text(std::string_view text) const {
  return prefilter_ == nullptr || prefilter_->texts == nullptr ? match::Candidates() : prefilter_->texts->scan(text);
}

std::string Facts::header_text(std::string_view name) {
  if (const size_t at = message_.headers.find(name); at != mime::HeaderList::npos) {
    return mime::decode_words(message_.headers[at].value);
  }
  for (const auto& [stripped, value] : stripped_) {
    if (base::iequals(stripped, name)) return value;
  }
  return {};
}

void Facts::remember_stripped(std::string_view name) {
  const size_t at = message_.headers.find(name);
  if (at == mime::HeaderList::npos) return;
  std::string value = mime::decode_words(message_.headers[at].value);
  for (auto& [stripped, old] : stripped_) {
    if (base::iequals(stripped, name)) {
      old = std::move(value);
      return;
    }
  }
  stripped_.emplace_back(base::lower(name), std::move(value));
}

const std::optional<std::pair<bool, std::array<uint8_t, 16>>>& Facts::client_address() {
  if (client_parsed_) return client_;
  client_parsed_ = true;
  if (!message_.connection.client_ip) return client_;
  const std::string& text = *message_.connection.client_ip;
  std::array<uint8_t, 16> bytes{};
  if (in_addr v4{}; inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    std::memcpy(bytes.data(), &v4, 4);
    client_.emplace(false, bytes);
  } else if (in6_addr v6{}; inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      std::memcpy(bytes.data(), v6.s6_addr + 12, 4);
      client_.emplace(false, bytes);
    } else {
      std::memcpy(bytes.data(), v6.s6_addr, 16);
      client_.emplace(true, bytes);
    }
  }
  return client_;
}

const mime::Structure* Facts::structure() {
  if (phase != Phase::message || !headers_delivered || !message_.has_body()) return nullptr;
  return &message_.structure();
}

bool Facts::saw_everything() {
  const mime::Structure* tree = structure();
  return tree != nullptr && tree->complete && !tree->defects.has(mime::Defect::header_too_large) &&
         !tree->defects.has(mime::Defect::too_deep) && !tree->defects.has(mime::Defect::too_many_parts);
}

bool Facts::saw_every_reading() { return saw_everything() && structure()->one_reading; }

bool Facts::saw_every_content() {
  return saw_every_reading() && inspection_.readings_complete() && inspection_.readings(false).empty();
}

bool Facts::leaf_is_attachment(const mime::Structure& tree, uint32_t part) {
  if (leaf_attachment_.empty()) {
    leaf_attachment_.reserve(tree.parts.size());
    for (uint32_t i = 0; i < tree.parts.size(); ++i) leaf_attachment_.push_back(mime::is_attachment(tree, i));
  }
  return leaf_attachment_[part];
}

const std::vector<uint32_t>& Facts::attachments() {
  if (attachments_known_) return attachments_;
  attachments_.clear();
  if (const mime::Structure* tree = structure()) {
    for (uint32_t i = 0; i < tree->parts.size(); ++i) {
      if (dropped(i)) continue;
      const mime::Part& part = tree->parts[i];
      bool is = false;
      switch (part.kind) {
        case mime::PartKind::leaf:
          is = leaf_is_attachment(*tree, i);
          break;
        case mime::PartKind::message:
          is = i != 0;
          break;
        case mime::PartKind::multipart:
          // A file name on a container: some readers offer the whole as a file of that name.
          is = i != 0 && !part.file_names.empty();
          break;
      }
      if (is) attachments_.push_back(i);
    }
    attachments_known_ = true;
  }
  return attachments_;
}

bool Facts::is_attached(uint32_t part) {
  const mime::Structure* tree = structure();
  return tree != nullptr && tree->parts[part].is_leaf() && leaf_is_attachment(*tree, part);
}

bool Facts::is_body_text(uint32_t part) {
  const mime::Structure* tree = structure();
  if (tree == nullptr || dropped(part)) return false;
  const mime::Part& leaf = tree->parts[part];
  return leaf.is_leaf() && leaf.is_text() && !leaf_is_attachment(*tree, part);
}

void Facts::mark_dropped(uint32_t part) {
  const mime::Structure* tree = structure();
  if (tree == nullptr || part >= tree->parts.size()) return;
  dropped_.resize(tree->parts.size(), false);
  dropped_[part] = true;
  // Document order: a parent always stands before its children.
  for (uint32_t i = part + 1; i < tree->parts.size(); ++i) {
    if (dropped_[tree->parts[i].parent]) dropped_[i] = true;
  }
  attachments_known_ = false;
}

}  // namespace postern::rules
