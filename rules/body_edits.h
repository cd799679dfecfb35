// SPDX-License-Identifier: Apache-2.0
// Body edits: what filters want done to a message's body (attachments dropped, texts added above and below), collected
// while filters run and written once, so that several filters' wishes meet in one rewrite. MIME stays valid; nothing
// inside an encrypted part is touched; text is never added inside a signed part: the whole content is then wrapped in a
// multipart/mixed with the text beside it, its bytes unchanged. RFC 2045, 2046, 1847.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::rules {

class Facts;

struct BodyEdits {
  // Drop takes one part out; `notice` (UTF-8, any line ends) stands in its place, or nothing when empty.
  struct Drop {
    uint32_t part = 0;
    std::string notice;
  };
  std::vector<Drop> drops;
  std::map<uint32_t, std::string> texts;  // text parts with a new text, UTF-8; HTML stays HTML
  std::set<uint32_t> to_plain;            // HTML parts that become plain text, whatever else is done to them
  std::vector<std::string> headings;      // in the order the filters ran; the last one ends on top
  std::vector<std::string> footers;       // the last one ends at the bottom
  // The message's own Content-* fields as they were before the first rewrite, name and raw value.
  std::optional<std::vector<std::pair<std::string, std::string>>> content_fields;
  bool replaced = false;  // the whole body was replaced: only another replacement can follow
  bool pending = false;   // something was asked for since the last apply
};

// apply_body_edits writes all edits so far into the message; no effect when nothing is pending.
void apply_body_edits(Facts& facts);

// crlf_lines writes text as complete lines: every line end becomes CRLF, NUL goes, and the last line has an end too.
std::string crlf_lines(std::string_view text);

// protection_of says what forbids that text part `part` is edited: "signed" or "encrypted" (multipart/signed and
// multipart/encrypted round it, OpenPGP armor in it); empty when nothing does.
std::string_view protection_of(Facts& facts, uint32_t part);

// inside_type tells whether `part` or an ancestor of it has the MIME type `type` ("multipart/encrypted").
bool inside_type(Facts& facts, uint32_t part, std::string_view type);

}  // namespace postern::rules
