// SPDX-License-Identifier: Apache-2.0
// The scanner: what begins a tag, a comment or raw text and where it ends, as browsers see it.
#include "engine/mime/html_scanner.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/mime/html_elements.h"
#include "engine/mime/html_entities.h"
#include "engine/mime/html_tag.h"

namespace postern::mime {
namespace {

bool is_letter(char c) { return base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z'; }

constexpr std::string_view kCdata = "<![CDATA[";

}  // namespace

bool HtmlScanner::next(HtmlPiece& piece) {
  if (at_ >= html_.size()) return false;
  if (!raw_.empty()) {
    const size_t end = raw_end();
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

// raw_end returns where the content of the element raw_ ends that begins at at_: at its end tag.
size_t HtmlScanner::raw_end() const {
  if (base::iequals(raw_, "plaintext")) return html_.size();
  const auto is_tag = [&](size_t at, std::string_view mark) {
    const size_t behind = at + mark.size() + raw_.size();
    return html_.substr(at).starts_with(mark) && base::istarts_with(html_.substr(at + mark.size()), raw_) &&
           (behind >= html_.size() || ends_tag_name(html_[behind]));
  };
  // In a comment of a script, another script and its end tag are no more than text.
  enum { plain, comment, inner } state = plain;
  const bool script = base::iequals(raw_, "script");
  for (size_t at = at_; at < html_.size(); ++at) {
    at = std::min(html_.find_first_of(state == plain ? "<" : "<-", at), html_.size());
    if (at == html_.size()) break;
    if (state != inner && is_tag(at, "</")) return at;
    if (!script) continue;
    if (state == plain && html_.substr(at).starts_with("<!--")) {
      state = comment;
      at += 1;  // "<!-->" is a whole one
    } else if (state != plain && html_.substr(at).starts_with("-->")) {
      state = plain;
    } else if (state == comment && is_tag(at, "<")) {
      state = inner;
    } else if (state == inner && is_tag(at, "</")) {
      state = comment;
    }
  }
  return html_.size();
}

// tag_end returns the place behind the '>' that ends the tag at `at`; quoted attribute values may hold '>'. The states
// are those of WHATWG HTML 13.2.5.
size_t HtmlScanner::tag_end(size_t at) {
  enum : unsigned char {
    name = 1,
    before_attribute = 2,
    attribute = 4,
    behind_attribute = 8,
    before_value = 16,
    value = 32,
    in_double = 64,
    in_single = 128
  };
  unsigned char state = name;
  for (size_t i = at + 2; i < html_.size(); ++i) {
    if (state == in_double || state == in_single) {
      i = html_.find(state == in_double ? '"' : '\'', i);
      if (i == std::string_view::npos) break;
    }
    const char c = html_[i];
    const bool quote = c == '"' || c == '\'';
    // Where an earlier search was in this state it went to the end in vain, and so would this one.
    if (quote && !endless_.empty()) {
      if ((endless_[i] & state) != 0) break;
      endless_[i] |= state;
    }
    if (state == in_double || state == in_single) {
      state = before_attribute;
      continue;
    }
    if (c == '>') return i + 1;
    const bool space = is_html_space(c);
    switch (state) {
      case name:
        if (space || c == '/') state = before_attribute;
        break;
      case before_attribute:
        if (!space && c != '/') state = attribute;
        break;
      case attribute:
      case behind_attribute:
        if (c == '=') {
          state = before_value;
        } else if (c == '/') {
          state = before_attribute;
        } else {
          state = space ? behind_attribute : attribute;
        }
        break;
      case before_value:
        if (quote) {
          state = c == '"' ? in_double : in_single;
        } else if (!space) {
          state = value;
        }
        break;
      default:
        if (space) state = before_attribute;
        break;
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
  if (foreign_ && rest.starts_with(kCdata)) {
    const size_t close = html_.find("]]>", begin);
    if (close == std::string_view::npos) return take(HtmlPiece::Kind::cdata, html_.size());
    return take(HtmlPiece::Kind::cdata, close + 3);
  }
  const char c = rest.size() > 1 ? rest[1] : ' ';
  const bool end_tag = c == '/' && rest.size() > 2 && is_letter(rest[2]);
  if (is_letter(c) || end_tag) {
    const size_t end = tag_end(begin);
    const std::string_view name = tag_name(html_.substr(begin, end - begin));
    if (!end_tag && html::has(html::id_of_tag(name), html::raw)) raw_ = name;
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

}  // namespace postern::mime
