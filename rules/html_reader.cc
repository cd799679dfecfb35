// SPDX-License-Identifier: Apache-2.0
// The scanner and what is made of its pieces. Hidden elements are followed by counting tags of the same name, without a
// tree: where tags are unbalanced readers differ, and a rule looks at both texts, with and without what is hidden.
#include "rules/html_reader.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "rules/html_entities.h"
#include "rules/html_text.h"

namespace postern::rules {
namespace {

bool is_letter(char c) { return base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }
bool ends_name(char c) { return is_space(c) || c == '>' || c == '/'; }

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view each) { return base::iequals(each, name); });
}

constexpr std::array<std::string_view, 7> kRaw = {"script", "style", "title", "textarea", "noembed", "noframes", "xmp"};
constexpr std::array<std::string_view, 45> kBlocks = {
    "address", "article", "aside",   "blockquote", "body",  "br",    "caption",  "center",   "dd",
    "details", "dialog",  "dir",     "div",        "dl",    "dt",    "fieldset", "figure",   "footer",
    "form",    "h1",      "h2",      "h3",         "h4",    "h5",    "h6",       "head",     "header",
    "hr",      "html",    "legend",  "li",         "main",  "menu",  "nav",      "ol",       "option",
    "p",       "pre",     "section", "summary",    "table", "tbody", "tr",       "textarea", "ul"};
constexpr std::array<std::string_view, 14> kVoid = {"area",  "base", "br",   "col",   "embed",  "hr",    "img",
                                                    "input", "link", "meta", "param", "source", "track", "wbr"};

// The name in the tag `tag`, without '/'.
std::string_view tag_name(std::string_view tag) {
  const size_t begin = tag.size() > 1 && tag[1] == '/' ? 2 : 1;
  size_t end = begin;
  while (end < tag.size() && !ends_name(tag[end])) ++end;
  return tag.substr(std::min(begin, tag.size()), end - begin);
}

bool is_end_tag(std::string_view tag) { return tag.size() > 1 && tag[1] == '/'; }

// Attribute is one name and value of a tag, as they stand there.
struct Attribute {
  std::string_view name;
  std::string_view value;
};

// next_attribute reads the attribute at or behind `at`, which moves past it.
bool next_attribute(std::string_view tag, size_t& at, Attribute& out) {
  while (at < tag.size() && (is_space(tag[at]) || tag[at] == '/')) ++at;
  if (at >= tag.size() || tag[at] == '>') return false;
  const size_t begin = at++;
  while (at < tag.size() && !ends_name(tag[at]) && tag[at] != '=') ++at;
  out.name = tag.substr(begin, at - begin);
  out.value = tag.substr(at, 0);
  size_t sign = at;
  while (sign < tag.size() && is_space(tag[sign])) ++sign;
  if (sign >= tag.size() || tag[sign] != '=') return true;
  at = sign + 1;
  while (at < tag.size() && is_space(tag[at])) ++at;
  if (at >= tag.size()) return true;
  const char quote = tag[at];
  if (quote == '"' || quote == '\'') {
    const size_t close = std::min(tag.find(quote, at + 1), tag.size());
    out.value = tag.substr(at + 1, close - at - 1);
    at = std::min(close + 1, tag.size());
  } else {
    const size_t from = at;
    while (at < tag.size() && !is_space(tag[at]) && tag[at] != '>') ++at;
    out.value = tag.substr(from, at - from);
  }
  return true;
}

size_t attributes_begin(std::string_view tag) {
  const std::string_view name = tag_name(tag);
  return static_cast<size_t>(name.data() - tag.data()) + name.size();
}

std::string attribute_of(std::string_view tag, std::string_view name) {
  size_t at = attributes_begin(tag);
  Attribute each;
  while (next_attribute(tag, at, each)) {
    if (base::iequals(each.name, name)) return html_text(each.value, true);
  }
  return {};
}

// Whether a style says `property: 0`, whatever the unit.
bool is_zero(std::string_view style, std::string_view property) {
  for (size_t at = style.find(property); at != std::string_view::npos; at = style.find(property, at + 1)) {
    const std::string_view value = style.substr(at + property.size());
    const size_t end = value.find_first_not_of("0.");
    if (!value.empty() && value[0] == '0' && (end == std::string_view::npos || value[end] < '1' || value[end] > '9')) {
      return true;
    }
  }
  return false;
}

bool is_hidden(std::string_view tag) {
  size_t at = attributes_begin(tag);
  Attribute each;
  while (next_attribute(tag, at, each)) {
    if (base::iequals(each.name, "hidden")) return true;
    if (!base::iequals(each.name, "style")) continue;
    std::string style = base::lower(html_text(each.value, true));
    std::erase_if(style, is_space);
    if (style.find("display:none") != std::string::npos || style.find("visibility:hidden") != std::string::npos ||
        style.find("mso-hide:all") != std::string::npos || is_zero(style, "font-size:") || is_zero(style, "opacity:")) {
      return true;
    }
  }
  return false;
}

// Writer draws white space together as a reader does.
class Writer {
 public:
  explicit Writer(size_t size) { out_.reserve(size); }

  void text(std::string_view decoded, bool keep_blanks) {
    for (const char c : decoded) {
      if (!keep_blanks && is_space(c)) {
        blank_ = !out_.empty() && out_.back() != '\n';
      } else {
        flush();
        if (c != '\r') out_ += c;
      }
    }
  }
  void line() {
    blank_ = false;
    if (!out_.empty() && out_.back() != '\n') out_ += '\n';
  }
  void empty_line() {
    line();
    if (!out_.empty() && !out_.ends_with("\n\n")) out_ += '\n';
  }
  void cell() {
    if (!out_.empty() && out_.back() != '\n' && out_.back() != '\t') out_ += '\t';
    blank_ = false;
  }
  std::string take() { return std::move(out_); }

 private:
  void flush() {
    if (blank_) out_ += ' ';
    blank_ = false;
  }
  std::string out_;
  bool blank_ = false;
};

// Reader turns pieces into the text shown.
class Reader {
 public:
  Reader(std::string_view html, HtmlView view) : html_(html), view_(view), out_(html.size() / 2) {}

  std::string run() {
    HtmlScanner scanner(html_);
    HtmlPiece piece;
    while (scanner.next(piece)) {
      switch (piece.kind) {
        case HtmlPiece::Kind::text:
          if (hidden_.empty()) out_.text(html_text(piece.source, false), pre_ > 0);
          break;
        case HtmlPiece::Kind::tag:
          tag(piece.source);
          break;
        case HtmlPiece::Kind::comment:
          comment(piece.source);
          break;
        case HtmlPiece::Kind::raw:
          // What stands in a text box is shown.
          if (hidden_.empty() && (base::iequals(last_, "textarea") || base::iequals(last_, "xmp"))) {
            out_.text(html_text(piece.source, false), true);
          }
          break;
      }
    }
    return out_.take();
  }

 private:
  void tag(std::string_view source) {
    const std::string_view name = tag_name(source);
    const bool end = is_end_tag(source);
    last_ = name;
    if (!hidden_.empty()) {
      if (base::iequals(name, hidden_)) depth_ += end ? -1 : 1;
      if (depth_ > 0) return;
      hidden_ = {};
      return;
    }
    if (!end && !view_.everything && !is_one_of(name, kVoid) && is_hidden(source)) {
      hidden_ = name;
      depth_ = 1;
      return;
    }
    if (base::iequals(name, "pre")) pre_ = end ? std::max(pre_ - 1, 0) : pre_ + 1;
    if (is_one_of(name, kBlocks)) {
      if (view_.links && base::iequals(name, "p")) {
        out_.empty_line();
      } else if (base::iequals(name, "br")) {
        out_.text("\n", true);
      } else {
        out_.line();
      }
      if (view_.links && !end && base::iequals(name, "li")) out_.text("- ", true);
    } else if (base::iequals(name, "td") || base::iequals(name, "th")) {
      if (!end) out_.cell();
    } else if (view_.links && base::iequals(name, "a")) {
      link(source, end);
    }
  }

  void link(std::string_view source, bool end) {
    if (!end) {
      address_ = attribute_of(source, "href");
    } else if (!address_.empty()) {
      if (address_[0] != '#') out_.text(" <" + base::one_line(address_) + ">", true);
      address_.clear();
    }
  }

  // "<!--[if …]>text<![endif]-->": text that some readers show. Not deeper: what is in it is read once.
  void comment(std::string_view source) {
    if (!view_.everything || !source.starts_with("<!--[if")) return;
    const size_t begin = source.find('>');
    const size_t end = source.rfind("<![endif]");
    if (begin == std::string_view::npos || end == std::string_view::npos || end <= begin) return;
    HtmlScanner scanner(source.substr(begin + 1, end - begin - 1));
    HtmlPiece piece;
    while (scanner.next(piece)) {
      if (piece.kind == HtmlPiece::Kind::text) out_.text(html_text(piece.source, false), pre_ > 0);
      if (piece.kind == HtmlPiece::Kind::tag && is_one_of(tag_name(piece.source), kBlocks)) out_.line();
    }
  }

  std::string_view html_;
  HtmlView view_;
  Writer out_;
  std::string_view hidden_;  // name of the hidden element that we are in, or empty
  int depth_ = 0;
  int pre_ = 0;
  std::string_view last_;
  std::string address_;
};

}  // namespace

bool HtmlScanner::next(HtmlPiece& piece) {
  if (at_ >= html_.size()) return false;
  if (!raw_.empty()) {
    const std::string close = "</" + std::string(raw_);
    size_t end = at_;
    while (end < html_.size() && !base::istarts_with(html_.substr(end, close.size()), close)) {
      const size_t more = html_.find('<', end + 1);
      end = more == std::string_view::npos ? html_.size() : more;
    }
    raw_ = {};
    if (end > at_) {
      piece = {HtmlPiece::Kind::raw, html_.substr(at_, end - at_)};
      at_ = end;
      return true;
    }
  }
  if (html_[at_] == '<') {
    piece = markup();
    if (piece.kind != HtmlPiece::Kind::text) return true;
  }
  // Text goes on to the next '<' that begins markup.
  size_t end = at_ + 1;
  for (; end < html_.size(); ++end) {
    if (html_[end] != '<') continue;
    const char c = end + 1 < html_.size() ? html_[end + 1] : ' ';
    if (is_letter(c) || c == '/' || c == '!' || c == '?') break;
  }
  piece = {HtmlPiece::Kind::text, html_.substr(at_, end - at_)};
  at_ = end;
  return true;
}

// tag_end returns the place behind the '>' that ends the tag at `at`; quoted attribute values may hold '>'.
size_t HtmlScanner::tag_end(size_t at) {
  enum : unsigned char { outside = 1, in_double = 2, in_single = 4 };
  unsigned char state = outside;
  for (size_t i = at + 1; i < html_.size(); ++i) {
    const char c = html_[i];
    if (c == '>' && state == outside) return i + 1;
    if (c != '"' && c != '\'') continue;
    const unsigned char quote = c == '"' ? in_double : in_single;
    if (state != outside && state != quote) continue;
    // Where an earlier search was in this state it went to the end in vain, and so would this one.
    if (!endless_.empty()) {
      if ((endless_[i] & state) != 0) break;
      endless_[i] |= state;
    }
    if (state == quote) {
      state = outside;
    } else {
      size_t before = i - 1;
      while (before > at && is_space(html_[before])) --before;
      if (html_[before] == '=') state = quote;
    }
  }
  if (endless_.empty()) endless_.resize(html_.size());
  // No end, or a quote that never closes: readers take the first '>'.
  const size_t first = html_.find('>', at);
  return first == std::string_view::npos ? html_.size() : first + 1;
}

// markup reads what begins with the '<' at at_; a text piece when that is none.
HtmlPiece HtmlScanner::markup() {
  const size_t begin = at_;
  const std::string_view rest = html_.substr(begin);
  const auto take = [&](HtmlPiece::Kind kind, size_t end) {
    at_ = end;
    return HtmlPiece{kind, html_.substr(begin, end - begin)};
  };
  if (rest.starts_with("<!--")) {
    // "<!-->" and "<!--->" are whole comments, and "--!>" ends one too.
    if (rest.starts_with("<!-->")) return take(HtmlPiece::Kind::comment, begin + 5);
    if (rest.starts_with("<!--->")) return take(HtmlPiece::Kind::comment, begin + 6);
    for (size_t at = html_.find("--", begin + 4); at != std::string_view::npos; at = html_.find("--", at + 1)) {
      const std::string_view behind = html_.substr(at + 2, 2);
      if (behind.starts_with('>')) return take(HtmlPiece::Kind::comment, at + 3);
      if (behind == "!>") return take(HtmlPiece::Kind::comment, at + 4);
    }
    return take(HtmlPiece::Kind::comment, html_.size());
  }
  const char c = rest.size() > 1 ? rest[1] : ' ';
  const bool end_tag = c == '/' && rest.size() > 2 && is_letter(rest[2]);
  if (is_letter(c) || end_tag) {
    const size_t end = tag_end(begin);
    const std::string_view name = tag_name(html_.substr(begin, end - begin));
    if (!end_tag && is_one_of(name, kRaw)) raw_ = name;
    return take(HtmlPiece::Kind::tag, end);
  }
  if (c == '!' || c == '?' || c == '/') {
    const size_t close = html_.find('>', begin);
    return take(HtmlPiece::Kind::comment, close == std::string_view::npos ? html_.size() : close + 1);
  }
  return {HtmlPiece::Kind::text, {}};
}

std::string html_text(std::string_view source, bool attribute) {
  std::string out;
  out.reserve(source.size());
  for (size_t at = 0; at < source.size();) {
    const size_t sign = std::min(source.find('&', at), source.size());
    out.append(source.substr(at, sign - at));
    at = sign;
    if (at == source.size()) break;
    const size_t used = read_reference(source.substr(at), attribute, out);
    if (used == 0) out += '&';
    at += std::max<size_t>(used, 1);
  }
  return out;
}

std::string html_shown(std::string_view html, HtmlView view) { return Reader(html, view).run(); }

std::string html_edit(std::string_view html, const std::function<bool(std::string& text)>& edit) {
  std::string out;
  out.reserve(html.size());
  HtmlScanner scanner(html);
  HtmlPiece piece;
  while (scanner.next(piece)) {
    if (piece.kind == HtmlPiece::Kind::text) {
      std::string text = html_text(piece.source, false);
      if (edit(text)) {
        for (const char c : text) html_escape(c, out);
      } else {
        out += piece.source;
      }
      continue;
    }
    if (piece.kind != HtmlPiece::Kind::tag) {
      out += piece.source;
      continue;
    }
    const std::string_view tag = piece.source;
    size_t at = attributes_begin(tag);
    size_t written = 0;
    Attribute each;
    while (next_attribute(tag, at, each)) {
      std::string value = html_text(each.value, true);
      if (each.value.empty() || !edit(value)) continue;
      const auto begin = static_cast<size_t>(each.value.data() - tag.data());
      out += tag.substr(written, begin - written);
      const char before = tag[begin - 1];
      const bool bare = before != '"' && before != '\'';
      if (bare) out += '"';
      for (const char c : value) html_escape(c, out);
      if (bare) out += '"';
      written = begin + each.value.size();
    }
    out += tag.substr(written);
  }
  return out;
}

}  // namespace postern::rules
