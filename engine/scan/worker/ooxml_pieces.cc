// SPDX-License-Identifier: Apache-2.0
// Pieces of OOXML text that stand in attributes: descriptions of pictures, symbols, links.
#include <algorithm>
#include <charconv>
#include <span>

#include "engine/scan/worker/characters.h"
#include "engine/scan/worker/document_xml.h"
#include "engine/scan/worker/office.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kDescriptions = 256;

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

}  // namespace postern::scan::worker
