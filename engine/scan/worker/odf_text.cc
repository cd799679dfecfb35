// SPDX-License-Identifier: Apache-2.0
// Text of OpenDocument and iWork XML.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/name_table.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kLinks = 10000;
constexpr size_t kCell = 4096;       // more text in a cell than it is said to have
constexpr size_t kAside = 1u << 20;  // text beside one paragraph that is kept until it ends

enum class Element : uint8_t {
  other,
  aside,
  binary_data,
  cell,
  control,
  covered_cell,
  dde,
  declared,
  event,
  line_break,
  link,
  list_style,
  loaded,
  metadata,
  of_aside,
  row,
  source,
  spaces,
  spreadsheet,
  tab,
  table,
  text,  // whose characters are read by people
};

constexpr NameTable<Element, 52> kElements({
    {"a", Element::link},
    {"annotation", Element::aside},
    {"binary-data", Element::binary_data},
    {"button", Element::control},
    {"checkbox", Element::control},
    {"combobox", Element::control},
    {"content-validation", Element::declared},
    {"covered-table-cell", Element::covered_cell},
    {"creator", Element::of_aside},
    {"date", Element::of_aside},
    {"date-time-decl", Element::text},
    {"dde-connection-decl", Element::dde},
    {"dde-source", Element::dde},
    {"desc", Element::text},
    {"event", Element::event},
    {"event-listener", Element::event},
    {"fixed-text", Element::control},
    {"floating-frame", Element::loaded},
    {"footer-decl", Element::text},
    {"formatted-text", Element::control},
    {"frame", Element::control},
    {"generic-control", Element::control},
    {"h", Element::text},
    {"header-decl", Element::text},
    {"image-frame", Element::control},
    {"item", Element::control},
    {"label", Element::control},
    {"line-break", Element::line_break},
    {"list-level-style-bullet", Element::list_style},
    {"list-level-style-number", Element::list_style},
    {"listbox", Element::control},
    {"meta", Element::metadata},
    {"module", Element::source},
    {"note", Element::aside},
    {"object", Element::loaded},
    {"object-ole", Element::loaded},
    {"option", Element::control},
    {"outline-level-style", Element::list_style},
    {"p", Element::text},
    {"radio", Element::control},
    {"s", Element::spaces},
    {"section-source", Element::loaded},
    {"source-code", Element::source},
    {"spreadsheet", Element::spreadsheet},
    {"tab", Element::tab},
    {"tab-stop", Element::tab},
    {"table", Element::table},
    {"table-cell", Element::cell},
    {"table-row", Element::row},
    {"textarea", Element::control},
    {"title", Element::text},
    {"user-field-decl", Element::declared},
});

// is_script tells whether a target is a script's: of the document, of the program, or of anything else on the machine.
bool is_script(std::string_view target) {
  return base::istarts_with(base::trim(target), "vnd.sun.star.script:") ||
         base::istarts_with(base::trim(target), "macro:");
}

}  // namespace

void OdfHandler::put(std::string_view utf8) {
  if (asides_ == 0) return sink_.text(utf8);
  aside_.append(utf8);
  if (aside_.size() > 2 * kAside) end_asides();
}
void OdfHandler::line() {
  if (asides_ == 0) return sink_.line();
  if (aside_.empty() || aside_.back() != '\n') aside_.push_back('\n');
  if (aside_.size() > kAside) end_asides();
}
void OdfHandler::tab() {
  if (asides_ == 0) return sink_.tab();
  if (aside_.empty() || aside_.back() != '\t') aside_.push_back('\t');
}
void OdfHandler::own_line(std::string_view utf8) {
  line();
  put(utf8);
  line();
}

// beside gives text in an attribute, after the paragraph that it stands in.
void OdfHandler::beside(std::string_view utf8) {
  if (collecting_ == 0) return own_line(utf8);
  aside_.append(utf8).push_back('\n');
  if (aside_.size() > kAside) end_asides();
}

// end_asides gives what stood beside a paragraph, after it.
void OdfHandler::end_asides() {
  if (aside_.empty()) return;
  sink_.line();
  for (size_t at = 0; at < aside_.size();) {
    const size_t end = std::min(aside_.find_first_of("\n\t", at), aside_.size());
    sink_.text(std::string_view(aside_).substr(at, end - at));
    if (end < aside_.size() && aside_[end] == '\t') {
      sink_.tab();
    } else {
      sink_.line();
    }
    at = end + 1;
  }
  sink_.line();
  aside_.clear();
}

// end_cell gives the text that a cell is said to have, where that is not what was met in it: programs show either.
void OdfHandler::end_cell() {
  const std::string said = std::exchange(value_, {});
  const std::string met = std::exchange(shown_, {});
  const auto bare = [](std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
    return text;
  };
  if (said.empty() || bare(said) == bare(met)) return;
  tab();
  put(said);
}

void OdfHandler::finish() {
  end_asides();
  for (const std::string& link : links_) sink_.paragraph(link);
  links_.clear();
}

void OdfHandler::start(std::string_view name, const XmlAttributes& attributes) {
  const Element element = kElements.find(name);
  if (element == Element::text || element == Element::aside) {
    // What a paragraph holds of others - a note, a text box - is read beside it.
    if (element == Element::aside || collecting_ > 0) ++asides_;
    line();
    if (element == Element::text) ++collecting_;
    return;
  }
  if (metadata_) return sink_.line();
  switch (element) {
    case Element::spaces:
      if (collecting_ > 0) put(" ");
      return;
    case Element::tab:
      if (collecting_ > 0) tab();
      return;
    case Element::line_break:
      return line();
    case Element::event:
      if (!attributes.get("macro-name").empty() || is_script(attributes.get("href"))) {
        context_.mark(Mark::macro_vba);
      }
      return;
    case Element::of_aside:
      if (asides_ > 0) line();
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
      end_cell();  // the one that this is in
      value_ = attributes.get("string-value");
      if (calls_dde(attributes.get("formula"))) context_.mark(Mark::macro_dde);
      for (const std::string_view literal : formula_literals(attributes.get("formula"))) own_line(literal);
      return;
    case Element::declared:
      return sink_.paragraph(attributes.get("string-value"));
    case Element::control:
      // Of a form: what stands on it and in it, and what may be chosen.
      for (const char* key : {"label", "value", "current-value", "title"}) {
        const std::string_view text = attributes.get(key);
        if (!base::trim(text).empty()) beside(text);
      }
      return;
    case Element::list_style:
      for (const char* key : {"num-prefix", "num-suffix", "num-list-format"}) {
        const std::string text = list_label(attributes.get(key));
        if (!text.empty()) beside(text);
      }
      return;
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
  if (element == Element::text || element == Element::aside) {
    if (element == Element::text && collecting_ > 0) --collecting_;
    line();
    if (asides_ > 0 && (element == Element::aside || collecting_ > 0)) --asides_;
    if (asides_ == 0 && collecting_ == 0) end_asides();
    return;
  }
  if (metadata_) {
    metadata_ = element != Element::metadata;
    return sink_.line();
  }
  switch (element) {
    case Element::cell:
    case Element::covered_cell:
      end_cell();
      return tab();
    case Element::row:
      return line();
    case Element::of_aside:
      if (asides_ > 0) line();
      return;
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
  if (asides_ == 0 && !value_.empty() && shown_.size() <= value_.size() + kCell) shown_.append(utf8);
  if (utf8.find_first_of("\r\n\t") == std::string_view::npos) {
    put(utf8);
    return;
  }
  // White space of the file's own layout is a blank.
  std::string folded(utf8);
  for (char& c : folded) {
    if (c == '\r' || c == '\n' || c == '\t') c = ' ';
  }
  put(folded);
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
