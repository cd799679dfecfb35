// SPDX-License-Identifier: Apache-2.0
// HTML as a reader sees it, the pieces it is cut into, invisible characters and uuencoded files. What must hold: the
// pieces are all of the document, an edit that changes nothing gives the same bytes, and nothing grows out of bounds.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "rules/content.h"
#include "rules/html_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::rules;
  const std::string_view html(reinterpret_cast<const char*>(data), size);
  HtmlScanner scanner(html);
  HtmlPiece piece;
  size_t at = 0;
  while (scanner.next(piece)) {
    if (piece.source.empty() || piece.source.data() != html.data() + at) std::abort();
    at += piece.source.size();
  }
  if (at != html.size()) std::abort();
  if (html_edit(html, [](std::string&) { return false; }) != html) std::abort();
  for (const bool everything : {false, true}) {
    const std::string shown = html_shown(html, {.everything = everything, .links = everything});
    // A character reference gives at most two characters of four bytes; a list item and a link add a few.
    if (shown.size() > html.size() * 8 + 64) std::abort();
  }
  html_edit(html, [](std::string& text) {
    text += "<&\"'>";
    return true;
  });
  const auto seen = visible(html);
  if (seen && (seen->size() >= html.size() || visible(*seen))) std::abort();
  bool more = false;
  size_t end = 0;
  for (const UuFile& file : find_uuencoded(html, more)) {
    if (file.begin < end || file.end <= file.begin || file.end > html.size()) std::abort();
    end = file.end;
  }
  return 0;
}
