// SPDX-License-Identifier: Apache-2.0
// Verdict: what content scanning says about one thing it was given (a leaf of a message, or a file): one Leaf for the
// thing itself and one for each thing found in it. Only values; shared by the worker that finds and the process that
// asks.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/client/file_type.h"

namespace postern::scan {

// Reason is why a leaf is unscannable, that is: why more may be in it than was found. Names are what rules, logs and
// JSON use.
enum class Reason : uint8_t {
  none,
  corrupt,      // its own structure is broken
  password,     // it cannot be read without a password
  crash,        // a worker died of it, twice, or in an earlier run
  time,         // limit of time
  memory,       // limit of memory
  depth,        // limit of nesting
  size,         // limit of bytes of one thing, or of all that came out
  members,      // limit of how many things are in it
  ratio,        // came out many times larger than it went in
  overlap,      // members of an archive that share bytes
  text,         // limit of text bytes
  unsupported,  // its format is known and not read, or a method or charset in it is not
  partial,      // a fragment, message/partial: the rest is elsewhere
  unavailable,  // no worker could take it
  count_        // keep last
};
std::string_view reason_name(Reason reason);
// is_limit tells whether the scan ended early, so that anything may be in what was not looked at.
bool is_limit(Reason reason);
// outweighs tells whether `later` stays of the two reasons, `first` having come before: it leaves more open. A limit
// does against all that is none, for what is merely broken or protected may still be known to hold no names; the first
// one stays of equals, and any reason outweighs the limit of text, behind which there is text and nothing else.
bool outweighs(Reason later, Reason first);

// Protection tells whether a password (or certificate) is needed to read a leaf: `partly` where some members need one,
// `unknown` where it could not be told.
enum class Protection : uint8_t { no, yes, partly, unknown, count_ };
std::string_view protection_name(Protection protection);

// Mark is something else found in a leaf, a bit each.
enum class Mark : uint16_t {
  macro_vba = 1 << 0,        // VBA project with code, or its stomped remains; also Basic and scripts of OpenDocument
  macro_xlm = 1 << 1,        // Excel 4.0 macro sheet
  macro_dde = 1 << 2,        // DDE field or link that starts a program
  remote_template = 1 << 3,  // attached template, frame or object loaded from another place when opened
  active_content =
      1 << 4,  // script or action that runs when opened: PDF JavaScript or Launch, ActiveX, script in HTML or SVG
  encrypted_default = 1 << 5,  // encrypted with the password every reader knows, and opened with it
  inconsistent = 1 << 6,       // two readers would find different things in it
  embedded = 1 << 7,           // came out of a document, not out of an archive or message
};
// kAllMarks has every bit of Mark.
inline constexpr uint16_t kAllMarks = 0xff;

// Leaf is one thing: the one that was given (the first of a verdict), or one found in another.
struct Leaf {
  std::string path;  // from the thing given: "" for itself, "!invoice.zip!a/calc.exe", "!Ole10Native:calc.exe",
                     // "/1.2" for part 1.2 of a message. UTF-8 without control characters, at most kMaxPath bytes
  std::string name;  // file name as found, UTF-8; may be empty; never to be used as a path
  std::string declared_mime;  // what its carrier calls it, lower case; may be empty
  std::string mime;           // by content
  uint64_t size = 0;          // bytes
  uint32_t parent = 0;        // index of the leaf it was found in; its own for the first
  uint16_t marks = 0;         // of Mark
  Protection protection = Protection::no;
  Reason reason = Reason::none;  // none: scanned
  std::vector<FileType> types;   // every plausible one, best first; at least one (FileType::unknown)
  std::string text;              // UTF-8, as a reader sees it; empty where none was asked for

  bool scanned() const { return reason == Reason::none; }
  bool has(Mark mark) const { return (marks & static_cast<uint16_t>(mark)) != 0; }
  bool is(FileType type) const;
  bool in_group(Group group) const;
};

// kMaxPath, kMaxName and kMaxMime bound the strings of a leaf, kMaxTypes its types; kMaxLeaves the leaves of a verdict,
// whatever the limits say.
inline constexpr size_t kMaxPath = 4096;
inline constexpr size_t kMaxName = 1024;
inline constexpr size_t kMaxMime = 255;
inline constexpr size_t kMaxTypes = 16;
inline constexpr size_t kMaxLeaves = 20000;

// Verdict is never empty. It is complete when every leaf in it was scanned.
struct Verdict {
  std::vector<Leaf> leaves;
  uint64_t cpu_microseconds = 0;
  std::chrono::milliseconds waited{0};  // for a worker

  bool complete() const;
  // reason is the first that a leaf has; none when complete.
  Reason reason() const;
};

// unscannable makes the verdict of something nothing was found out about.
Verdict unscannable(Reason reason, std::string_view name, std::string_view declared_mime, uint64_t size);

// cut_text shortens to `most` bytes, not within a character. clean_text puts '?' for each byte that is no UTF-8;
// clean_name makes raw bytes fit for a leaf's path, name or MIME type, without control characters as well.
std::string_view cut_text(std::string_view text, size_t most);
std::string clean_text(std::string_view text);
std::string clean_name(std::string_view raw, size_t most);

}  // namespace postern::scan
