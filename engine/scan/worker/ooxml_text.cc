// SPDX-License-Identifier: Apache-2.0
// Text, fields and marks of OOXML parts, Word 2003 XML and SpreadsheetML.
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "engine/base/text.h"
#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/formula.h"
#include "engine/scan/worker/name_table.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

using namespace std::string_view_literals;

constexpr size_t kAlternatives = 16;  // inside each other

uint32_t number(std::string_view text) {
  uint32_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

using Element = OoxmlElement;

}  // namespace

enum class OoxmlElement : uint8_t {
  other,
  action,
  alternate_content,
  art,
  attached_template,
  binary_data,
  book_properties,
  cell,
  cell_2003,
  cell_formats,
  choice,
  column,
  comment,
  control,
  data,
  dde_link,
  fallback,
  field_character,
  format,
  formula,
  glyphs,
  header_2003,
  hlink,
  hyperlink,
  instruction,
  line_break,
  list_entry,
  list_text,
  macro_sheet,
  named_range,
  no_break_hyphen,
  number_format,
  ocx,
  paragraph,
  part,
  phonetic,
  placeholder,
  point,
  relationship,
  row,
  row_2003,
  run,
  shape,
  shared_string,
  sheet,
  simple_field,
  symbol,
  tab,
  text,
  text_2003,
  text_path,
  text_row,
  value,
  validation,
  vanish,
  web_style,
  word_binary,
  worksheet,
};

namespace {

constexpr NameTable<Element, 77> kElements({
    {"AlternateContent", Element::alternate_content},
    {"Cell", Element::cell_2003},
    {"Choice", Element::choice},
    {"Data", Element::data},
    {"Fallback", Element::fallback},
    {"Footer", Element::header_2003},
    {"Glyphs", Element::glyphs},
    {"Header", Element::header_2003},
    {"NamedRange", Element::named_range},
    {"Relationship", Element::relationship},
    {"Row", Element::row_2003},
    {"Text", Element::text_2003},
    {"Worksheet", Element::worksheet},
    {"arc", Element::art},
    {"attachedTemplate", Element::attached_template},
    {"binData", Element::word_binary},
    {"binaryData", Element::binary_data},
    {"br", Element::line_break},
    {"c", Element::cell},
    {"cNvPr", Element::art},
    {"cellXfs", Element::cell_formats},
    {"comment", Element::comment},
    {"control", Element::control},
    {"cr", Element::line_break},
    {"curve", Element::art},
    {"dataValidation", Element::validation},
    {"ddeLink", Element::dde_link},
    {"delInstrText", Element::instruction},
    {"delText", Element::text},
    {"docPr", Element::art},
    {"f", Element::formula},
    {"fldChar", Element::field_character},
    {"fldSimple", Element::simple_field},
    {"group", Element::art},
    {"hlink", Element::hlink},
    {"hlinkClick", Element::action},
    {"hlinkHover", Element::action},
    {"hlinkMouseOver", Element::action},
    {"hyperlink", Element::hyperlink},
    {"image", Element::art},
    {"instrText", Element::instruction},
    {"line", Element::art},
    {"listEntry", Element::list_entry},
    {"lvlText", Element::list_text},
    {"macrosheet", Element::macro_sheet},
    {"noBreakHyphen", Element::no_break_hyphen},
    {"numFmt", Element::number_format},
    {"ocx", Element::ocx},
    {"oval", Element::art},
    {"p", Element::paragraph},
    {"part", Element::part},
    {"ph", Element::placeholder},
    {"polyline", Element::art},
    {"pt", Element::point},
    {"ptab", Element::tab},
    {"r", Element::run},
    {"rPh", Element::phonetic},
    {"rect", Element::art},
    {"roundrect", Element::art},
    {"row", Element::row},
    {"s", Element::web_style},
    {"sheet", Element::sheet},
    {"shape", Element::art},
    {"si", Element::shared_string},
    {"sp", Element::shape},
    {"sym", Element::symbol},
    {"t", Element::text},
    {"tab", Element::tab},
    {"tc", Element::column},
    {"text", Element::text_2003},
    {"textbox", Element::text_2003},
    {"textpath", Element::text_path},
    {"tr", Element::text_row},
    {"v", Element::value},
    {"vanish", Element::vanish},
    {"workbookPr", Element::book_properties},
    {"xf", Element::format},
});

}  // namespace

// in_properties takes the properties of a document that is one file, each a line.
bool OoxmlHandler::in_properties(std::string_view name, bool begin) {
  const bool outer = name.ends_with("DocumentProperties") && state_.context.job().want_metadata;
  if (properties_ == 0 && !outer) return false;
  line();
  if (outer && begin) {
    ++properties_;
    ++collecting_;
  } else if (outer) {
    if (properties_ > 0) --properties_;
    if (collecting_ > 0) --collecting_;
  }
  return true;
}

void OoxmlHandler::start(std::string_view name, const XmlAttributes& attributes) {
  if (!begun_) begin_root(name);
  const Element element = kElements.find(name);
  if (element == Element::alternate_content) {
    if (alternatives_.size() < kAlternatives) alternatives_.emplace_back();
    ++alternative_depth_;
  } else if (!alternatives_.empty() && alternative_depth_ == alternatives_.size()) {
    if (element == Element::choice) alternatives_.back().in_choice = true;
    if (element == Element::fallback) alternatives_.back().in_fallback = true;
  }
  switch (kind_) {
    case Kind::properties:
      state_.sink.line();
      return;
    case Kind::styles:
      if (element == Element::cell_formats) in_cell_formats_ = true;
      if (element == Element::format && in_cell_formats_) {
        state_.formats.add_style(number(attributes.get("numFmtId")));
      }
      if (element == Element::number_format) {
        state_.formats.add_format(number(attributes.get("numFmtId")), std::string(attributes.get("formatCode")));
      }
      return;
    case Kind::strings:
      if (element == Element::phonetic) in_phonetic_ = true;
      if (element == Element::text && name == "t" && !in_phonetic_) collecting_ = 1;
      return;
    case Kind::workbook:
      if (element == Element::sheet) state_.sink.paragraph(attributes.get("name"));
      if (element == Element::book_properties && attributes.get("date1904") == "1") state_.formats.since_1904 = true;
      return;
    case Kind::sheet:
      start_sheet(element, name, attributes);
      return;
    default:
      if (!in_properties(name, true)) start_text(element, attributes);
  }
}

void OoxmlHandler::end(std::string_view name) {
  const Element element = kElements.find(name);
  if (element == Element::alternate_content && alternative_depth_ > 0) {
    if (alternative_depth_ == alternatives_.size()) alternatives_.pop_back();
    --alternative_depth_;
  } else if (!alternatives_.empty() && alternative_depth_ == alternatives_.size()) {
    if (element == Element::choice) alternatives_.back().in_choice = false;
    if (element == Element::fallback) end_fallback();
  }
  switch (kind_) {
    case Kind::properties:
      state_.sink.line();
      return;
    case Kind::styles:
      if (element == Element::cell_formats) in_cell_formats_ = false;
      return;
    case Kind::strings:
      if (element == Element::phonetic) in_phonetic_ = false;
      if (element == Element::text && name == "t") collecting_ = 0;
      if (element == Element::shared_string) end_shared_string();
      return;
    case Kind::workbook:
      return;
    case Kind::sheet:
      end_sheet(element, name);
      return;
    default:
      if (!in_properties(name, false)) end_text(element);
  }
}

void OoxmlHandler::end_shared_string() {
  state_.string_bytes += value_.size();
  if (state_.string_bytes > state_.context.budget().limits().text || state_.strings.size() >= kMostStrings) {
    if (state_.context.wants_text()) state_.context.fail(Reason::text);
  } else {
    state_.strings.push_back(value_);
    state_.used.push_back(false);
  }
  value_.clear();
}

void OoxmlHandler::characters(std::string_view utf8) {
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
    field_text(utf8);
  } else if (collecting_ > 0) {
    field_text(utf8);
    put(utf8);
    shown(utf8);
  }
}

void OoxmlHandler::link(const std::string& target) {
  if (!target.empty()) own_line(target);
}

void OoxmlHandler::field_character(std::string_view kind) {
  if (kind == "begin") return fields_.begin();
  link(kind == "end" ? fields_.end() : fields_.separate());
}

void OoxmlHandler::cell_2003(const XmlAttributes& attributes) {
  const std::string_view formula = attributes.get("Formula");
  if (is_dde_formula(formula)) state_.context.mark(Mark::macro_dde);
  for (const std::string_view literal : formula_literals(formula)) {
    tab();
    put(literal);
  }
  if (attributes.has("HRef")) {
    tab();
    put(attributes.get("HRef"));
  }
  tab();
}

void OoxmlHandler::start_text(Element element, const XmlAttributes& attributes) {
  switch (element) {
    case Element::text:
    case Element::text_2003:
      ++collecting_;
      return;
    case Element::value:
    case Element::data:
      ++collecting_;
      return tab();
    case Element::instruction:
      in_instruction_ = true;
      // Where there is no field for it, it is one by itself.
      stray_ = stray_ || !fields_.in_instruction();
      if (stray_) fields_.begin(true);
      return;
    case Element::field_character:
      return field_character(attributes.get("fldCharType"));
    case Element::simple_field:
      fields_.begin(true);
      field_text(attributes.get("instr"));
      return link(fields_.separate(true));
    case Element::tab:
      if (attributes.has("pos")) return;
      field_text(" ");
      shown(" ");
      return tab();
    case Element::paragraph:
      begin_paragraph();
      field_text(" ");
      return line();
    case Element::run:
      hidden_ = false;
      return;
    case Element::vanish: {
      const std::string_view value = attributes.get("val");
      hidden_ = value != "0" && value != "false" && value != "off";
      return;
    }
    case Element::list_text:
      return described(list_label(attributes.get("val")));
    case Element::list_entry:
      return described(attributes.get("val"));
    case Element::action:
      // Slides run programs so.
      if (base::istarts_with(attributes.get("action"), "ppaction://program")) state_.context.mark(Mark::macro_dde);
      return;
    case Element::line_break:
      field_text(" ");
      shown(" ");
      return line();
    case Element::no_break_hyphen:
      return put("-");
    case Element::symbol:
      return symbol(attributes.get("char"));
    case Element::shape:
      in_shape_ = kind_ == Kind::master;
      placeholder_ = false;
      shape_.clear();
      return;
    case Element::placeholder:
      placeholder_ = true;
      return;
    case Element::art:
      // What a picture or shape is said to show; `alt` in VML.
      for (const std::string_view name : {"title"sv, "descr"sv, "alt"sv}) described(attributes.get(name));
      return;
    case Element::text_path:
      return own_line(attributes.get("string"));
    case Element::glyphs:
      line();
      return put(attributes.get("UnicodeString"));
    case Element::web_style:
      if (!attributes.has("v")) return;
      line();
      return put(attributes.get("v"));
    case Element::dde_link:
      return state_.context.mark(Mark::macro_dde);
    case Element::control:
      if (attributes.has("id")) state_.context.mark(Mark::active_content);
      return;
    case Element::ocx:
      return state_.context.mark(Mark::active_content);
    case Element::word_binary:
      binary_name_ = attributes.get("name");
      [[fallthrough]];
    case Element::binary_data:
      in_binary_ = true;
      binary_text_.clear();
      return;
    case Element::part:
      if (attributes.has("name")) binary_name_ = attributes.get("name");
      return;
    case Element::hlink:
      if (attributes.has("dest")) own_line(attributes.get("dest"));
      return;
    case Element::attached_template:
      if (is_remote(attributes.get("val"))) state_.context.mark(Mark::remote_template);
      return;
    case Element::cell_2003:
      return cell_2003(attributes);
    case Element::header_2003:
      return own_line(plain_header(attributes.get("Data")));
    case Element::named_range:
      if (is_dde_formula(attributes.get("RefersTo"))) state_.context.mark(Mark::macro_dde);
      return;
    case Element::worksheet:
      return own_line(attributes.get("Name"));
    case Element::relationship:
      return relationship(attributes);
    default:
      return;
  }
}

void OoxmlHandler::end_text(Element element) {
  switch (element) {
    case Element::text:
      if (collecting_ > 0) --collecting_;
      return;
    case Element::text_2003:
      if (collecting_ > 0) --collecting_;
      return line();
    case Element::value:
    case Element::data:
      if (collecting_ > 0) --collecting_;
      return tab();
    case Element::instruction:
      in_instruction_ = false;
      if (stray_) link(fields_.end(true));
      stray_ = false;
      return;
    case Element::simple_field:
      return link(fields_.end(true));
    case Element::paragraph:
      line();
      end_paragraph();
      for (const std::string& text : std::exchange(descriptions_, {})) own_line(text);
      return;
    case Element::run:
      hidden_ = false;
      return;
    case Element::text_row:
    case Element::comment:
    case Element::row_2003:
    case Element::shared_string:
    case Element::point:
      return line();
    case Element::column:
      return tab();
    case Element::shape:
      if (kind_ == Kind::master && !placeholder_) state_.sink.paragraph(base::trim(shape_));
      in_shape_ = false;
      shape_.clear();
      return;
    case Element::word_binary:
    case Element::binary_data:
      if (!in_binary_) return;
      in_binary_ = false;
      if (binary) binary(binary_name_, binary_text_);
      binary_text_ = std::string();
      return;
    default:
      return;
  }
}

void OoxmlHandler::start_sheet(Element element, std::string_view name, const XmlAttributes& attributes) {
  switch (element) {
    case Element::row:
      return state_.sink.line();
    case Element::cell:
      style_ = number(attributes.get("s"));
      type_ = attributes.get("t");
      value_.clear();
      formula_.clear();
      return;
    case Element::phonetic:
      in_phonetic_ = true;
      return;
    case Element::text:
      in_value_ = in_value_ || (name == "t" && !in_phonetic_);
      return;
    case Element::value:
      in_value_ = true;
      return;
    case Element::formula:
      in_formula_ = true;
      return;
    case Element::macro_sheet:
      return state_.context.mark(Mark::macro_xlm);
    case Element::validation:
    case Element::hyperlink:
      for (const std::string_view attribute :
           {"promptTitle"sv, "prompt"sv, "errorTitle"sv, "error"sv, "display"sv, "tooltip"sv}) {
        state_.sink.paragraph(attributes.get(attribute));
      }
      return;
    case Element::control:
      return state_.context.mark(Mark::active_content);
    case Element::dde_link:
      return state_.context.mark(Mark::macro_dde);
    default:
      if (!name.ends_with("Header") && !name.ends_with("Footer")) return;
      in_header_ = true;
      header_.clear();
  }
}

void OoxmlHandler::end_sheet(Element element, std::string_view name) {
  switch (element) {
    case Element::cell:
      return end_cell();
    case Element::phonetic:
      in_phonetic_ = false;
      return;
    case Element::text:
      in_value_ = in_value_ && name != "t";
      return;
    case Element::value:
      in_value_ = false;
      return;
    case Element::formula:
      in_formula_ = false;
      return;
    default:
      if (!in_header_ || (!name.ends_with("Header") && !name.ends_with("Footer"))) return;
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
  if (is_dde_formula(formula_)) state_.context.mark(Mark::macro_dde);
  for (const std::string_view literal : formula_literals(formula_)) {
    sink.tab();
    sink.text(literal);
  }
  sink.tab();
  value_.clear();
  formula_.clear();
}

}  // namespace postern::scan::worker
