// SPDX-License-Identifier: Apache-2.0
// The few tags that matter are looked for outside comments, values and the content of script, style, title and the
// like, so that a "</body>" inside those is not taken for the document's end.
#include "rules/html_text.h"

#include "engine/base/text.h"
#include "engine/mime/html_tag.h"
#include "rules/html_reader.h"

namespace postern::rules {
namespace {

using mime::is_end_tag;
using mime::tag_name;

// Reads one UTF-8 character at `at` and moves past it; U+FFFD for a bad byte.
uint32_t next_character(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const size_t size = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 0;
  if (size == 0 || at + size > text.size()) {
    ++at;
    return 0xFFFD;
  }
  uint32_t code = size == 1 ? first : first & (0xFFu >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      ++at;
      return 0xFFFD;
    }
    code = code << 6 | (byte(at + i) & 0x3F);
  }
  at += size;
  return code;
}

struct Places {
  size_t begin = 0;
  size_t end = std::string_view::npos;
};

Places find_places(std::string_view html) {
  Places out;
  size_t body_end = std::string_view::npos;
  size_t html_end = std::string_view::npos;
  bool body_seen = false;
  HtmlScanner scanner(html);
  HtmlPiece piece;
  for (size_t at = 0; scanner.next(piece); at += piece.source.size()) {
    const std::string_view source = piece.source;
    const size_t behind = at + source.size();
    if (piece.kind == HtmlPiece::Kind::comment) {
      if (!body_seen && base::istarts_with(source, "<!doctype")) out.begin = behind;
      continue;
    }
    if (piece.kind != HtmlPiece::Kind::tag) continue;
    const std::string_view name = tag_name(source);
    const bool end = is_end_tag(source);
    if (base::iequals(name, "body")) {
      if (end) {
        body_end = at;
      } else if (!body_seen) {
        out.begin = behind;
        body_seen = true;
      }
    } else if (base::iequals(name, "html")) {
      if (end) {
        html_end = at;
      } else if (!body_seen) {
        out.begin = behind;
      }
    } else if (!body_seen && end && base::iequals(name, "head")) {
      out.begin = behind;
    }
  }
  out.end = body_end != std::string_view::npos ? body_end : html_end;
  if (out.end == std::string_view::npos || out.end < out.begin) out.end = html.size();
  return out;
}

}  // namespace

void html_escape(char c, std::string& out) {
  switch (c) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '"':
      out += "&quot;";
      break;
    case '\'':
      out += "&#39;";
      break;
    default:
      out += c;
  }
}

std::string html_block(std::string_view utf8) {
  while (!utf8.empty() && (utf8.back() == '\n' || utf8.back() == '\r')) utf8.remove_suffix(1);
  std::string out = "<div>";
  for (size_t at = 0; at < utf8.size();) {
    const uint32_t code = next_character(utf8, at);
    if (code == '\n') {
      out += "<br>\r\n";
    } else if (code >= 0x80) {
      out += "&#" + std::to_string(code) + ";";
    } else if (code != '\r') {
      html_escape(static_cast<char>(code), out);
    }
  }
  return out + "</div>";
}

std::string html_with_texts(std::string_view html, std::string_view heading, std::string_view footer) {
  const Places places = find_places(html);
  std::string out(html.substr(0, places.begin));
  // No line end behind it: what follows in the document must not come to begin a line, it may look like a delimiter.
  if (!heading.empty()) out += html_block(heading);
  out += html.substr(places.begin, places.end - places.begin);
  if (!footer.empty()) {
    if (places.end == html.size() && !out.empty() && out.back() != '\n') out += "\r\n";
    out += html_block(footer) + "\r\n";
  }
  out += html.substr(places.end);
  return out;
}

}  // namespace postern::rules
