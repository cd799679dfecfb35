// SPDX-License-Identifier: Apache-2.0
// Address lists by a small tokenizer of our own: one pass, nothing recursive (a comment's nesting is a counter), work
// linear in the field. GMime's reader decodes words while it parses and guesses where the syntax is broken; here an
// encoded word is an atom like any other, decoded only for display after the addresses are known. What is broken is
// reported, and what can still be read is given. RFC 5322 sections 3.2, 3.4, 4.4; RFC 6531; RFC 5321 section 4.1.2.
#include "engine/message/address.h"

#include <idn2.h>

#include <algorithm>
#include <span>
#include <utility>

#include "engine/base/text.h"
#include "engine/mime/encoded_word.h"

namespace postern::message {

namespace {

using base::Cause;
using base::fail;

constexpr size_t kMaxPath = 2048;  // longest envelope path; RFC 5321 asks for 256, MTAs read lines of 2048

enum class Kind { word, quoted, literal, dot, at, comma, colon, semicolon, open, close, end };

// Token is one lexical element. `text` is the unquoted content of words and literals; `spaced` tells that white space
// or a comment stood before it.
struct Token {
  Kind kind = Kind::end;
  std::string text;
  bool spaced = false;
  Span span{};
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; }

bool is_special(char c) { return std::string_view("()<>[]:;@\\,.\"").find(c) != std::string_view::npos; }

bool is_atext(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte != 0x7F && !is_special(c);
}

bool is_dot_atom(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos) {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '.' || is_atext(c); });
}

// A domain that can be written after an at sign: atoms and dots, or one literal. Anything else came out of quotes or
// backslashes and would turn into other syntax when it is written again.
bool is_domain(std::string_view text) {
  if (text.starts_with('[')) {
    return text.ends_with(']') && text.size() >= 2 && text.find_first_of("[]\\\"@", 1) == text.size() - 1;
  }
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c == '.' || is_atext(c); });
}

// Bytes that are no UTF-8 become U+FFFD, so that whoever prints an address has text.
std::string as_utf8(std::string text, bool& malformed) {
  if (base::is_valid_utf8(text)) return text;
  malformed = true;
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80) {
      out += c;
    } else {
      out += "\xEF\xBF\xBD";
    }
  }
  return out;
}

// Lexer cuts the raw field into tokens. Quotes, comments and literals without an end are taken as stray characters; one
// such search that ran to the end of the field is never repeated, which keeps the whole linear.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token next() {
    Token token = scan();
    token.span = {start_, at_};
    last_ = token.span;
    return token;
  }

  // last is where the token stood that next() returned last.
  Span last() const { return last_; }
  bool malformed() const { return malformed_; }
  // The content of the last comment since this was last asked: the display name of the oldest addresses.
  std::string take_comment() { return std::exchange(comment_, std::string()); }

 private:
  Token scan() {
    Token token;
    for (;;) {
      start_ = at_;
      if (at_ == text_.size()) return token;
      const char c = text_[at_];
      if (is_space(c)) {
        token.spaced = true;
        ++at_;
      } else if (c == '(' && read_comment()) {
        token.spaced = true;
      } else if ((c == '"' && read_quoted(token)) || (c == '[' && read_literal(token))) {
        return token;
      } else if (is_control(c) || std::string_view("()[]\"").find(c) != std::string_view::npos) {
        malformed_ = true;
        ++at_;
      } else {
        break;
      }
    }
    switch (text_[at_]) {
      case '.':
        token.kind = Kind::dot;
        break;
      case '@':
        token.kind = Kind::at;
        break;
      case ',':
        token.kind = Kind::comma;
        break;
      case ':':
        token.kind = Kind::colon;
        break;
      case ';':
        token.kind = Kind::semicolon;
        break;
      case '<':
        token.kind = Kind::open;
        break;
      case '>':
        token.kind = Kind::close;
        break;
      default:
        read_word(token);
        return token;
    }
    ++at_;
    return token;
  }

  void read_word(Token& token) {
    token.kind = Kind::word;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size() && !is_control(text_[at_ + 1])) {
        malformed_ = true;  // a quoted pair outside quotes: MTAs take the next character as it is
        token.text += text_[at_ + 1];
        at_ += 2;
      } else if (c == '\\') {
        malformed_ = true;
        ++at_;
      } else if (is_atext(c)) {
        token.text += c;
        ++at_;
      } else {
        break;
      }
    }
  }

  bool read_quoted(Token& token) {
    if (no_quote_end_) return false;
    size_t i = at_ + 1;
    std::string content;
    for (; i < text_.size() && text_[i] != '"'; ++i) {
      if (text_[i] == '\\' && i + 1 < text_.size()) ++i;
      if (text_[i] == '\r' || text_[i] == '\n') continue;  // a fold; the blank after it stays
      if (is_control(text_[i])) {
        malformed_ = true;
        continue;
      }
      content += text_[i];
    }
    if (i == text_.size()) {
      no_quote_end_ = true;
      return false;
    }
    at_ = i + 1;
    token.kind = Kind::quoted;
    token.text = std::move(content);
    return true;
  }

  bool read_literal(Token& token) {
    if (no_literal_end_) return false;
    std::string content = "[";
    size_t i = at_ + 1;
    for (; i < text_.size() && text_[i] != ']'; ++i) {
      if (text_[i] == '[') return false;
      if (text_[i] == '\\' && i + 1 < text_.size()) {
        malformed_ = true;
        ++i;
      }
      if (is_space(text_[i])) continue;
      if (is_control(text_[i])) {
        malformed_ = true;
        continue;
      }
      content += text_[i];
    }
    if (i == text_.size()) {
      no_literal_end_ = true;
      return false;
    }
    at_ = i + 1;
    token.kind = Kind::literal;
    token.text = std::move(content) + "]";
    return true;
  }

  bool read_comment() {
    if (no_comment_end_) return false;
    size_t depth = 0;
    std::string content;
    for (size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (c == '\\' && i + 1 < text_.size()) {
        content += text_[++i];
        continue;
      }
      if (c == '(' && depth++ == 0) continue;
      if (c == ')' && --depth == 0) {
        at_ = i + 1;
        comment_ = std::move(content);
        return true;
      }
      if (is_control(c) && c != '\r' && c != '\n') malformed_ = true;
      content += c;
    }
    no_comment_end_ = true;
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t start_ = 0;
  Span last_;
  bool malformed_ = false;
  bool no_quote_end_ = false;
  bool no_literal_end_ = false;
  bool no_comment_end_ = false;
  std::string comment_;
};

// Reader turns tokens into mailboxes, one address (what stands between two separators) at a time.
class Reader {
 public:
  Reader(std::string_view raw, size_t max_addresses, bool locate) : lexer_(raw), max_(max_addresses), locate_(locate) {}

  AddressList read() {
    while (!list_.truncated) {
      Token token = lexer_.next();
      if (token.kind == Kind::open) {
        token.kind = read_angle();
        if (token.kind == Kind::close) continue;
      } else if (token.kind == Kind::close) {
        list_.malformed = true;
        continue;
      }
      if (list_.truncated) break;
      if (token.kind == Kind::end || token.kind == Kind::comma || token.kind == Kind::semicolon) {
        end_address();
        if (token.kind != Kind::comma) {
          if (in_group_ != (token.kind == Kind::semicolon)) list_.malformed = true;
          in_group_ = false;
          group_.clear();
        }
        if (token.kind == Kind::end) break;
      } else if (token.kind == Kind::colon) {
        begin_group();
      } else {
        words_.push_back(std::move(token));
      }
    }
    list_.malformed = list_.malformed || lexer_.malformed();
    return std::move(list_);
  }

 private:
  void begin_group() {
    if (in_group_ || words_.empty() || has_address_ || count(words_, Kind::at) != 0) list_.malformed = true;
    in_group_ = true;
    group_ = display_of(words_);
    begin_address();
  }

  void begin_address() {
    words_.clear();
    has_address_ = false;
    first_ = list_.mailboxes.size();
    begin_ = lexer_.last().end;
    lexer_.take_comment();
  }

  // The end of one address: what was not in angle brackets must be an addr-spec. Without a name, the last comment is
  // it.
  void end_address() {
    if (!words_.empty()) {
      if (has_address_) list_.malformed = true;
      read_bare();
    }
    const std::string comment = decoded(lexer_.take_comment());
    for (size_t i = first_; i < list_.mailboxes.size(); ++i) {
      if (list_.mailboxes[i].display.empty()) list_.mailboxes[i].display = comment;
    }
    if (locate_) {
      list_.items.push_back({{begin_, lexer_.last().begin}, first_, list_.mailboxes.size() - first_});
    }
    begin_address();
  }

  // An address without brackets. A run with an at sign is an address, any other is a name.
  void read_bare() {
    std::vector<Token> name;
    std::vector<std::span<const Token>> addresses;
    size_t runs = 0;
    for_each_run(words_, [&](std::span<const Token> run) {
      ++runs;
      if (count(run, Kind::at) != 0) {
        addresses.push_back(run);
      } else {
        name.insert(name.end(), run.begin(), run.end());
      }
    });
    if (addresses.empty()) {
      list_.malformed = true;
      if (!has_address_ && runs == 1) add_run(words_, "");
      return;
    }
    if (runs > 1) list_.malformed = true;
    const std::string display = display_of(name);
    for (const auto& run : addresses) {
      if (!add_run(run, display)) return;
    }
  }

  // Everything from '<' to '>', with the route of RFC 822 before the address if there is one. Returns what ended it:
  // '>', or the separator that stood where '>' was missing.
  Kind read_angle() {
    const std::string display = display_of(words_);
    if (has_address_ || count(words_, Kind::at) != 0) list_.malformed = true;
    words_.clear();
    has_address_ = true;
    std::vector<Token> inside;
    bool empty = true;
    for (;;) {
      Token token = lexer_.next();
      const bool route = !inside.empty() && inside.front().kind == Kind::at;
      switch (token.kind) {
        case Kind::colon:
          // What stood before is a route, or something ("mailto:") that belongs to no address.
          if (!route) list_.malformed = true;
          inside.clear();
          empty = false;
          break;
        case Kind::open:
          list_.malformed = true;
          add_inside(inside, display);
          inside.clear();
          break;
        case Kind::comma:
          if (route) {
            inside.push_back(std::move(token));
            break;
          }
          [[fallthrough]];
        case Kind::close:
        case Kind::semicolon:
        case Kind::end:
          if (token.kind != Kind::close || empty) list_.malformed = true;
          add_inside(inside, display);
          return token.kind;
        default:
          inside.push_back(std::move(token));
          empty = false;
      }
    }
  }

  // The addresses of one pair of brackets: one, where all is well. A comma is there only where a route had no colon.
  void add_inside(std::span<const Token> inside, const std::string& display) {
    std::vector<std::span<const Token>> runs;
    for_each_run(inside, [&](std::span<const Token> run) { runs.push_back(run); });
    if (runs.size() != 1) list_.malformed = true;
    for (const auto& run : runs) {
      if ((runs.size() == 1 || count(run, Kind::at) != 0) && !add_run(run, display)) return;
    }
  }

  static size_t count(std::span<const Token> tokens, Kind kind) {
    return static_cast<size_t>(
        std::count_if(tokens.begin(), tokens.end(), [kind](const Token& token) { return token.kind == kind; }));
  }

  // Calls f with each run of tokens that belong together: a new one begins after a comma, and at white space between
  // two tokens of which neither is a dot or an at sign.
  template <class F>
  static void for_each_run(std::span<const Token> tokens, F&& f) {
    const auto joins = [](const Token& token) { return token.kind == Kind::dot || token.kind == Kind::at; };
    size_t begin = 0;
    for (size_t i = 0; i <= tokens.size(); ++i) {
      const bool comma = i < tokens.size() && tokens[i].kind == Kind::comma;
      const bool gap = i > begin && i < tokens.size() && tokens[i].spaced && !joins(tokens[i]) && !joins(tokens[i - 1]);
      if (i < tokens.size() && !comma && !gap) continue;
      if (i > begin) f(tokens.subspan(begin, i - begin));
      begin = comma ? i + 1 : i;
    }
  }

  // dotted joins words and dots, and tells whether they alternate as in a dot-atom.
  static bool dotted(std::span<const Token> tokens, Kind other_word, std::string& text) {
    bool good = !tokens.empty();
    bool after_word = false;
    for (const Token& token : tokens) {
      const bool word = token.kind == Kind::word || token.kind == other_word;
      if (word == after_word || (!word && token.kind != Kind::dot)) good = false;
      after_word = word;
      text += token.kind == Kind::dot ? "." : token.kind == Kind::at ? "@" : token.text;
    }
    return good && after_word;
  }

  // Adds the address of one run: what is before the last at sign, and what is after it. A lone word is a local user
  // ("root"), and malformed. False when the list is full.
  bool add_run(std::span<const Token> run, const std::string& display) {
    size_t at = run.size();
    while (at > 0 && run[at - 1].kind != Kind::at) --at;
    const bool has_at = at > 0;
    Mailbox mailbox;
    const std::span<const Token> local = has_at ? run.first(at - 1) : run;
    bool good = dotted(local, Kind::quoted, mailbox.local) && has_at;
    if (has_at) good = dotted(run.subspan(at), Kind::literal, mailbox.domain) && good;
    // An encoded word is a word of a name. One with an at sign of its own in it is a broken one, and no address.
    const bool encoded = mailbox.local.starts_with("=?");
    if (!good || encoded) list_.malformed = true;
    if (encoded && (!has_at || mailbox.domain.ends_with("?="))) return true;
    const bool named = std::any_of(local.begin(), local.end(), [has_at](const Token& token) {
      return token.kind == Kind::word || (has_at && token.kind == Kind::quoted);
    });
    if (has_at && !is_domain(mailbox.domain)) list_.malformed = true;
    if (!named || (has_at && !is_domain(mailbox.domain))) return true;
    if (list_.mailboxes.size() >= max_) {
      list_.truncated = true;
      return false;
    }
    mailbox.local = as_utf8(std::move(mailbox.local), list_.malformed);
    mailbox.domain = as_utf8(std::move(mailbox.domain), list_.malformed);
    mailbox.display = display;
    mailbox.group = group_;
    list_.mailboxes.push_back(std::move(mailbox));
    if (locate_) list_.spans.push_back({run.front().span.begin, run.back().span.end});
    return true;
  }

  // What a name looks like to a reader: words decoded only here, when no decision hangs on them any more.
  static std::string decoded(std::string text) {
    const bool plain = text.find("=?") == std::string::npos &&
                       std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
    return plain ? std::string(base::trim(text)) : base::one_line(mime::decode_words(text));
  }

  static std::string display_of(std::span<const Token> words) {
    std::string text;
    for (const Token& token : words) {
      if (token.spaced && !text.empty()) text += ' ';
      text += token.kind == Kind::dot ? "." : token.kind == Kind::at ? "@" : token.text;
    }
    return decoded(std::move(text));
  }

  Lexer lexer_;
  size_t max_;
  bool locate_;
  AddressList list_;
  std::vector<Token> words_;  // of the present address, outside angle brackets
  size_t begin_ = 0;          // where the present address begins
  size_t first_ = 0;          // the present address's first mailbox in the list
  std::string group_;
  bool in_group_ = false;
  bool has_address_ = false;  // the present address stood in angle brackets
};

}  // namespace

std::string Mailbox::addr_spec() const {
  std::string out;
  out.reserve(local.size() + domain.size() + 3);
  if (is_dot_atom(local)) {
    out = local;
  } else {
    out = '"';
    for (const char c : local) {
      if (is_control(c)) continue;
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  if (!domain.empty()) {
    out += '@';
    out += domain;
  }
  return out;
}

AddressList parse_address_list(std::string_view raw, size_t max_addresses) {
  return Reader(raw, max_addresses, false).read();
}

AddressList locate_addresses(std::string_view raw, size_t max_addresses) {
  return Reader(raw, max_addresses, true).read();
}

base::Result<std::string> parse_path(std::string_view path) {
  while (!path.empty() && path.front() == ' ') path.remove_prefix(1);
  while (!path.empty() && path.back() == ' ') path.remove_suffix(1);
  if (path.size() > kMaxPath) return fail(Cause::malformed, "path is too long");
  if (std::any_of(path.begin(), path.end(), [](char c) { return is_control(c) || c == '\t'; })) {
    return fail(Cause::malformed, "path holds control characters");
  }
  if (path.starts_with('<')) {
    if (path.size() < 2 || path.back() != '>') return fail(Cause::malformed, "path without '>'");
    path = path.substr(1, path.size() - 2);
  }
  if (path.starts_with('@')) {
    const size_t colon = path.find(':');
    if (colon == std::string_view::npos) return fail(Cause::malformed, "source route without address");
    path.remove_prefix(colon + 1);
    if (path.empty()) return fail(Cause::malformed, "source route without address");
  }
  // Only what would let one address be taken for two, or for none, is refused: what MTAs accept is wider than the RFC.
  bool quoted = false;
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '\\') {
      if (++i == path.size()) return fail(Cause::malformed, "path ends in a backslash");
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && std::string_view("<>(), ;").find(c) != std::string_view::npos) {
      return fail(Cause::malformed, std::string("path holds an unquoted '") + c + "'");
    }
  }
  if (quoted) return fail(Cause::malformed, "path with an open quote");
  if (path.starts_with('@')) return fail(Cause::malformed, "path without local part");
  if (path.ends_with('@')) return fail(Cause::malformed, "path without domain");
  return std::string(path);
}

namespace {

// The at sign between local part and domain, or npos; one inside quotes is none.
size_t find_at(std::string_view addr_spec) {
  const size_t at = addr_spec.rfind('@');
  if (at == std::string_view::npos || addr_spec.find('"', at) != std::string_view::npos) return std::string_view::npos;
  return at;
}

}  // namespace

std::string domain_of(std::string_view addr_spec) {
  const size_t at = find_at(addr_spec);
  return at == std::string_view::npos ? std::string() : base::lower(addr_spec.substr(at + 1));
}

std::string_view local_of(std::string_view addr_spec) { return addr_spec.substr(0, find_at(addr_spec)); }

std::string a_labels(std::string_view domain) {
  if (domain.ends_with('.')) domain.remove_suffix(1);
  if (base::is_ascii(domain)) return base::lower(domain);
  char* ascii = nullptr;
  const std::string input(domain);
  const bool whole = input.find('\0') == std::string::npos;
  if (!whole || idn2_to_ascii_8z(input.c_str(), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK) {
    return base::lower(domain);
  }
  std::string out = base::lower(ascii);
  idn2_free(ascii);
  return out;
}

}  // namespace postern::message
