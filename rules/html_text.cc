// SPDX-License-Identifier: Apache-2.0
// A small scanner for the few tags that matter, skipping comments and the raw text of script, style, title and
// textarea, so that a "</body>" inside those is not taken for the document's end.
#include "rules/html_text.h"

#include <algorithm>
#include <array>

#include "engine/base/text.h"

namespace postern::rules {
namespace {

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

bool ends_name(char c) { return c == '>' || c == '/' || c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }

// Whether the tag at `at` (its '<') is `name` ("body", "/body").
bool is_tag(std::string_view html, size_t at, std::string_view name) {
  const std::string_view rest = html.substr(at + 1);
  return base::istarts_with(rest, name) && (rest.size() == name.size() || ends_name(rest[name.size()]));
}

// The place behind the '>' that ends the tag at `at`; quoted attribute values may hold '>'.
size_t tag_end(std::string_view html, size_t at) {
  char quote = 0;
  for (size_t i = at + 1; i < html.size(); ++i) {
    const char c = html[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '>') {
      return i + 1;
    } else if ((c == '"' || c == '\'') && html[i - 1] == '=') {
      quote = c;
    }
  }
  // No end, or a quote that never closes: readers take the first '>'.
  const size_t first = html.find('>', at);
  return first == std::string_view::npos ? html.size() : first + 1;
}

struct Places {
  size_t begin = 0;
  size_t end = std::string_view::npos;
};

Places find_places(std::string_view html) {
  constexpr std::array<std::string_view, 4> kRaw = {"script", "style", "title", "textarea"};
  Places out;
  size_t body_end = std::string_view::npos;
  size_t html_end = std::string_view::npos;
  bool body_seen = false;
  for (size_t at = html.find('<'); at != std::string_view::npos;) {
    size_t next = at + 1;
    if (html.substr(at, 4) == "<!--") {
      const size_t close = html.find("-->", at + 4);
      if (close == std::string_view::npos) break;
      next = close + 3;
    } else if (is_tag(html, at, "/body")) {
      body_end = at;
    } else if (is_tag(html, at, "/html")) {
      html_end = at;
    } else if (!body_seen && is_tag(html, at, "body")) {
      out.begin = next = tag_end(html, at);
      body_seen = true;
    } else if (!body_seen && (is_tag(html, at, "html") || is_tag(html, at, "/head") || is_tag(html, at, "!doctype"))) {
      out.begin = next = tag_end(html, at);
    } else {
      for (const std::string_view name : kRaw) {
        if (!is_tag(html, at, name)) continue;
        // To the closing tag; without one the rest is no markup at all.
        const std::string close = "</" + std::string(name);
        size_t end = tag_end(html, at);
        while (end < html.size() && !base::istarts_with(html.substr(end), close)) {
          const size_t more = html.find('<', end + 1);
          end = more == std::string_view::npos ? html.size() : more;
        }
        next = end;
        break;
      }
    }
    at = next >= html.size() ? std::string_view::npos : html.find('<', next);
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
