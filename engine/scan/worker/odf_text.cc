// SPDX-License-Identifier: Apache-2.0
// Text of OpenDocument and iWork XML.
#include <algorithm>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kLinks = 10000;

// is_text tells whether an element's characters are read by people.
bool is_text(std::string_view name) {
  static constexpr std::string_view kText[] = {"p",           "h",           "title",         "desc",
                                               "footer-decl", "header-decl", "date-time-decl"};
  return std::ranges::find(kText, name) != std::end(kText);
}

}  // namespace

void OdfHandler::finish() {
  for (const std::string& link : links_) sink_.paragraph(link);
  links_.clear();
}

void OdfHandler::start(std::string_view name, const XmlAttributes& attributes) {
  if (is_text(name)) {
    sink_.line();
    ++collecting_;
  } else if (metadata_) {
    sink_.line();
  } else if (name == "s") {
    if (collecting_ > 0) sink_.text(" ");
  } else if (name == "tab" || name == "tab-stop") {
    if (collecting_ > 0) sink_.tab();
  } else if (name == "line-break") {
    sink_.line();
  } else if (name == "a" && attributes.has("href")) {
    if (links_.size() < kLinks) links_.emplace_back(attributes.get("href"));
  } else if (name == "spreadsheet") {
    spreadsheet_ = true;
  } else if (name == "table" && spreadsheet_) {
    sink_.paragraph(attributes.get("name"));
  } else if (name == "table-cell") {
    for (const std::string_view literal : formula_literals(attributes.get("formula"))) sink_.paragraph(literal);
  } else if (name == "user-field-decl" || name == "content-validation") {
    sink_.paragraph(attributes.get("string-value"));
  } else if (name == "dde-source" || name == "dde-connection-decl") {
    context_.mark(Mark::macro_dde);
  } else if (name == "object" || name == "object-ole" || name == "floating-frame" || name == "section-source") {
    if (is_remote(attributes.get("href"))) context_.mark(Mark::remote_template);
  } else if (name == "binary-data") {
    in_binary_ = true;
    binary_text_.clear();
  } else if (name == "source-code" || name == "module") {
    in_source_ = true;
  }
}

void OdfHandler::end(std::string_view name) {
  if (is_text(name)) {
    if (collecting_ > 0) --collecting_;
    sink_.line();
  } else if (metadata_) {
    sink_.line();
  } else if (name == "table-cell" || name == "covered-table-cell") {
    sink_.tab();
  } else if (name == "table-row") {
    sink_.line();
  } else if (name == "binary-data" && in_binary_) {
    in_binary_ = false;
    if (binary) binary("", binary_text_);
    binary_text_ = std::string();
  } else if (name == "source-code" || name == "module") {
    in_source_ = false;
    sink_.line();
  }
}

void OdfHandler::characters(std::string_view utf8) {
  if (in_binary_) {
    binary_text_.append(utf8);
    return;
  }
  if (all_ || in_source_) {
    if (!in_source_) return;
    // A library that only exists, with nothing in its modules, is no macro.
    if (!base::trim(utf8).empty() && !base::trim(utf8).starts_with("REM ")) context_.mark(Mark::macro_vba);
    sink_.text(utf8);
    return;
  }
  if (metadata_) {
    if (!base::trim(utf8).empty()) sink_.text(utf8);
    return;
  }
  if (collecting_ == 0) return;
  if (utf8.find_first_of("\r\n\t") == std::string_view::npos) {
    sink_.text(utf8);
    return;
  }
  // White space of the file's own layout is a blank.
  std::string folded(utf8);
  for (char& c : folded) {
    if (c == '\r' || c == '\n' || c == '\t') c = ' ';
  }
  sink_.text(folded);
}

void OdfHandler::comment(std::string_view utf8) {
  // What is commented out is not shown, and is in the file.
  std::string text;
  bool tag = false;
  for (const char c : utf8) {
    if (c == '<') tag = true;
    if (!tag) text.push_back(c == '\n' || c == '\r' || c == '\t' ? ' ' : c);
    if (c == '>') {
      tag = false;
      text.push_back(' ');
    }
  }
  sink_.paragraph(base::trim(text));
}

void PlainHandler::start(std::string_view name, const XmlAttributes& attributes) {
  if (name == "p" || name == "br" || name == "lnbr") sink_.line();
  if (name == "tab") sink_.tab();
  for (const char** pair = attributes.pairs(); *pair != nullptr; pair += 2) {
    const std::string_view key = pair[0];
    if (key == "sfa:s" || key == "sfa:string" || key == "sf:v") sink_.paragraph(pair[1]);
  }
}

void PlainHandler::end(std::string_view name) {
  if (name != "span" && name != "link") sink_.line();
}

void PlainHandler::characters(std::string_view utf8) {
  if (!base::trim(utf8).empty()) {
    sink_.text(utf8);
  } else if (!utf8.empty() && utf8 != "\n") {
    sink_.text(" ");
  }
}

}  // namespace postern::scan::worker
