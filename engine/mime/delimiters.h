// SPDX-License-Identifier: Apache-2.0
// Where readers cut: the places at which one of them ends a header block, and the lines that one of them takes for
// delimiters. Internal to readings.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mime {

// HeaderCut is one way to cut an entity into header and content, as offsets into it.
struct HeaderCut {
  size_t begin = 0;    // of the header block
  size_t end = 0;      // of the header block
  size_t content = 0;  // where the content begins
  bool odd = false;    // other readers cut elsewhere
};
struct HeaderCuts {
  std::vector<HeaderCut> list;  // at most a few, the usual one among them
  uint64_t work = 0;            // bytes looked at
  bool complete = true;         // false: there are more
};
// header_cuts looks at `limit` bytes of `entity` at most, behind the blank lines that it begins with.
HeaderCuts header_cuts(std::string_view entity, size_t limit);

// DelimiterLine is a line that may be a delimiter.
struct DelimiterLine {
  size_t begin = 0;      // of the line
  size_t end = 0;        // without its line end
  size_t next = 0;       // of the next line
  size_t text_end = 0;   // of what stands before it, without the line end that is the delimiter's
  bool bare_cr = false;  // a CR alone ends the line or the one before it
  bool bare_lf = false;  // an LF alone does
};
// DelimiterLines are all lines of a buffer that begin with "--".
struct DelimiterLines {
  std::vector<DelimiterLine> list;
  bool complete = true;
};
inline constexpr size_t kMostDelimiterLines = 20000;
DelimiterLines delimiter_lines(std::string_view bytes);

// DelimiterSet is what one kind of reader takes for the delimiters of a multipart.
struct DelimiterSet {
  std::vector<DelimiterLine> lines;  // in order, not empty
  std::string_view why;
};
struct DelimiterSets {
  std::vector<DelimiterSet> list;  // each once
  bool complete = true;
  uint64_t work = 0;
};
// delimiter_sets returns the sets for the content [begin, end) of `bytes`, whose `lines` are given, with any of
// `boundaries`; also what a reader finds that guesses the boundary.
DelimiterSets delimiter_sets(std::string_view bytes, const DelimiterLines& lines, size_t begin, size_t end,
                             const std::vector<std::string>& boundaries);

}  // namespace postern::mime
