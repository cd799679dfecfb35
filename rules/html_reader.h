// SPDX-License-Identifier: Apache-2.0
// HTML as a reader of mail sees it: tags taken away, character references resolved, white space drawn together; and
// HTML as pieces, for edits that must leave the markup alone. A scanner by the rules of WHATWG HTML 13.2.5 for what
// matters here, not a parser: linear, never fails, builds no tree. Texts are UTF-8. Internal to the evaluator.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::rules {

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

// HtmlView says what html_shown writes.
struct HtmlView {
  bool everything = false;   // also what is hidden, and what only some readers show (conditional comments)
  bool for_most = false;     // hides only what every reader hides: not by `hidden`, <template>, a box without room
  bool conditional = false;  // with conditional comments
  bool links = false;        // the address of a link behind its text, for people
};

// html_shown returns the text that a reader shows; everything where readers may differ in what is hidden.
std::string html_shown(std::string_view html, HtmlView view);

// HtmlReadings are the texts that readers show. `unsure`: one may show another part of the document than any of them.
struct HtmlReadings {
  std::vector<std::string> texts;
  bool unsure = false;
};
HtmlReadings html_readings(std::string_view html);

// html_text decodes the character references of a text or attribute value.
std::string html_text(std::string_view source, bool attribute);

// html_edit applies `edit` to each text of the document that is shown and to each attribute value, decoded; it returns
// false where nothing is to be changed. Text that `edit` changed is written back with its markup characters escaped;
// everything else stays byte for byte.
std::string html_edit(std::string_view html, const std::function<bool(std::string& text)>& edit);

}  // namespace postern::rules
