// SPDX-License-Identifier: Apache-2.0
// Cross-reference sections and trailers, followed by hand; streams of references are unfolded within a bound.
#include "engine/scan/worker/pdf_structure.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "engine/scan/worker/inflater.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kMostSections = 1024;
constexpr size_t kMostTokens = 20000;  // of one dictionary
constexpr size_t kDeepest = 64;
constexpr uint64_t kMostUnfolded = 24u << 20;  // bytes of objects and references
constexpr size_t kMostLookUps = 16;            // of encryption dictionaries
constexpr size_t kLongest = 1u << 20;          // bytes of a dictionary that is searched for
// Sections, trailers and streams may all be the same bytes. A file is read so many times, then it counts as broken.
constexpr uint64_t kMostTimes = 8;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\0'; }
bool is_delimiter(char c) { return std::string_view("()<>[]{}/%").find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Tokens reads the words of PDF syntax. Strings are one word, "(".
class Tokens {
 public:
  Tokens(std::string_view bytes, size_t at) : bytes_(bytes), at_(at) {}
  size_t at() const { return at_; }

  // Empty at the end.
  std::string_view next() {
    skip_space();
    if (at_ >= bytes_.size()) return {};
    const size_t begin = at_;
    const char c = bytes_[at_++];
    if (c == '(') {
      skip_string();
      return bytes_.substr(begin, 1);
    }
    if (c == '<' || c == '>') {
      if (at_ < bytes_.size() && bytes_[at_] == c) {
        ++at_;
        return bytes_.substr(begin, 2);
      }
      if (c == '<') {
        at_ = std::min(bytes_.find('>', at_), bytes_.size() - 1) + 1;
        return bytes_.substr(begin, 1);
      }
      return bytes_.substr(begin, 1);
    }
    if (c != '/' && is_delimiter(c)) return bytes_.substr(begin, 1);
    while (at_ < bytes_.size() && !is_space(bytes_[at_]) && !is_delimiter(bytes_[at_])) ++at_;
    return bytes_.substr(begin, at_ - begin);
  }

 private:
  void skip_space() {
    while (at_ < bytes_.size()) {
      if (is_space(bytes_[at_])) {
        ++at_;
      } else if (bytes_[at_] == '%') {
        at_ = std::min(bytes_.find_first_of("\r\n", at_), bytes_.size());
      } else {
        return;
      }
    }
  }
  void skip_string() {
    size_t open = 1;
    while (at_ < bytes_.size() && open > 0) {
      const char c = bytes_[at_++];
      if (c == '\\' && at_ < bytes_.size()) ++at_;
      if (c == '(') ++open;
      if (c == ')') --open;
    }
  }
  std::string_view bytes_;
  size_t at_;
};

std::optional<uint64_t> number(std::string_view token) {
  uint64_t value = 0;
  const auto read = std::from_chars(token.data(), token.data() + token.size(), value);
  if (read.ec != std::errc() || read.ptr != token.data() + token.size()) return std::nullopt;
  return value;
}

// plain_name resolves "#xx" in a name.
std::string plain_name(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '#' && i + 2 < name.size() && hex_value(name[i + 1]) >= 0 && hex_value(name[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(name[i + 1]) * 16 + hex_value(name[i + 2]));
      i += 2;
    } else {
      out += name[i];
    }
  }
  return out;
}

// Dictionary is what of a trailer or an encryption dictionary matters.
struct Dictionary {
  std::optional<uint64_t> prev;
  std::optional<uint64_t> xref_stream;
  std::optional<uint64_t> size;
  bool encrypt = false;
  std::optional<uint64_t> encrypt_object;  // where /Encrypt is a reference
  std::string filter;                      // of this dictionary
  std::string encrypt_filter;              // of the one that stands in it as /Encrypt
  std::string type;
};

// Reads a dictionary of which "<<" is the next word. nullopt where none is.
std::optional<Dictionary> read_dictionary(Tokens& tokens) {
  if (tokens.next() != "<<") return std::nullopt;
  Dictionary out;
  size_t depth = 1;
  bool key_next = true;
  std::string key;    // of the outer dictionary
  std::string inner;  // of one level deeper
  std::vector<uint64_t> numbers;
  for (size_t count = 0; count < kMostTokens && depth > 0; ++count) {
    const std::string_view token = tokens.next();
    if (token.empty()) return out;
    if (token == "<<" || token == "[") {
      if (depth == 1 && key == "/Encrypt") out.encrypt = true;
      if (++depth > kDeepest) return out;
      inner.clear();
      continue;
    }
    if (token == ">>" || token == "]") {
      if (--depth == 1) {
        key.clear();
        key_next = true;
      }
      continue;
    }
    if (token == "stream" || token == "endobj") return out;
    if (depth == 2 && key == "/Encrypt") {
      if (inner == "/Filter" && token[0] == '/') out.encrypt_filter = plain_name(token.substr(1));
      inner = token[0] == '/' ? plain_name(token) : std::string();
    }
    if (depth != 1) continue;
    if (key_next || (token[0] == '/' && key != "/Filter" && key != "/Type")) {
      key = token[0] == '/' ? plain_name(token) : std::string();
      key_next = key.empty();
      numbers.clear();
      continue;
    }
    if (const auto value = number(token)) {
      numbers.push_back(*value);
      if (numbers.size() == 1) {
        if (key == "/Prev") out.prev = value;
        if (key == "/XRefStm") out.xref_stream = value;
        if (key == "/Size") out.size = value;
      }
      continue;
    }
    if (token == "R" && key == "/Encrypt" && numbers.size() == 2) {
      out.encrypt = true;
      out.encrypt_object = numbers[0];
    }
    if (key == "/Filter" && token[0] == '/') out.filter = plain_name(token.substr(1));
    if (key == "/Type" && token[0] == '/') out.type = plain_name(token.substr(1));
    key.clear();
    key_next = true;
  }
  return out;
}

// The objects that a table says it has; `tokens` moves behind its trailer keyword.
uint64_t skip_table(Tokens& tokens, bool& found) {
  uint64_t objects = 0;
  found = false;
  for (;;) {
    const std::string_view token = tokens.next();
    if (token == "trailer") {
      found = true;
      return objects;
    }
    if (token.empty() || (!is_digit(token[0]) && token != "n" && token != "f")) return objects;
    const auto first = number(token);
    if (!first) continue;
    Tokens ahead = tokens;
    const auto count = number(ahead.next());
    const std::string_view third = ahead.next();
    // A subsection begins with two numbers, an entry has a letter behind them.
    if (count && third != "n" && third != "f") {
      objects = std::max(objects, *first + std::min(*count, UINT64_MAX - *first));
      tokens = Tokens(ahead);
    }
  }
}

size_t count_of(std::string_view bytes, std::string_view word) {
  size_t count = 0;
  for (size_t at = bytes.find(word); at != std::string_view::npos; at = bytes.find(word, at + word.size())) ++count;
  return count;
}

class Finder {
 public:
  explicit Finder(std::string_view bytes) : bytes_(bytes) {
    // Offsets count from the header where something stands before it.
    const size_t header = bytes.substr(0, 1 << 16).find("%PDF-");
    base_ = header == std::string_view::npos ? 0 : header;
  }

  PdfStructure run() {
    out_.chain_whole = follow_chain();
    // Where the chain is broken readers look for trailers all through the file.
    if (!out_.chain_whole) search();
    // Each indirect object has its "obj", and its "endobj".
    out_.objects = std::max<uint64_t>(out_.objects, count_of(bytes_, " obj"));
    streams();
    return out_;
  }

 private:
  bool follow_chain() {
    const size_t start = bytes_.rfind("startxref");
    if (start == std::string_view::npos) return false;
    Tokens tokens(bytes_, start + 9);
    std::vector<uint64_t> todo;
    std::set<uint64_t> seen;
    const auto first = number(tokens.next());
    if (!first) return false;
    todo.push_back(*first);
    bool whole = true;
    while (!todo.empty()) {
      const uint64_t offset = todo.back();
      todo.pop_back();
      if (!seen.insert(offset).second || seen.size() > kMostSections || spent()) {
        whole = false;
        continue;
      }
      std::optional<Dictionary> section = section_at(offset + base_);
      if (!section && base_ != 0) section = section_at(offset);
      if (!section) {
        whole = false;
        continue;
      }
      take(*section);
      if (section->prev) todo.push_back(*section->prev);
      if (section->xref_stream) todo.push_back(*section->xref_stream);
    }
    return whole;
  }

  bool spent() const { return read_ > kMostTimes * bytes_.size() + kLongest; }

  std::optional<Dictionary> section_at(uint64_t offset) {
    if (offset >= bytes_.size()) return std::nullopt;
    Tokens tokens(bytes_, static_cast<size_t>(offset));
    std::optional<Dictionary> section = section_by(tokens);
    read_ += tokens.at() - offset;
    return section;
  }

  std::optional<Dictionary> section_by(Tokens& tokens) {
    const std::string_view first = tokens.next();
    if (first == "xref") {
      bool found = false;
      const uint64_t objects = skip_table(tokens, found);
      out_.objects = std::max(out_.objects, objects);
      if (!found) return std::nullopt;
      return read_dictionary(tokens);
    }
    if (!number(first) || !number(tokens.next()) || tokens.next() != "obj") return std::nullopt;
    std::optional<Dictionary> stream = read_dictionary(tokens);
    if (stream && stream->type != "XRef") return std::nullopt;
    return stream;
  }

  void take(const Dictionary& section) {
    if (section.size) out_.objects = std::max(out_.objects, *section.size);
    if (!section.encrypt) return;
    std::string filter = section.encrypt_filter;
    if (section.encrypt_object) {
      const std::optional<Dictionary> found = object(*section.encrypt_object);
      if (!found) return;  // a name of nothing
      filter = found->filter;
    }
    out_.encrypted = true;
    if (out_.handler.empty() || out_.handler == "Standard") out_.handler = filter;
  }

  // The last object of that number: an update comes later in the file. A file with many such numbers has one that is
  // not looked for.
  std::optional<Dictionary> object(uint64_t wanted) {
    const auto known = looked_up_.find(wanted);
    if (known != looked_up_.end()) return known->second;
    if (looked_up_.size() >= kMostLookUps || spent()) return Dictionary{};
    return looked_up_[wanted] = last_object(wanted);
  }

  std::optional<Dictionary> last_object(uint64_t wanted) {
    const std::string name = std::to_string(wanted);
    for (size_t at = bytes_.rfind(name); at != std::string_view::npos && at > 0; at = bytes_.rfind(name, at - 1)) {
      if (!is_space(bytes_[at - 1]) && bytes_[at - 1] != 'j') continue;
      Tokens tokens(bytes_.substr(0, std::min(bytes_.size(), at + kLongest)), at);
      const bool found = tokens.next() == name && number(tokens.next()) && tokens.next() == "obj";
      read_ += tokens.at() - at;
      if (spent()) return Dictionary{};
      if (found) return read_dictionary(tokens);
    }
    return std::nullopt;
  }

  std::optional<Dictionary> dictionary_at(size_t at) {
    if (spent()) return std::nullopt;
    Tokens tokens(bytes_.substr(0, std::min(bytes_.size(), at + kLongest)), at);
    std::optional<Dictionary> dictionary = read_dictionary(tokens);
    read_ += tokens.at() - at;
    return dictionary;
  }

  void search() {
    size_t found = 0;
    for (size_t at = bytes_.find("trailer"); at != std::string_view::npos && ++found <= kMostSections;
         at = bytes_.find("trailer", at + 7)) {
      if (at > 0 && bytes_[at - 1] != '\n' && bytes_[at - 1] != '\r') continue;
      if (const auto dictionary = dictionary_at(at + 7)) take(*dictionary);
    }
    found = 0;
    for (size_t at = bytes_.find("/XRef"); at != std::string_view::npos && ++found <= kMostSections;
         at = bytes_.find("/XRef", at + 5)) {
      // Back to the "obj" of the stream that this is the type of.
      constexpr size_t kFarthest = 4096;
      const size_t from = at > kFarthest ? at - kFarthest : 0;
      const size_t object = bytes_.substr(from, at - from).rfind(" obj");
      if (object == std::string_view::npos) continue;
      const auto dictionary = dictionary_at(from + object + 4);
      if (dictionary && dictionary->type == "XRef") take(*dictionary);
    }
  }

  // Streams of objects and of references are unfolded in memory, whole, by who reads the file. Their dictionaries are
  // in the clear, and the word is in them.
  void streams() {
    size_t seen = 0;
    for (size_t at = bytes_.find("stream"); at != std::string_view::npos && !out_.bomb;
         at = bytes_.find("stream", at + 6)) {
      if (at >= 3 && bytes_.substr(at - 3, 3) == "end") continue;
      constexpr size_t kFarthest = 1024;
      const size_t from = at > kFarthest ? at - kFarthest : 0;
      const std::string_view before = bytes_.substr(from, at - from);
      const size_t object = before.rfind("obj");
      const std::string_view head = object == std::string_view::npos ? before : before.substr(object);
      const bool plain = head.find("/ObjStm") != std::string_view::npos || head.find("/XRef") != std::string_view::npos;
      // "/Obj#53tm" is the same name; "/First" and "/W" are in such a dictionary in any case.
      if (!plain && head.find('#') == std::string_view::npos) continue;
      if (++seen > 20000) return;
      size_t begin = at + 6;
      if (begin < bytes_.size() && bytes_[begin] == '\r') ++begin;
      if (begin < bytes_.size() && bytes_[begin] == '\n') ++begin;
      out_.bomb = is_bomb(bytes_.substr(begin));
    }
  }

  // Of all such streams together, which are all in memory at once.
  bool is_bomb(std::string_view deflated) {
    Inflater inflater(deflated, Inflater::Format::zlib);
    std::vector<char> out(1 << 16);
    while (inflater.going() && unfolded_ <= kMostUnfolded) unfolded_ += inflater.next(out.data(), out.size());
    read_ += inflater.used();
    return unfolded_ > kMostUnfolded || spent();
  }

  std::string_view bytes_;
  size_t base_ = 0;
  uint64_t unfolded_ = 0;
  uint64_t read_ = 0;  // bytes, each as often as it was
  std::map<uint64_t, std::optional<Dictionary>> looked_up_;
  PdfStructure out_;
};

}  // namespace

PdfStructure pdf_structure(std::string_view bytes) { return Finder(bytes).run(); }

}  // namespace postern::scan::worker
