// SPDX-License-Identifier: Apache-2.0
// Text of OpenDocument and iWork XML.
#include <cstdint>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/name_table.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kLinks = 10000;

enum class Element : uint8_t {
  other,
  binary_data,
  cell,
  covered_cell,
  dde,
  declared,
  event,
  line_break,
  link,
  loaded,
  metadata,
  row,
  source,
  spaces,
  spreadsheet,
  tab,
  table,
  text,  // whose characters are read by people
};

constexpr NameTable<Element, 31> kElements({
    {"a", Element::link},
    {"binary-data", Element::binary_data},
    {"content-validation", Element::declared},
    {"covered-table-cell", Element::covered_cell},
    {"date-time-decl", Element::text},
    {"dde-connection-decl", Element::dde},
    {"dde-source", Element::dde},
    {"desc", Element::text},
    {"event", Element::event},
    {"event-listener", Element::event},
    {"floating-frame", Element::loaded},
    {"footer-decl", Element::text},
    {"h", Element::text},
    {"header-decl", Element::text},
    {"line-break", Element::line_break},
    {"meta", Element::metadata},
    {"module", Element::source},
    {"object", Element::loaded},
    {"object-ole", Element::loaded},
    {"p", Element::text},
    {"s", Element::spaces},
    {"section-source", Element::loaded},
    {"source-code", Element::source},
    {"spreadsheet", Element::spreadsheet},
    {"tab", Element::tab},
    {"tab-stop", Element::tab},
    {"table", Element::table},
    {"table-cell", Element::cell},
    {"table-row", Element::row},
    {"title", Element::text},
    {"user-field-decl", Element::declared},
});

// is_script tells whether a target is a script's: of the document, of the program, or of anything else on the machine.
bool is_script(std::string_view target) {
  return base::istarts_with(base::trim(target), "vnd.sun.star.script:") ||
         base::istarts_with(base::trim(target), "macro:");
}

}  // namespace

void OdfHandler::finish() {
  for (const std::string& link : links_) sink_.paragraph(link);
  links_.clear();
}

void OdfHandler::start(std::string_view name, const XmlAttributes& attributes) {
  const Element element = kElements.find(name);
  if (element == Element::text) {
    sink_.line();
    ++collecting_;
    return;
  }
  if (metadata_) return sink_.line();
  switch (element) {
    case Element::spaces:
      if (collecting_ > 0) sink_.text(" ");
      return;
    case Element::tab:
      if (collecting_ > 0) sink_.tab();
      return;
    case Element::line_break:
      return sink_.line();
    case Element::event:
      if (!attributes.get("macro-name").empty() || is_script(attributes.get("href"))) {
        context_.mark(Mark::macro_vba);
      }
      return;
    case Element::link:
      if (is_script(attributes.get("href"))) context_.mark(Mark::macro_vba);
      if (attributes.has("href") && links_.size() < kLinks) links_.emplace_back(attributes.get("href"));
      return;
    case Element::spreadsheet:
      spreadsheet_ = true;
      return;
    case Element::table:
      if (spreadsheet_) sink_.paragraph(attributes.get("name"));
      return;
    case Element::cell:
      if (calls_dde(attributes.get("formula"))) context_.mark(Mark::macro_dde);
      for (const std::string_view literal : formula_literals(attributes.get("formula"))) sink_.paragraph(literal);
      return;
    case Element::declared:
      return sink_.paragraph(attributes.get("string-value"));
    case Element::dde:
      return context_.mark(Mark::macro_dde);
    case Element::loaded:
      if (is_remote(attributes.get("href"))) context_.mark(Mark::remote_template);
      return;
    case Element::binary_data:
      in_binary_ = true;
      binary_text_.clear();
      return;
    case Element::source:
      in_source_ = true;
      return;
    case Element::metadata:
      metadata_ = context_.job().want_metadata;  // of a flat document, amid the rest
      return;
    default:
      return;
  }
}

void OdfHandler::end(std::string_view name) {
  const Element element = kElements.find(name);
  if (element == Element::text) {
    if (collecting_ > 0) --collecting_;
    return sink_.line();
  }
  if (metadata_) {
    metadata_ = element != Element::metadata;
    return sink_.line();
  }
  switch (element) {
    case Element::cell:
    case Element::covered_cell:
      return sink_.tab();
    case Element::row:
      return sink_.line();
    case Element::binary_data:
      if (!in_binary_) return;
      in_binary_ = false;
      if (binary) binary("", binary_text_);
      binary_text_ = std::string();
      return;
    case Element::source:
      in_source_ = false;
      return sink_.line();
    default:
      return;
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
