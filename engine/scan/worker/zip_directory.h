// SPDX-License-Identifier: Apache-2.0
// What is in a ZIP file, by all its tables: the central directory (or several), where archive programs look, and the
// local headers, where streaming readers and thieves do. A member that only one of them knows is a member. APPNOTE.TXT
// 6.3.10; nothing is decompressed here but where the end of a member cannot be known otherwise.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::scan::worker {

struct ZipMember {
  std::string_view name;  // as it stands in the file
  std::string_view extra;
  uint32_t flags = 0;
  uint32_t method = 0;
  uint32_t crc = 0;
  uint64_t size = 0;
  uint64_t header = 0;     // where its local header is
  std::string_view data;   // packed bytes; fewer than stated when the file ends before
  bool truncated = false;  // data is not all there
  bool central = false;    // a central directory names it
  bool crc_known = true;   // size and crc were stated
  bool readable = true;    // its local header is where it should be

  bool encrypted() const { return (flags & 1) != 0; }
  bool directory() const { return !name.empty() && name.back() == '/' && size == 0; }
};

struct ZipDirectory {
  std::vector<ZipMember> members;  // in the order of the central directory, then those it does not name
  bool central = false;            // a central directory was found
  bool inconsistent = false;       // the tables do not agree
  bool cut = false;                // there are more members than were asked for
  bool damaged = false;            // a table ends before it should
  size_t overlaps = 0;             // members whose bytes are another's too
};

// is_zip tells whether there is anything to be read: a local header at the front, or an end of central directory near
// the end.
bool is_zip(std::string_view bytes);

// read_zip_directory finds at most `most` members.
ZipDirectory read_zip_directory(std::string_view bytes, size_t most);

// inflate_head returns the first bytes of a stored or deflated member, at most `most`; for a look, never the whole.
std::string inflate_head(const ZipMember& member, size_t most);

}  // namespace postern::scan::worker
