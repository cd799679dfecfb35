// SPDX-License-Identifier: Apache-2.0
// Pieces of OOXML text that stand in attributes: descriptions of pictures, symbols, links. What a part is by its root,
// and paragraphs as they are seen where some of their text is hidden.
#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kDescriptions = 256;
constexpr size_t kVisible = 64u << 10;  // text of one paragraph

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool among(std::span<const std::string_view> list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}

}  // namespace

// described gives what a picture is said to show, after the paragraph that it may stand amid the words of.
void OoxmlHandler::described(std::string_view text) {
  if (text.empty() || text == description_) return;  // older programs are told the same again
  description_ = text;
  if (kind_ == Kind::master) return state_.sink.paragraph(text);
  if (paragraphs_ == 0 || descriptions_.size() >= kDescriptions) return own_line(text);
  descriptions_.emplace_back(text);
}

// begin_root looks at the root of a part. Programs find parts by what other parts say of them, and read them by their
// roots; neither a name nor a content type makes text a table.
void OoxmlHandler::begin_root(std::string_view name) {
  begun_ = true;
  const bool sheet = name == "worksheet" || name == "macrosheet" || name == "dialogsheet" || name == "chartsheet";
  const Kind is = sheet                  ? Kind::sheet
                  : name == "sst"        ? Kind::strings
                  : name == "styleSheet" ? Kind::styles
                  : name == "workbook"   ? Kind::workbook
                                         : Kind::text;
  if (kind_ == Kind::master || kind_ == Kind::properties) return;
  kind_ = is;
}

void OoxmlHandler::begin_paragraph() {
  ++paragraphs_;
  visible_.emplace_back();
}

void OoxmlHandler::end_paragraph() {
  if (paragraphs_ > 0) --paragraphs_;
  if (visible_.empty()) return;
  const Visible ended = std::move(visible_.back());
  visible_.pop_back();
  if (ended.joined) own_line(ended.text);
}

// shown takes the text of paragraphs as it comes.
void OoxmlHandler::shown(std::string_view utf8) {
  if (visible_.empty() || utf8.empty()) return;
  Visible& here = visible_.back();
  if (hidden_) {
    here.gap = here.gap || (!here.text.empty() && !is_blank(here.text.back()));
    return;
  }
  here.joined = here.joined || (here.gap && !is_blank(utf8.front()));
  here.gap = false;
  if (here.text.size() < kVisible) here.text.append(utf8);
}

void OoxmlHandler::symbol(std::string_view hex) {
  uint32_t code = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
  if (code >= 0xf020 && code < 0xf100) code -= 0xf000;
  std::string out;
  if (code >= 0x20) append_code_point(out, code);
  put(out);
}

void OoxmlHandler::relationship(const XmlAttributes& attributes) {
  if (attributes.get("TargetMode") != "External") return;
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

std::string list_label(std::string_view format) {
  std::string out;
  size_t letters = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const auto byte = static_cast<uint8_t>(format[i]);
    // "%1", and in OpenDocument "%1%".
    if (byte == '%' && i + 1 < format.size() && format[i + 1] >= '0' && format[i + 1] <= '9') {
      i += i + 2 < format.size() && format[i + 2] == '%' ? 2 : 1;
      continue;
    }
    out.push_back(format[i]);
    const bool ascii = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
    // The first of more bytes, but not of the signs from U+2000 on nor of U+E000 to U+FFFF, where fonts have theirs.
    if (ascii || (byte >= 0xc3 && byte != 0xe2 && byte < 0xee)) ++letters;
  }
  return letters < 2 ? std::string() : out;
}

}  // namespace postern::scan::worker
