// SPDX-License-Identifier: Apache-2.0
// YAML by yaml-cpp's event interface, made strict: its events are checked as they come (depth, count, keys, tags,
// anchors), so it never builds a tree of its own, and the text between the values it reports is looked at for anything
// it dropped. Its exceptions end here. YAML 1.2.
#include "engine/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <streambuf>
#include <tuple>
#include <unordered_map>

#include "engine/base/text.h"
#include "engine/config/scalar_text.h"

namespace postern::config {

Node::Node() = default;
Node::Node(const Node&) = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(const Node&) = default;
Node& Node::operator=(Node&&) noexcept = default;
Node::~Node() = default;

const Node* Node::get(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.text == key) return &value;
  }
  return nullptr;
}

const Node* Node::key_node(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.text == key) return &name;
  }
  return nullptr;
}

Position Node::position_of(const Sources& sources, size_t offset) const {
  if (kind != NodeKind::scalar || position.line == 0) return position;
  const ScalarPlace place = walk_scalar(sources.text(position.source), begin, style, text, offset);
  return place.result == Replay::ok ? sources.position_at(position.source, place.wanted) : position;
}

uint32_t Node::length(const Sources& sources) const {
  if (kind != NodeKind::scalar || position.line == 0) return 1;
  const size_t from = sources.offset_of(position);
  const size_t line_end = from + sources.line(position.source, position.line).size() - (position.column - 1);
  const size_t to = std::min<size_t>(end, line_end);
  return to > from ? static_cast<uint32_t>(to - from) : 1;
}

namespace {

// Stop ends a parse from inside yaml-cpp; what is wrong has been reported.
struct Stop {};

// Source is the stream yaml-cpp reads from. It ends early when too much is read without a value coming out, because
// yaml-cpp keeps every token of an open flow collection in memory.
class Source : public std::streambuf {
 public:
  explicit Source(std::string_view text) : text_(text) {}
  void value_seen() { allowed_ = given_ + kMaxYamlLookahead; }
  bool cut() const { return cut_; }

 protected:
  int_type underflow() override {
    if (given_ >= text_.size()) return traits_type::eof();
    if (given_ >= allowed_) {
      cut_ = true;
      return traits_type::eof();
    }
    const size_t n = std::min(text_.size() - given_, sizeof buffer_);
    std::copy_n(text_.data() + given_, n, buffer_);
    given_ += n;
    setg(buffer_, buffer_, buffer_ + n);
    return traits_type::to_int_type(buffer_[0]);
  }

 private:
  std::string_view text_;
  size_t given_ = 0;
  size_t allowed_ = kMaxYamlLookahead;
  bool cut_ = false;
  char buffer_[4096];
};

struct Range {
  size_t begin;
  size_t end;
};

// Finds the next private key in PEM form at or after `from`: its first line followed by a run of base64, or by the line
// that ends it.
std::optional<Range> find_private_key(std::string_view text, size_t from) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kTail = "PRIVATE KEY-----";
  constexpr std::string_view kEnd = "-----END ";
  constexpr size_t kLongestPem = 64u << 10;
  for (size_t at = text.find(kBegin, from); at != std::string_view::npos; at = text.find(kBegin, at + 1)) {
    const size_t tail = text.substr(0, std::min(text.size(), at + 64)).find(kTail, at);
    if (tail == std::string_view::npos) continue;
    const size_t body = tail + kTail.size();
    size_t run = 0;
    for (size_t i = body; i < text.size() && i < body + 400 && run < 32; ++i) {
      const char c = text[i];
      const bool base64 =
          (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' || c == '/';
      run = base64 ? run + 1 : 0;
    }
    size_t end = text.find(kEnd, body);
    if (run < 32 && (end == std::string_view::npos || end - body < 4 || end - body > kLongestPem)) continue;
    end = end == std::string_view::npos ? text.size() : std::min(text.size(), text.find('\n', end));
    return Range{at, end};
  }
  return std::nullopt;
}

constexpr std::string_view kKeyMessage = "a private key stands here; it is ignored";
constexpr std::string_view kKeyHint =
    "private keys belong in the key store; remove this one, and replace it if others could read it";

constexpr std::string_view kTooLong = "a list or map in brackets is longer than 256 KiB";
constexpr std::string_view kTooLongHint = "write it as a block, one entry a line";

class Builder : public YAML::EventHandler {
 public:
  // `text` is the source's text as yaml-cpp sees it: same length, a byte order mark of `shift` bytes not counted.
  Builder(const Sources& sources, uint32_t source, std::string_view text, size_t shift, Source& stream,
          Diagnostics& diagnostics)
      : sources_(sources),
        source_(source),
        text_(text),
        shift_(shift),
        last_end_(shift),
        stream_(stream),
        diagnostics_(diagnostics) {
    root_.position = sources_.position_at(source_, shift);
  }

  Node take_root() { return std::move(root_); }
  void new_document() {
    const std::string_view rest = text_.substr(std::min(last_end_, text_.size()));
    const size_t mark = rest.find("\n---");
    error(mark == std::string_view::npos ? last_end_ : last_end_ + mark + 1, 3, "a file holds one document only");
    throw Stop();
  }
  // Looks at what stands after the last value.
  void finish() { check_gap(text_.size()); }
  bool dropped_key_in(size_t begin, size_t end) const {
    return std::ranges::any_of(dropped_, [&](const Range& r) { return r.begin < end && begin < r.end; });
  }
  size_t last_end() const { return last_end_; }

  void OnDocumentStart(const YAML::Mark&) override {
    if (++documents_ > 1) new_document();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    const size_t begin = offset(mark);
    check_properties(begin);
    Node node;
    node.kind = NodeKind::null;
    // A value that is not written at all is reported at its key.
    const bool has_key = !frames_.empty() && frames_.back().key;
    node.position = has_key ? frames_.back().key->position : sources_.position_at(source_, std::max(begin, last_end_));
    if (begin >= last_end_) {
      check_gap(begin);
      for (const std::string_view word : {"null", "Null", "NULL", "~"}) {
        if (text_.substr(begin, word.size()) == word) last_end_ = begin + word.size();
      }
    }
    if (expects_key()) {
      error(begin, 1, "a key must be a word");
      throw Stop();
    }
    attach(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    error(offset(mark), 1, "aliases (*name) are not supported");
    throw Stop();
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t, const std::string& value) override {
    const size_t begin = offset(mark);
    check_properties(begin);
    Node node;
    node.kind = NodeKind::scalar;
    node.text = value;
    node.style = style_at(text_, begin);
    node.quoted = node.style != ScalarStyle::plain;
    node.begin = static_cast<uint32_t>(begin);
    const ScalarPlace place = walk_scalar(text_, begin, node.style, value, 0);
    if (place.result == Replay::unterminated) {
      error(begin, 1, "this quote is never closed");
      throw Stop();
    }
    if (place.result == Replay::mismatch) {
      error(begin, 1, "this text can be read in more than one way; put it in quotes");
      throw Stop();
    }
    const bool block = node.style == ScalarStyle::literal || node.style == ScalarStyle::folded;
    if (begin > last_end_) check_gap(begin);
    last_end_ = std::max(last_end_, place.end);
    node.end = static_cast<uint32_t>(place.end);
    node.position = sources_.position_at(source_, block ? std::min(place.text_begin, text_.size()) : begin);
    if (expects_key()) {
      add_key(std::move(node));
    } else {
      attach(std::move(node));
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, NodeKind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, NodeKind::map);
  }
  void OnMapEnd() override { close(); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    error(offset(mark), 1, "anchors (&name) are not supported");
    throw Stop();
  }

 private:
  struct Frame {
    Node node;
    std::optional<Node> key;
    bool duplicate = false;                          // the key was there before: its value is read and left out
    std::unordered_map<std::string, uint32_t> seen;  // key to its line
  };

  size_t offset(const YAML::Mark& mark) const {
    return std::min(text_.size(), static_cast<size_t>(std::max(mark.pos, 0)) + shift_);
  }
  void error(size_t at, uint32_t length, std::string message, std::string hint = {}) {
    // What looks wrong after the text was cut off is not what is wrong.
    if (stream_.cut()) std::tie(message, hint) = std::pair(kTooLong, kTooLongHint);
    diagnostics_.error(sources_.position_at(source_, at), length, std::move(message), std::move(hint));
  }
  bool expects_key() const {
    return !frames_.empty() && frames_.back().node.kind == NodeKind::map && !frames_.back().key;
  }

  // A value with a tag or an anchor is reported at that.
  void check_properties(size_t begin) {
    if (begin >= text_.size()) return;
    if (text_[begin] == '!') {
      error(begin, 1, "tags (!name) are not supported");
      throw Stop();
    }
    if (text_[begin] == '&') {
      error(begin, 1, "anchors (&name) are not supported");
      throw Stop();
    }
  }

  // Between two values only YAML's own signs may stand; anything else was dropped without a word.
  void check_gap(size_t until) {
    for (size_t i = last_end_; i < until; ++i) {
      const char c = text_[i];
      if (c == '#' && (i == 0 || text_[i - 1] == ' ' || text_[i - 1] == '\t' || text_[i - 1] == '\n' || i == shift_)) {
        while (i < until && text_[i] != '\n') ++i;
      } else if (c == '.' && text_.substr(i, 3) == "..." && (i == 0 || text_[i - 1] == '\n')) {
        i += 2;
      } else if (std::string_view(" \t\r\n-?:,[]{}").find(c) == std::string_view::npos) {
        error(i, 1, "unexpected text");
        throw Stop();
      }
    }
    last_end_ = std::max(last_end_, until);
  }

  void count_node(size_t at) {
    stream_.value_seen();
    if (++nodes_ <= kMaxYamlNodes) return;
    error(at, 1, "more than 1,000,000 values in one file");
    throw Stop();
  }

  void open(const YAML::Mark& mark, NodeKind kind) {
    const size_t begin = offset(mark);
    check_properties(begin);
    count_node(begin);
    if (frames_.size() >= kMaxYamlDepth) {
      error(begin, 1, "nested deeper than " + std::to_string(kMaxYamlDepth) + " levels");
      throw Stop();
    }
    if (expects_key()) {
      // At the end of the file yaml-cpp takes an open bracket for the beginning of a key.
      if (never_closed(begin)) {
        error(begin, 1, "this bracket is never closed");
      } else {
        error(begin, 1, "a key must be a word", "quote a text that begins with '[' or '{'");
      }
      throw Stop();
    }
    Frame& frame = frames_.emplace_back();
    frame.node.kind = kind;
    frame.node.position = sources_.position_at(source_, begin);
  }

  bool never_closed(size_t begin) const {
    size_t depth = 0;
    char quote = 0;
    for (size_t i = begin; i < text_.size(); ++i) {
      const char c = text_[i];
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '[' || c == '{') {
        ++depth;
      } else if ((c == ']' || c == '}') && --depth == 0) {
        return false;
      }
    }
    return true;
  }

  void close() {
    Node node = std::move(frames_.back().node);
    frames_.pop_back();
    attach(std::move(node));
  }

  void add_key(Node node) {
    count_node(node.begin);
    Frame& frame = frames_.back();
    const auto [entry, fresh] = frame.seen.try_emplace(node.text, node.position.line);
    if (!fresh) {
      diagnostics_.error(node.position, node.length(sources_),
                         "duplicate key '" + base::escape_for_log(node.text, 80) + "'",
                         "the first one is in line " + std::to_string(entry->second));
    }
    frame.duplicate = !fresh;
    frame.key = std::move(node);
  }

  void attach(Node node) {
    count_node(node.begin);
    if (node.kind == NodeKind::scalar && find_private_key(node.text, 0)) {
      diagnostics_.warning(node.position, 1, std::string(kKeyMessage), std::string(kKeyHint));
      dropped_.push_back({node.begin, node.end});
      if (!frames_.empty()) frames_.back().key.reset();
      return;
    }
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == NodeKind::sequence) {
      frame.node.items.push_back(std::move(node));
    } else {
      if (!frame.duplicate) frame.node.entries.emplace_back(std::move(*frame.key), std::move(node));
      frame.key.reset();
    }
  }

  const Sources& sources_;
  uint32_t source_;
  std::string_view text_;
  size_t shift_;     // bytes of a byte order mark, which yaml-cpp is not shown
  size_t last_end_;  // end of what has been accounted for
  Source& stream_;
  Diagnostics& diagnostics_;
  std::vector<Frame> frames_;
  std::vector<Range> dropped_;
  Node root_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

// Reports the first byte that a configuration file cannot hold. Text outside ASCII is welcome, as valid UTF-8.
bool check_bytes(const Sources& sources, uint32_t source, Diagnostics& diagnostics) {
  const std::string_view text = sources.text(source);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\r' ? text.substr(i, 2) != "\r\n" : (byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7F) {
      constexpr char kDigits[] = "0123456789abcdef";
      const std::string code = {kDigits[byte >> 4], kDigits[byte & 15]};
      diagnostics.error(sources.position_at(source, i), 1, "control character 0x" + code + " in a configuration file");
      return false;
    }
  }
  if (base::is_valid_utf8(text)) return true;
  size_t line_number = 1;
  for (; line_number <= UINT32_MAX; ++line_number) {
    const std::string_view line = sources.line(source, static_cast<uint32_t>(line_number));
    if (base::is_valid_utf8(line)) continue;
    size_t good = 0;
    for (size_t n = 1; n <= line.size() && n < 4096; ++n) {
      if (base::is_valid_utf8(line.substr(0, n))) good = n;
    }
    diagnostics.error({source, static_cast<uint32_t>(line_number), static_cast<uint32_t>(good + 1)}, 1,
                      "this is not valid UTF-8");
    return false;
  }
  return false;
}

// yaml-cpp's words where they say enough, ours where they do not.
std::string message_for(const std::string& theirs) {
  if (theirs.empty() || theirs == YAML::ErrorMsg::BAD_FILE) return "YAML: not well-formed";
  if (theirs == YAML::ErrorMsg::EOF_IN_SCALAR) return "a quote is never closed";
  if (theirs == YAML::ErrorMsg::END_OF_SEQ_FLOW) return "YAML: ',' or the closing ']' is missing";
  if (theirs == YAML::ErrorMsg::END_OF_MAP_FLOW) return "YAML: ',' or the closing '}' is missing";
  if (theirs == YAML::ErrorMsg::END_OF_MAP) return "YAML: this does not fit the indentation of the map it stands in";
  if (theirs == YAML::ErrorMsg::END_OF_SEQ) return "YAML: this does not fit the indentation of the list it stands in";
  if (theirs == YAML::ErrorMsg::MAP_VALUE) return "YAML: ':' is not expected here; quote the text if it belongs to it";
  return "YAML: " + theirs;
}

std::string hint_for(const Sources& sources, const Position& position) {
  const std::string_view line = sources.line(position.source, position.line);
  const size_t first = line.find_first_not_of(' ');
  if (first != std::string_view::npos && line[first] == '\t') return "YAML is indented by blanks, never by tabs";
  return {};
}

// The text yaml-cpp gets to see: without a private key that stands at the start of a line, where it could only be a
// syntax error.
std::string without_private_keys(const Sources& sources, uint32_t source, Diagnostics& diagnostics,
                                 std::vector<Range>& elsewhere) {
  std::string text(sources.text(source));
  for (size_t from = 0;;) {
    const std::optional<Range> key = find_private_key(sources.text(source), from);
    if (!key) return text;
    from = key->end;
    if (key->begin == 0 || text[key->begin - 1] == '\n') {
      diagnostics.warning(sources.position_at(source, key->begin), 1, std::string(kKeyMessage), std::string(kKeyHint));
      for (size_t i = key->begin; i < key->end; ++i) {
        if (text[i] != '\n' && text[i] != '\r') text[i] = ' ';
      }
    } else {
      elsewhere.push_back(*key);
    }
  }
}

}  // namespace

std::optional<Node> parse_yaml(const Sources& sources, uint32_t source, Diagnostics& diagnostics) {
  const std::string_view whole = sources.text(source);
  if (!check_bytes(sources, source, diagnostics)) return std::nullopt;
  const size_t shift = whole.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  if (whole.substr(shift).starts_with('%') || whole.find("\n%") != std::string_view::npos) {
    const size_t at = whole.substr(shift).starts_with('%') ? shift : whole.find("\n%") + 1;
    diagnostics.error(sources.position_at(source, at), 1, "YAML directives (%…) are not supported",
                      "quote a text that begins with '%'");
    return std::nullopt;
  }
  std::vector<Range> keys;
  const std::string text = without_private_keys(sources, source, diagnostics, keys);
  Source stream(std::string_view(text).substr(shift));
  Builder builder(sources, source, text, shift, stream, diagnostics);
  try {
    std::istream input(&stream);
    YAML::Parser parser(input);
    while (parser.HandleNextDocument(builder)) {
    }
    if (stream.cut()) throw YAML::ParserException(YAML::Mark::null_mark(), "");
    builder.finish();
  } catch (const Stop&) {
    return std::nullopt;
  } catch (const YAML::Exception& problem) {
    const bool placed = !problem.mark.is_null();
    const size_t at =
        placed ? std::min(whole.size(), static_cast<size_t>(problem.mark.pos) + shift) : builder.last_end();
    const Position position = sources.position_at(source, at);
    if (stream.cut()) {
      diagnostics.error(position, 1, std::string(kTooLong), std::string(kTooLongHint));
    } else {
      diagnostics.error(position, 1, message_for(problem.msg), hint_for(sources, position));
    }
    return std::nullopt;
  } catch (const std::exception& problem) {
    diagnostics.error(sources.position_at(source, builder.last_end()), 1, std::string("YAML: ") + problem.what());
    return std::nullopt;
  }
  for (const Range& key : keys) {
    if (builder.dropped_key_in(key.begin, key.end)) continue;
    diagnostics.warning(sources.position_at(source, key.begin), 1, std::string(kKeyMessage), std::string(kKeyHint));
  }
  return builder.take_root();
}

std::string quote_scalar(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string quote_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? ", " : "") + quote_scalar(item);
  return out + "]";
}

}  // namespace postern::config
