// SPDX-License-Identifier: Apache-2.0
// HTML as pieces: texts, tags, comments and what is no markup. A scanner by the rules of WHATWG HTML 13.2.5 for what
// matters here, not a parser: linear, never fails, builds no tree. Texts are UTF-8 or another charset that contains
// ASCII.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace postern::mime {

// HtmlPiece is one stretch of a document: text, a tag, a comment or other markup, the content of an element in which
// nothing is markup (script, style, title …), or a CDATA section in SVG.
struct HtmlPiece {
  enum class Kind : unsigned char { text, tag, comment, raw, cdata } kind = Kind::text;
  std::string_view source;
};

// HtmlScanner gives the pieces of `html` in order; together they are all of it.
class HtmlScanner {
 public:
  explicit HtmlScanner(std::string_view html) : html_(html) {}
  bool next(HtmlPiece& piece);
  // set_foreign says, after a tag, that we are now in SVG or MathML or not any more.
  void set_foreign(bool foreign) {
    foreign_ = foreign;
    if (foreign) raw_ = {};
  }

 private:
  HtmlPiece markup();
  size_t raw_end() const;
  size_t tag_end(size_t at);
  std::string_view html_;
  size_t at_ = 0;
  std::string_view raw_;  // name of the element whose content comes next, or empty
  bool foreign_ = false;
  // By place of a quote, the states in which a search for a tag's end met it in vain; empty before the first such
  // search. Marks of a search that found its end lie behind at_ and are not met again.
  std::vector<unsigned char> endless_;
};

// html_text decodes the character references of a text or attribute value.
std::string html_text(std::string_view source, bool attribute);

}  // namespace postern::mime
