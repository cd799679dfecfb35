// SPDX-License-Identifier: Apache-2.0
// TextSource: where the text of attachments comes from that the message itself does not show (documents, archives). The
// rules ask it once for each such leaf; content scanning implements it. Without one those leaves are unknown.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/message.h"
#include "engine/mime/part.h"

namespace postern::rules {

// ExtractedText is what a source found in one leaf.
struct ExtractedText {
  std::vector<std::string> texts;  // UTF-8, one for each document in it: a member of an archive is one
  bool complete = false;           // every text of the leaf is in `texts`; only then is "not found" an answer
  std::string reason;              // why it is not complete, for people: "password protected"
};

// LeafContent is what is asked about: leaf `part` of the message, or a uuencoded file in it.
struct LeafContent {
  uint32_t part = 0;
  std::string_view name;   // file name, may be empty
  std::string_view type;   // declared MIME type, lower case; empty for a uuencoded file
  std::string_view bytes;  // decoded; valid during the call
};

class TextSource {
 public:
  virtual ~TextSource() = default;

  // text_of returns the text in one leaf. It may take as long as the message's deadline allows and is not asked twice
  // for one leaf of a message; what cannot be told is incomplete, never an error.
  virtual ExtractedText text_of(const message::Message& message, const LeafContent& leaf) = 0;
};

}  // namespace postern::rules
