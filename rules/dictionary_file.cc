// SPDX-License-Identifier: Apache-2.0
// The two forms of dictionary files. The text form is what administrators have lying about: one word a line, a weight
// behind a comma or tab. A file is UTF-8 unless a byte order mark or its %charset line says otherwise.
#include "rules/dictionary_file.h"

#include <algorithm>
#include <array>
#include <map>

#include "engine/base/text.h"
#include "engine/config/yaml.h"
#include "engine/match/smart_id.h"
#include "engine/mime/charset.h"
#include "rules/report.h"

namespace postern::rules {
namespace {

using match::DictionaryEntry;

constexpr size_t kMaxName = 100;
constexpr size_t kMaxTerm = 4'000;

bool is_good_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
    const char low = base::ascii_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

bool is_word(char c) { return base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'; }

// Defaults are what a file says for all its entries.
struct Defaults {
  bool whole_words = false;
  bool case_sensitive = false;
  bool regex = false;
};

class Builder {
 public:
  Builder(const config::Sources& sources, config::Diagnostics& diagnostics) : report_(sources, diagnostics) {}

  Report& report() { return report_; }

  // add compiles and keeps an entry. `place` says where byte `offset` of its text stands, `length` how long it is
  // there.
  template <class Place>
  void add(DictionaryEntry entry, size_t length, Place place) {
    if (entries_.size() >= kMaxDictionaryEntries) {
      if (!full_) error(place(0), 1, "more than " + std::to_string(kMaxDictionaryEntries) + " entries");
      full_ = true;
      return;
    }
    if (entry.text.size() > kMaxTerm) {
      error(place(0), 1, "the entry is longer than " + std::to_string(kMaxTerm) + " bytes");
      return;
    }
    size_t offset = 0;
    if (auto compiled = entry.compile(&offset); !compiled) {
      const bool whole = entry.kind != DictionaryEntry::Kind::regex;
      error(place(whole ? 0 : std::min(offset, entry.text.size())), whole ? length : 1, compiled.error().text(),
            entry.kind == DictionaryEntry::Kind::smart ? smart_hint(entry.text) : "");
      return;
    }
    const config::Position position = place(0);
    const auto [at, fresh] = seen_.try_emplace(entry.text, position.line);
    if (!fresh) {
      report_.diagnostics().warning(position, static_cast<uint32_t>(length),
                                    quoted(entry.text) + " is here twice, and a hit counts twice",
                                    "the first is in line " + std::to_string(at->second));
    }
    entries_.push_back(std::move(entry));
  }

  void error(config::Position position, size_t length, std::string message, std::string hint = {}) {
    report_.diagnostics().error(position, static_cast<uint32_t>(std::max<size_t>(length, 1)), std::move(message),
                                std::move(hint));
  }

  std::vector<DictionaryEntry> take() { return std::move(entries_); }
  bool empty() const { return entries_.empty(); }

 private:
  static std::string smart_hint(std::string_view name) {
    std::vector<std::string_view> names;
    for (const match::SmartIdRow& row : match::smart_id_table()) names.push_back(row.name);
    const std::string_view near = base::nearest(name, names);
    return near.empty() ? "postern-rules(5) lists them" : "did you mean '*" + std::string(near) + "'?";
  }

  Report report_;
  std::vector<DictionaryEntry> entries_;
  std::map<std::string, uint32_t, std::less<>> seen_;  // text, line
  bool full_ = false;
};

// The text form.
class TextFile {
 public:
  TextFile(const config::Sources& sources, uint32_t source, Builder& builder)
      : sources_(sources), source_(source), builder_(builder) {}

  void read() {
    const std::string_view text = sources_.text(source_);
    size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
    while (begin < text.size()) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      line(begin, text.substr(begin, end - begin));
      begin = end + 1;
    }
  }

 private:
  config::Position at(size_t offset) const { return sources_.position_at(source_, offset); }

  void line(size_t begin, std::string_view text) {
    const std::string_view trimmed = base::trim(text);
    if (trimmed.empty() || trimmed[0] == '#') return;
    begin += static_cast<size_t>(trimmed.data() - text.data());
    if (trimmed[0] == '%' && trimmed.size() > 1 && is_word(trimmed[1])) {
      directive(begin, trimmed);
    } else {
      entry(begin, trimmed);
    }
  }

  void directive(size_t begin, std::string_view text) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(1, end - 1);
    const std::string_view value = base::trim(text.substr(end));
    constexpr std::array<std::string_view, 4> kWords = {"charset", "whole-words", "case-sensitive", "regex"};
    if (std::ranges::find(kWords, word) == kWords.end()) {
      std::string hint = did_you_mean(word, kWords);
      if (hint.empty()) hint = "an entry that begins with '%' is written with '\\' before it";
      builder_.error(at(begin), end, "unknown setting " + quoted("%" + std::string(word)), std::move(hint));
      return;
    }
    if (!builder_.empty()) {
      builder_.error(at(begin), end, "settings stand before the first entry, and hold for all of them");
      return;
    }
    if (word == "charset") return;  // read before
    bool on = true;
    if (!value.empty() && value != "true" && value != "false") {
      builder_.error(at(begin + static_cast<size_t>(value.data() - text.data())), value.size(),
                     "'%" + std::string(word) + "' takes true, false or nothing");
    } else {
      on = value != "false";
    }
    if (word == "whole-words") defaults_.whole_words = on;
    if (word == "case-sensitive") defaults_.case_sensitive = on;
    if (word == "regex") defaults_.regex = on;
  }

  void entry(size_t begin, std::string_view text) {
    DictionaryEntry out;
    out.whole_words = defaults_.whole_words;
    out.case_sensitive = defaults_.case_sensitive;
    if (!weight(begin, text, out)) return;
    size_t skip = 0;
    const bool escaped = text.size() > 1 && text[0] == '\\' && !defaults_.regex &&
                         std::string_view("#%*/\\").find(text[1]) != std::string_view::npos;
    if (escaped) {
      skip = 1;
    } else if (text[0] == '*' && text.size() > 1 && is_word(text[1])) {
      out.kind = DictionaryEntry::Kind::smart;
      skip = 1;
    } else if (defaults_.regex) {
      out.kind = DictionaryEntry::Kind::regex;
    } else if (text[0] == '/' && text.size() > 2 && text.back() == '/') {
      out.kind = DictionaryEntry::Kind::regex;
      skip = 1;
      text.remove_suffix(1);
    }
    out.text = text.substr(skip);
    builder_.add(std::move(out), text.size() - skip, [&](size_t offset) { return at(begin + skip + offset); });
  }

  // weight takes ",N" or a tab and N off the end of `text`; false when N is no weight.
  bool weight(size_t begin, std::string_view& text, DictionaryEntry& out) {
    const size_t cut = text.find_last_of(",\t");
    if (cut == std::string_view::npos || cut == 0) return true;
    const std::string_view number = base::trim(text.substr(cut + 1));
    if (number.empty() || !std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; })) return true;
    ValueFault fault;
    const std::optional<int64_t> value = read_count(number, 0, kMaxWeight, fault);
    if (!value) {
      builder_.error(at(begin + static_cast<size_t>(number.data() - text.data())), number.size(),
                     "a weight is a number from 0 to " + std::to_string(kMaxWeight),
                     "an entry that ends in a comma and a number is followed by its weight: " +
                         base::escape_for_log(text, 60) + ",1");
      return false;
    }
    out.weight = static_cast<uint32_t>(*value);
    text = base::trim(text.substr(0, cut));
    return true;
  }

  const config::Sources& sources_;
  uint32_t source_;
  Builder& builder_;
  Defaults defaults_;
};

// The YAML form.
class YamlFile {
 public:
  YamlFile(const config::Sources& sources, Builder& builder) : sources_(sources), builder_(builder) {}

  void read(const config::Node& root) {
    Report& report = builder_.report();
    if (root.kind == config::NodeKind::null) return;
    if (root.kind != config::NodeKind::map) {
      report.error(root, "a dictionary is a map with 'entries'", "and the list of entries below it");
      return;
    }
    constexpr std::array<std::string_view, 3> kKeys = {"whole-words", "case-sensitive", "entries"};
    check_keys(root, kKeys);
    flag(root, "whole-words", defaults_.whole_words);
    flag(root, "case-sensitive", defaults_.case_sensitive);
    const config::Node* entries = root.get("entries");
    if (entries == nullptr || entries->kind == config::NodeKind::null) return;
    if (entries->kind != config::NodeKind::sequence) {
      report.error(*entries, "'entries' takes a list", "each entry begins with '- '");
      return;
    }
    for (const config::Node& node : entries->items) entry(node);
  }

 private:
  void check_keys(const config::Node& map, std::span<const std::string_view> keys) {
    for (const auto& [key, value] : map.entries) {
      if (std::ranges::find(keys, key.text) != keys.end()) continue;
      std::string hint = did_you_mean(key.text, keys);
      if (hint.empty()) {
        hint = "known here:";
        for (const std::string_view each : keys) hint += " " + std::string(each);
      }
      builder_.report().error(key, "unknown key " + quoted(key.text), std::move(hint));
    }
  }

  void flag(const config::Node& map, std::string_view key, bool& to) {
    const config::Node* node = map.get(key);
    if (node == nullptr || node->kind == config::NodeKind::null) return;
    if (node->kind == config::NodeKind::scalar && !node->quoted && (node->text == "true" || node->text == "false")) {
      to = node->text == "true";
    } else {
      builder_.report().error(*node, "'" + std::string(key) + "' takes true or false");
    }
  }

  void entry(const config::Node& node) {
    DictionaryEntry out;
    out.whole_words = defaults_.whole_words;
    out.case_sensitive = defaults_.case_sensitive;
    const config::Node* text = &node;
    Report& report = builder_.report();
    if (node.kind == config::NodeKind::map) {
      constexpr std::array<std::string_view, 6> kKeys = {"text",   "regex",       "smart",
                                                         "weight", "whole-words", "case-sensitive"};
      check_keys(node, kKeys);
      flag(node, "whole-words", out.whole_words);
      flag(node, "case-sensitive", out.case_sensitive);
      text = nullptr;
      for (const auto& [key, kind] :
           {std::pair("text", DictionaryEntry::Kind::plain), std::pair("regex", DictionaryEntry::Kind::regex),
            std::pair("smart", DictionaryEntry::Kind::smart)}) {
        const config::Node* value = node.get(key);
        if (value == nullptr) continue;
        if (text != nullptr) {
          report.error(*node.key_node(key), "an entry is one of 'text', 'regex' and 'smart'");
          return;
        }
        text = value;
        out.kind = kind;
      }
      if (text == nullptr) {
        report.error(node.entries.empty() ? node : node.entries[0].first,
                     "this entry has no 'text', 'regex' or 'smart'");
        return;
      }
      if (!weight(node, out)) return;
    }
    if (text->kind != config::NodeKind::scalar || text->text.empty()) {
      report.error(*text, "an entry is a text, or a map of text, weight and so on");
      return;
    }
    size_t skip = 0;
    const bool keyword = text->text.size() > 1 && text->text[0] == '*' && is_word(text->text[1]);
    if (keyword && (text == &node || out.kind == DictionaryEntry::Kind::smart)) {
      out.kind = DictionaryEntry::Kind::smart;
      skip = 1;
    }
    out.text = text->text.substr(skip);
    builder_.add(std::move(out), text->length(sources_),
                 [&](size_t offset) { return text->position_of(sources_, skip + offset); });
  }

  bool weight(const config::Node& map, DictionaryEntry& out) {
    const config::Node* node = map.get("weight");
    if (node == nullptr || node->kind == config::NodeKind::null) return true;
    ValueFault fault;
    std::optional<int64_t> value;
    if (node->kind == config::NodeKind::scalar) value = read_count(node->text, 0, kMaxWeight, fault);
    if (!value) {
      builder_.report().error(*node, "a weight is a number from 0 to " + std::to_string(kMaxWeight));
      return false;
    }
    out.weight = static_cast<uint32_t>(*value);
    return true;
  }

  const config::Sources& sources_;
  Builder& builder_;
  Defaults defaults_;
};

// The charset that a text file declares: by a byte order mark, or a line "%charset NAME" before its first entry.
std::string_view declared_charset(std::string_view text, size_t& offset) {
  const std::string_view sniffed = mime::sniff_charset(text);
  if (!sniffed.empty()) return sniffed;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = base::trim(text.substr(begin, end - begin));
    begin = end + 1;
    if (line.empty() || line[0] == '#') continue;
    if (line[0] != '%') break;
    if (!line.starts_with("%charset ") && !line.starts_with("%charset\t")) continue;
    const std::string_view value = base::trim(line.substr(8));
    offset = static_cast<size_t>(value.data() - text.data());
    return value;
  }
  return {};
}

// as_utf8 gives the source that holds the file's text in UTF-8; nullopt, with an error, when it cannot be decoded.
std::optional<uint32_t> as_utf8(config::Sources& sources, uint32_t source, config::Diagnostics& diagnostics) {
  const std::string_view text = sources.text(source);
  size_t offset = 0;
  const std::string_view charset = declared_charset(text, offset);
  if (!charset.empty() && !mime::is_known_charset(charset)) {
    diagnostics.error(sources.position_at(source, offset), static_cast<uint32_t>(charset.size()),
                      "unknown charset " + quoted(charset));
    return std::nullopt;
  }
  mime::Converted converted = mime::to_utf8(text, charset.empty() ? "utf-8" : charset);
  if (converted.damaged) {
    size_t same = 0;
    while (same < std::min(text.size(), converted.utf8.size()) && text[same] == converted.utf8[same]) ++same;
    diagnostics.error(sources.position_at(source, same), 1,
                      "this is not valid " + (charset.empty() ? std::string("UTF-8") : std::string(charset)),
                      charset.empty() ? "say what it is in the first line: %charset iso-8859-1" : "");
    return std::nullopt;
  }
  if (converted.utf8 == text) return source;
  return sources.add_text(sources.path(source), std::move(converted.utf8));
}

}  // namespace

std::string dictionary_name(std::string_view path) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  const size_t dot = name.rfind('.');
  if (dot != std::string_view::npos && dot > 0) name = name.substr(0, dot);
  return std::string(name);
}

std::shared_ptr<const match::Dictionary> load_dictionary(config::Sources& sources, uint32_t source,
                                                         config::Diagnostics& diagnostics) {
  const size_t errors = diagnostics.error_count();
  const std::string path = sources.path(source);
  const std::string name = dictionary_name(path);
  if (!is_good_name(name)) {
    diagnostics.error({source, 0, 0}, 1, "the name of a dictionary's file is letters, digits, '-', '_' and '.'");
  }
  Builder builder(sources, diagnostics);
  if (path.ends_with(".yaml") || path.ends_with(".yml")) {
    if (const auto root = config::parse_yaml(sources, source, diagnostics)) YamlFile(sources, builder).read(*root);
  } else if (const std::optional<uint32_t> text = as_utf8(sources, source, diagnostics)) {
    TextFile(sources, *text, builder).read();
  }
  if (diagnostics.error_count() > errors) return nullptr;
  if (builder.empty()) diagnostics.warning({source, 0, 0}, 1, "this dictionary has no entries, so nothing matches it");
  return std::make_shared<const match::Dictionary>(name, builder.take());
}

}  // namespace postern::rules
