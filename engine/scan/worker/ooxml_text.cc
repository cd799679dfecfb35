// SPDX-License-Identifier: Apache-2.0
// Text, fields and marks of OOXML parts, Word 2003 XML and SpreadsheetML.
#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/text.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/octets.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kInstruction = 8192;
constexpr size_t kFields = 64;

bool among(std::span<const std::string_view> list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}

uint32_t number(std::string_view text) {
  uint32_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

}  // namespace

std::string decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out.push_back(static_cast<char>(bits >> have));
  }
  return out;
}

std::vector<std::string_view> formula_literals(std::string_view formula) {
  std::vector<std::string_view> out;
  for (size_t at = formula.find('"'); at != std::string_view::npos && out.size() < 1000; at = formula.find('"', at)) {
    const size_t end = formula.find('"', at + 1);
    if (end == std::string_view::npos) break;
    if (end > at + 1) out.push_back(formula.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return out;
}

void OoxmlHandler::put(std::string_view utf8) {
  if (kind_ == Kind::master) {
    if (in_shape_ && shape_.size() < 65536) shape_.append(utf8);
  } else {
    state_.sink.text(utf8);
  }
}
void OoxmlHandler::line() {
  if (kind_ == Kind::master) {
    if (in_shape_ && !shape_.empty()) shape_.push_back('\n');
  } else {
    state_.sink.line();
  }
}
void OoxmlHandler::tab() {
  if (kind_ == Kind::master) {
    if (in_shape_ && !shape_.empty()) shape_.push_back('\t');
  } else {
    state_.sink.tab();
  }
}

void OoxmlHandler::start(std::string_view name, const XmlAttributes& attributes) {
  if (skipping_ > 0) {
    ++skipping_;
    return;
  }
  if (name == "Choice") {
    choice_from_ = state_.sink.written() + shape_.size();
  } else if (name == "Fallback" && choice_text_) {
    // The same again for older programs.
    skipping_ = 1;
    return;
  }
  switch (kind_) {
    case Kind::properties:
      state_.sink.line();
      return;
    case Kind::styles:
      if (name == "cellXfs") in_cell_formats_ = true;
      if (name == "xf" && in_cell_formats_) state_.formats.add_style(number(attributes.get("numFmtId")));
      if (name == "numFmt") {
        state_.formats.add_format(number(attributes.get("numFmtId")), std::string(attributes.get("formatCode")));
      }
      return;
    case Kind::strings:
      if (name == "rPh") in_phonetic_ = true;
      if (name == "t" && !in_phonetic_) collecting_ = 1;
      return;
    case Kind::workbook:
      if (name == "sheet") state_.sink.paragraph(attributes.get("name"));
      if (name == "workbookPr" && attributes.get("date1904") == "1") state_.formats.since_1904 = true;
      return;
    case Kind::sheet:
      start_sheet(name, attributes);
      return;
    default:
      start_text(name, attributes);
  }
}

void OoxmlHandler::end(std::string_view name) {
  if (skipping_ > 0) {
    --skipping_;
    return;
  }
  if (name == "Choice") choice_text_ = state_.sink.written() + shape_.size() > choice_from_;
  if (name == "AlternateContent") choice_text_ = false;
  switch (kind_) {
    case Kind::properties:
      state_.sink.line();
      return;
    case Kind::styles:
      if (name == "cellXfs") in_cell_formats_ = false;
      return;
    case Kind::strings:
      if (name == "rPh") in_phonetic_ = false;
      if (name == "t") collecting_ = 0;
      if (name == "si") {
        state_.string_bytes += value_.size();
        if (state_.string_bytes > state_.context.budget().limits().text) {
          if (state_.context.wants_text()) state_.context.fail(Reason::text);
        } else {
          state_.strings.push_back(value_);
          state_.used.push_back(false);
        }
        value_.clear();
      }
      return;
    case Kind::workbook:
      return;
    case Kind::sheet:
      end_sheet(name);
      return;
    default:
      end_text(name);
  }
}

void OoxmlHandler::characters(std::string_view utf8) {
  if (skipping_ > 0) return;
  if (kind_ == Kind::properties) {
    if (!base::trim(utf8).empty()) state_.sink.text(utf8);
  } else if (kind_ == Kind::strings) {
    if (collecting_ > 0 && value_.size() < 65536 * 4) value_.append(utf8);
  } else if (kind_ == Kind::sheet) {
    // A cell's value and formula are short by definition; what is longer is cut, after 128 KiB.
    if (in_value_ && value_.size() < 131072) value_.append(utf8);
    if (in_formula_ && formula_.size() < 131072) formula_.append(utf8);
    if (in_header_ && header_.size() < 131072) header_.append(utf8);
  } else if (in_binary_) {
    binary_text_.append(utf8);
  } else if (in_instruction_) {
    if (!fields_.empty() && fields_.back().instruction.size() < kInstruction) fields_.back().instruction.append(utf8);
    if (fields_.empty()) note(utf8);
  } else if (collecting_ > 0) {
    put(utf8);
  }
}

void OoxmlHandler::note(std::string_view instruction) {
  const std::string target = note_field(state_.context, instruction);
  if (target.empty()) return;
  line();
  put(target);
  line();
}

void OoxmlHandler::field_character(std::string_view kind) {
  if (kind == "begin") {
    if (fields_.size() < kFields) fields_.emplace_back();
    return;
  }
  if (fields_.empty()) return;
  if (!fields_.back().noted) {
    fields_.back().noted = true;
    note(fields_.back().instruction);
  }
  if (kind != "end") return;
  // A field inside another's instruction: its parts may spell the command together.
  const std::string inner = std::move(fields_.back().instruction);
  fields_.pop_back();
  if (!fields_.empty() && !fields_.back().noted && base::istarts_with(base::trim(inner), "quote")) {
    std::string_view rest = base::trim(base::trim(inner).substr(5));
    while (!rest.empty()) {
      const uint32_t code = number(rest);
      if (code != 0 && fields_.back().instruction.size() < kInstruction)
        append_code_point(fields_.back().instruction, code);
      const size_t blank = rest.find(' ');
      rest = blank == std::string_view::npos ? std::string_view() : base::trim(rest.substr(blank));
    }
  }
}

void OoxmlHandler::start_text(std::string_view name, const XmlAttributes& attributes) {
  if (name == "t" || name == "delText" || name == "Text" || name == "textbox" || name == "text" || name == "Data" ||
      name == "v") {
    ++collecting_;
    if (name == "v" || name == "Data") tab();
  } else if (name == "instrText" || name == "delInstrText") {
    in_instruction_ = true;
  } else if (name == "fldChar") {
    field_character(attributes.get("fldCharType"));
  } else if (name == "fldSimple") {
    note(attributes.get("instr"));
  } else if (name == "tab" || name == "ptab") {
    if (!attributes.has("pos")) tab();
  } else if (name == "br" || name == "cr") {
    line();
  } else if (name == "p") {
    line();
  } else if (name == "noBreakHyphen") {
    put("-");
  } else if (name == "sym") {
    uint32_t code = 0;
    const std::string_view hex = attributes.get("char");
    std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (code >= 0xf020 && code < 0xf100) code -= 0xf000;
    std::string out;
    if (code >= 0x20) append_code_point(out, code);
    put(out);
  } else if (name == "sp") {
    in_shape_ = kind_ == Kind::master;
    placeholder_ = false;
    shape_.clear();
  } else if (name == "ph") {
    placeholder_ = true;
  } else if (name == "textpath") {
    line();
    put(attributes.get("string"));
    line();
  } else if (name == "Glyphs") {
    line();
    put(attributes.get("UnicodeString"));
  } else if (name == "s" && attributes.has("v")) {
    line();
    put(attributes.get("v"));
  } else if (name == "ddeLink") {
    state_.context.mark(Mark::macro_dde);
  } else if (name == "control" || name == "ocx") {
    if (attributes.has("id") || name == "ocx") state_.context.mark(Mark::active_content);
  } else if (name == "binData" || name == "binaryData") {
    in_binary_ = true;
    binary_text_.clear();
    if (name == "binData") binary_name_ = attributes.get("name");
  } else if (name == "part" && attributes.has("name")) {
    binary_name_ = attributes.get("name");
  } else if (name == "hlink" && attributes.has("dest")) {
    line();
    put(attributes.get("dest"));
    line();
  } else if (name == "attachedTemplate") {
    if (is_remote(attributes.get("val"))) state_.context.mark(Mark::remote_template);
  } else if (name == "Worksheet") {
    line();
    put(attributes.get("Name"));
    line();
  } else if (name == "Relationship" && attributes.get("TargetMode") == "External") {
    const std::string_view type = attributes.get("Type");
    const std::string_view target = attributes.get("Target");
    static constexpr std::string_view kLoaded[] = {"attachedTemplate",   "frame",   "subDocument",
                                                   "oleObject",          "aFChunk", "externalLinkPath",
                                                   "xlExternalLinkPath", "package"};
    const std::string_view last = type.substr(type.rfind('/') == std::string_view::npos ? 0 : type.rfind('/') + 1);
    if (among(kLoaded, last) && is_remote(target) && last.find("xternalLink") == std::string_view::npos) {
      state_.context.mark(Mark::remote_template);
    }
    line();
    if (last == "hyperlink") put(target);
    line();
  }
}

void OoxmlHandler::end_text(std::string_view name) {
  if (name == "t" || name == "delText" || name == "Text" || name == "textbox" || name == "text" || name == "Data" ||
      name == "v") {
    if (collecting_ > 0) --collecting_;
    if (name == "v" || name == "Data") tab();
    if (name == "Text" || name == "textbox" || name == "text") line();
  } else if (name == "instrText" || name == "delInstrText") {
    in_instruction_ = false;
  } else if (name == "p" || name == "tr" || name == "comment" || name == "Row" || name == "si" || name == "pt") {
    line();
  } else if (name == "tc") {
    tab();
  } else if (name == "sp") {
    if (kind_ == Kind::master && !placeholder_) state_.sink.paragraph(base::trim(shape_));
    in_shape_ = false;
    shape_.clear();
  } else if ((name == "binData" || name == "binaryData") && in_binary_) {
    in_binary_ = false;
    if (binary) binary(binary_name_, binary_text_);
    binary_text_ = std::string();
  }
}

void OoxmlHandler::start_sheet(std::string_view name, const XmlAttributes& attributes) {
  if (name == "row") {
    state_.sink.line();
  } else if (name == "c") {
    style_ = number(attributes.get("s"));
    type_ = attributes.get("t");
    value_.clear();
    formula_.clear();
  } else if (name == "rPh") {
    in_phonetic_ = true;
  } else if (name == "v" || (name == "t" && !in_phonetic_)) {
    in_value_ = true;
  } else if (name == "f") {
    in_formula_ = true;
  } else if (name == "macrosheet") {
    state_.context.mark(Mark::macro_xlm);
  } else if (name.ends_with("Header") || name.ends_with("Footer")) {
    in_header_ = true;
    header_.clear();
  } else if (name == "dataValidation" || name == "hyperlink") {
    for (const std::string_view attribute :
         {"promptTitle"sv, "prompt"sv, "errorTitle"sv, "error"sv, "display"sv, "tooltip"sv}) {
      state_.sink.paragraph(attributes.get(attribute));
    }
  } else if (name == "control" || name == "oleObject") {
    if (name == "control") state_.context.mark(Mark::active_content);
  } else if (name == "ddeLink") {
    state_.context.mark(Mark::macro_dde);
  }
}

void OoxmlHandler::end_sheet(std::string_view name) {
  if (name == "c") {
    end_cell();
  } else if (name == "rPh") {
    in_phonetic_ = false;
  } else if (name == "v" || name == "t") {
    in_value_ = false;
  } else if (name == "f") {
    in_formula_ = false;
  } else if (in_header_ && (name.ends_with("Header") || name.ends_with("Footer"))) {
    in_header_ = false;
    state_.sink.paragraph(plain_header(header_));
  }
}

void OoxmlHandler::end_cell() {
  TextSink& sink = state_.sink;
  sink.tab();
  if (type_ == "s") {
    const uint32_t index = number(value_);
    if (!value_.empty() && index < state_.strings.size()) {
      state_.used[index] = true;
      sink.text(state_.strings[index]);
    }
  } else if (type_ == "b") {
    sink.text(value_ == "1" ? "TRUE" : "FALSE");
  } else if (type_ == "str" || type_ == "inlineStr" || type_ == "e" || type_ == "d") {
    sink.text(value_);
  } else if (!value_.empty()) {
    double value = 0;
    const auto [end, error] = std::from_chars(value_.data(), value_.data() + value_.size(), value);
    sink.text(error == std::errc() && end == value_.data() + value_.size() ? state_.formats.show(value, style_)
                                                                           : value_);
  }
  for (const std::string_view literal : formula_literals(formula_)) {
    sink.tab();
    sink.text(literal);
  }
  sink.tab();
  value_.clear();
  formula_.clear();
}

}  // namespace postern::scan::worker
