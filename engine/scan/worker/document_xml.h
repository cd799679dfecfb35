// SPDX-License-Identifier: Apache-2.0
// What the XML of office documents says: one handler for OOXML parts (and Word 2003, SpreadsheetML 2003), one for
// OpenDocument, one for iWork and other XML of which only text and names matter.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/worker/cell_format.h"
#include "engine/scan/worker/context.h"
#include "engine/scan/worker/field.h"
#include "engine/scan/worker/text_sink.h"
#include "engine/scan/worker/xml.h"

namespace postern::scan::worker {

// OoxmlState is what the parts of one package share.
struct OoxmlState {
  Context& context;
  TextSink& sink;
  CellFormats formats;
  std::vector<std::string> strings;
  std::vector<bool> used;
  uint64_t string_bytes = 0;
};

// OoxmlElement is an element that means something in a part of OOXML.
enum class OoxmlElement : uint8_t;

class OoxmlHandler : public XmlHandler {
 public:
  enum class Kind { text, master, sheet, strings, styles, workbook, properties };
  OoxmlHandler(OoxmlState& state, Kind kind) : state_(state), kind_(kind), fields_(state.context) {}
  void start(std::string_view name, const XmlAttributes& attributes) override;
  void end(std::string_view name) override;
  void characters(std::string_view utf8) override;

  // binary takes a file that stands in base64 in the document (Word 2003, pkg:package), with its name.
  std::function<void(std::string_view name, std::string_view base64)> binary;

 private:
  // Alternative is content in a form for newer and one for older programs.
  struct Alternative {
    bool in_choice = false, in_fallback = false, more = false;
    std::string choice, fallback;
  };
  void route(std::string_view utf8, char separator, size_t from);
  void end_fallback();
  bool in_properties(std::string_view name, bool begin);
  void put(std::string_view utf8);
  void line();
  void tab();
  void own_line(std::string_view utf8);
  void start_text(OoxmlElement element, const XmlAttributes& attributes);
  void end_text(OoxmlElement element);
  void end_shared_string();
  void start_sheet(OoxmlElement element, std::string_view name, const XmlAttributes& attributes);
  void end_sheet(OoxmlElement element, std::string_view name);
  void symbol(std::string_view hex);
  void relationship(const XmlAttributes& attributes);
  void end_cell();
  void cell_2003(const XmlAttributes& attributes);
  void field_character(std::string_view kind);
  void field_text(std::string_view utf8);
  void link(const std::string& target);
  void described(std::string_view text);
  void begin_root(std::string_view name);
  void begin_paragraph();
  void end_paragraph();
  void shown(std::string_view utf8);

  // Visible is a paragraph without its hidden text, which may stand between the letters of a word.
  struct Visible {
    std::string text;
    bool gap = false;     // hidden text came last, right after what is no blank
    bool joined = false;  // and before what is none
  };

  OoxmlState& state_;
  Kind kind_;
  uint32_t collecting_ = 0;  // open elements whose characters are text
  uint32_t properties_ = 0;  // open elements that hold metadata
  std::vector<Alternative> alternatives_;
  size_t alternative_depth_ = 0;  // open ones, also where they are too deep to be kept
  bool in_shape_ = false, placeholder_ = false;
  std::string shape_;  // text of a shape in a master, until it is known to be no placeholder
  Fields fields_;
  bool begun_ = false, hidden_ = false;    // after the root's begin; in a run of hidden text
  std::vector<Visible> visible_;           // of open paragraphs
  uint32_t paragraphs_ = 0;                // open ones
  std::vector<std::string> descriptions_;  // of pictures in them
  std::string description_;                // the last
  bool in_instruction_ = false, stray_ = false;
  bool in_binary_ = false;
  std::string value_, formula_, header_, type_, binary_name_, binary_text_;
  uint32_t style_ = 0;
  bool in_value_ = false, in_formula_ = false, in_header_ = false, in_cell_formats_ = false, in_phonetic_ = false;
};

class OdfHandler : public XmlHandler {
 public:
  OdfHandler(Context& context, TextSink& sink) : context_(context), sink_(sink) {}
  void start(std::string_view name, const XmlAttributes& attributes) override;
  void end(std::string_view name) override;
  void characters(std::string_view utf8) override;
  void comment(std::string_view utf8) override;

  // code makes the characters of all elements text: modules of Basic.
  void code() { all_ = true; }
  // metadata makes each element's characters a paragraph.
  void metadata() { metadata_ = true; }
  // finish gives the targets of links, after the text they stand in.
  void finish();
  std::function<void(std::string_view name, std::string_view base64)> binary;

 private:
  void put(std::string_view utf8);
  void line();
  void tab();
  void own_line(std::string_view utf8);
  void beside(std::string_view utf8);
  void end_asides();
  void end_cell();

  Context& context_;
  TextSink& sink_;
  uint32_t collecting_ = 0;
  uint32_t asides_ = 0;  // open elements whose text stands beside the paragraph they are in
  std::string aside_;
  std::string value_, shown_;  // of the open cell: the text that it is said to have, and what of it was met
  bool all_ = false, metadata_ = false, spreadsheet_ = false, in_binary_ = false, in_source_ = false;
  std::string binary_text_;
  std::vector<std::string> links_;
};

class PlainHandler : public XmlHandler {
 public:
  explicit PlainHandler(TextSink& sink) : sink_(sink) {}
  void start(std::string_view name, const XmlAttributes& attributes) override;
  void end(std::string_view name) override;
  void characters(std::string_view utf8) override;

 private:
  TextSink& sink_;
};

// list_label is what stands before each item of a list, without the numbers in `format`; empty where those and signs
// are all of it.
std::string list_label(std::string_view format);

// decode_base64 decodes what it can and leaves out what is none.
std::string decode_base64(std::string_view text);

// read_binary_part reads a part of an .xlsb.
void read_binary_part(OoxmlState& state, std::string_view bytes, bool shared_strings);

}  // namespace postern::scan::worker
