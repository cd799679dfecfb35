// SPDX-License-Identifier: Apache-2.0
// A reader takes the first field or the last one, or looks for a parameter in all of them: each type is taken with each
// character set that is named.
#include "engine/mime/labels.h"

#include <algorithm>
#include <functional>

#include "engine/base/text.h"
#include "engine/mime/charset.h"
#include "engine/mime/content_type.h"

namespace postern::mime {
namespace {

constexpr size_t kLongestCharset = 64;  // of a label; longer ones name nothing

std::string charset_label(std::string_view raw) { return base::lower(base::trim(raw).substr(0, kLongestCharset)); }

std::string_view type_or_default(std::string_view type) { return type.empty() ? "text/plain" : type; }

void add_kind(Labels& out, std::string_view type, std::string_view charset) {
  const auto same = [&](const Kind& kind) {
    return type_or_default(kind.type) == type_or_default(type) && kind.charset == charset;
  };
  if (std::ranges::any_of(out.kinds, same)) return;
  if (out.kinds.size() >= Labels::kMostKinds) {
    out.complete = false;
    return;
  }
  out.kinds.push_back({std::string(type), std::string(charset)});
}

// charsets_of returns the character sets that a Content-Type names; of further readings of a parameter only those that
// exist, for the others are how nobody reads it.
std::vector<std::string> charsets_of(const StructuredValue& type) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view raw) {
    std::string charset = charset_label(raw);
    if (std::ranges::find(out, charset) == out.end()) out.push_back(std::move(charset));
  };
  for (const Parameter& each : type.parameters) {
    if (each.name == "charset") add(each.value);
  }
  for (const Parameter& each : type.candidates) {
    if (each.name == "charset" && is_known_charset(each.value)) add(each.value);
  }
  if (out.empty()) out.emplace_back();
  return out;
}

void add_names(Labels& out, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::ranges::find(out.names, name) != out.names.end()) continue;
    if (out.names.size() >= kMostFileNames) {
      out.complete = false;
      return;
    }
    out.names.push_back(name);
  }
}

// add_loose_names does so for a value that readers take apart in different ways.
void add_loose_names(Labels& out, const StructuredValue& value, std::string_view raw, bool odd) {
  if (value.truncated) out.complete = false;
  if (!value.malformed && !odd && raw.find('(') == std::string_view::npos) return;
  const std::vector<std::string> names = loose_names(raw);
  if (names.size() >= kMostLooseNames) out.complete = false;
  add_names(out, names);
}

}  // namespace

Labels labels_of(const LooseHeader& header) {
  Labels out;
  std::vector<StructuredValue> types;
  for (const std::string& raw : header.types) types.push_back(parse_content_type(raw));
  for (const std::string& raw : header.dispositions) {
    const StructuredValue value = parse_disposition(raw);
    // With the first type, as the parser of the structure does: names come in the same order.
    add_names(out, file_names(types.empty() ? StructuredValue() : types.front(), value));
    add_loose_names(out, value, raw, header.odd);
  }
  for (size_t i = 0; i < types.size(); ++i) {
    add_names(out, file_names(types[i], {}));
    add_loose_names(out, types[i], header.types[i], header.odd);
  }
  // What is a multipart to one reader is no leaf to it.
  const auto is_multipart = [](const StructuredValue& type) { return type.value.starts_with("multipart/"); };
  if (!std::ranges::all_of(types, is_multipart)) std::erase_if(types, is_multipart);
  std::vector<std::string> charsets;
  for (const StructuredValue& type : types) {
    for (std::string& charset : charsets_of(type)) {
      add_kind(out, type.value, charset);
      charsets.push_back(std::move(charset));
    }
  }
  for (const StructuredValue& type : types) {
    for (const std::string& charset : charsets) add_kind(out, type.value, charset);
  }
  if (out.kinds.empty()) out.kinds.emplace_back();
  return out;
}

uint64_t label_work(const LooseHeader& header) {
  constexpr uint64_t kCost = 8;  // each name is cut and decoded in several ways
  uint64_t out = 0;
  for (const std::string& raw : header.types) out += raw.size();
  for (const std::string& raw : header.dispositions) out += raw.size();
  return kCost * out;
}

Labels labels_of(const Part& leaf) {
  Labels out;
  out.names = leaf.file_names;
  out.kinds.push_back({leaf.type.value, charset_label(leaf.type.get("charset"))});
  return out;
}

News KnownLabels::news(const Labels& labels) const {
  News out;
  for (size_t i = 0; i < labels.names.size(); ++i) {
    if (!names_.contains(labels.names[i])) out.names.push_back(i);
  }
  if (!out.names.empty()) out.why = "name";
  for (size_t i = 0; i < labels.kinds.size(); ++i) {
    const auto type = std::string(type_or_default(labels.kinds[i].type));
    if (kinds_.contains({type, labels.kinds[i].charset})) continue;
    out.kinds.push_back(i);
    const auto of_type = kinds_.lower_bound({type, std::string()});
    const bool new_type = of_type == kinds_.end() || of_type->first != type;
    if (new_type || out.why != "type") out.why = new_type ? "type" : "charset";
  }
  return out;
}

void KnownLabels::add(const Labels& labels) {
  names_.insert(labels.names.begin(), labels.names.end());
  for (const Kind& kind : labels.kinds) kinds_.emplace(type_or_default(kind.type), kind.charset);
}

uint64_t label_bytes(const Labels& labels) {
  constexpr uint64_t kEach = 64;  // what a string of a set takes besides its characters
  uint64_t out = 0;
  for (const std::string& name : labels.names) out += name.size() + kEach;
  for (const Kind& kind : labels.kinds) out += kind.type.size() + kind.charset.size() + kEach;
  return out;
}

}  // namespace postern::mime
