// SPDX-License-Identifier: Apache-2.0
// Content: the texts that content rules search, leaf by leaf, each in every way a reader may see it: as labelled and as
// sniffed, HTML as source and as shown, with and without characters that do not show. A rule takes the reading with
// most hits. Made when first asked for and kept; bounded by limits.decoded_text. One object per transaction, one
// thread. Internal to the evaluator.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/match/pattern_set.h"
#include "engine/message/message.h"
#include "rules/inspection.h"

namespace postern::rules {

// ContentText is one text: a leaf's own, a uuencoded file in it, or a document that scanning found in it.
struct ContentText {
  bool uuencoded = false;  // a file inside a text: an attachment wherever the text stands
  bool complete = true;    // false: there may be text that is in no reading
  std::string reason;      // why
  std::vector<std::string_view> readings;
  std::vector<std::optional<match::Candidates>> candidates;  // of the readings, once scanned
};

// UuFile is one uuencoded file in a text: `begin` and `end` are its first and last line's places.
struct UuFile {
  size_t begin = 0;
  size_t end = 0;
  std::string name;
  bool whole = false;  // else it breaks off before "end": what follows is text, or more of it for some readers
};
// UuFiles are those of one text; not complete: there may be more.
struct UuFiles {
  std::vector<UuFile> list;
  bool complete = true;
};

class Content {
 public:
  // `inspection`, which gives the text of documents and archives, must outlive the object.
  Content(message::Message& message, Inspection& inspection) : message_(message), inspection_(inspection) {}

  // texts returns the texts of `part`: of a leaf, or the shown header fields of an attached message. Their `candidates`
  // are the caller's to fill.
  std::vector<ContentText>& texts(uint32_t part);
  // uuencoded returns the uuencoded files in the text of leaf `part`, by places in Message::text; nothing else is read.
  const UuFiles& uuencoded(uint32_t part);

 private:
  void read_leaf(uint32_t part, std::vector<ContentText>& out);
  void read_text(const mime::Part& part, uint32_t index, std::vector<ContentText>& out);
  std::string_view read_against_label(const mime::Part& part, uint32_t index, ContentText& main, bool html);
  bool read_uuencoded(std::string_view text, std::vector<ContentText>& out, std::string& rest);
  void add_scanned(const scan::Verdict& verdict, std::vector<ContentText>& out, bool uuencoded);
  void read_header(uint32_t part, std::vector<ContentText>& out);
  // keep stores a text made here; past limits.decoded_text it does not, and `to`, whose reading it was to be, is not
  // complete.
  std::optional<std::string_view> keep(ContentText& to, std::string text);
  void add(ContentText& to, std::string_view text, bool html);
  void add_own(ContentText& to, std::string text, bool html);
  void add_reading(ContentText& to, std::string text);

  message::Message& message_;
  Inspection& inspection_;
  std::vector<std::unique_ptr<std::vector<ContentText>>> parts_;
  std::vector<std::optional<UuFiles>> uu_files_;  // by part
  std::vector<std::unique_ptr<std::string>> owned_;
  uint64_t owned_bytes_ = 0;
};

// visible returns `text` without the characters that do not show: soft hyphen, zero-width and bidirectional controls,
// control bytes, a CR that ends no line; nullopt when there are none.
std::optional<std::string> visible(std::string_view text);

// find_uuencoded returns the files in `text` that have a line of data or are empty, in order; at most kMaxUuFiles,
// `more` tells that there were more.
inline constexpr size_t kMaxUuFiles = 100;
std::vector<UuFile> find_uuencoded(std::string_view text, bool& more);

}  // namespace postern::rules
