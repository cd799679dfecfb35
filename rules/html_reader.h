// SPDX-License-Identifier: Apache-2.0
// HTML as a reader of mail sees it: tags taken away, character references resolved, white space drawn together; and
// edits that leave the markup alone. Linear, never fails. Texts are UTF-8. Internal to the evaluator.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mime/html_scanner.h"

namespace postern::rules {

using mime::html_text;
using mime::HtmlPiece;
using mime::HtmlScanner;

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

// html_edit applies `edit` to each text of the document that is shown and to each attribute value, decoded; it returns
// false where nothing is to be changed. Text that `edit` changed is written back with its markup characters escaped;
// everything else stays byte for byte.
std::string html_edit(std::string_view html, const std::function<bool(std::string& text)>& edit);

}  // namespace postern::rules
