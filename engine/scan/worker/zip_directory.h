// SPDX-License-Identifier: Apache-2.0
// What is in a ZIP file, by all its tables: the central directory (or several), where archive programs look, and the
// local headers, where streaming readers and thieves do. A member that only one of them knows is a member. APPNOTE.TXT
// 6.3.10; while the tables are read nothing is decompressed but where the end of a member cannot be known otherwise.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/worker/budget.h"
#include "engine/scan/worker/inflater.h"

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
  bool own = false;        // a part of the document that its reader has read, and whose checksum is right

  bool encrypted() const { return (flags & 1) != 0; }
  bool directory() const { return !name.empty() && name.back() == '/' && size == 0; }
};

struct ZipDirectory {
  std::vector<ZipMember> members;  // in the order of the central directory, then those it does not name
  bool central = false;            // a central directory was found
  bool inconsistent = false;       // the tables do not agree
  bool cut = false;                // there are more members than were asked for
  bool damaged = false;            // a table ends before it should
  bool late = false;               // the time was over before all was read
  size_t overlaps = 0;             // members whose bytes are another's too

  // listed are the members that a directory names; without any such, all: what programs that open documents go by.
  std::span<ZipMember> listed();
  // find looks for a listed member, ignoring ASCII case and a leading slash, as office programs do.
  ZipMember* find(std::string_view name);
};

// MemberReader gives the bytes of a stored or deflated member piece by piece, and compares them with what the tables
// say of them. Who takes the pieces charges them to the budget.
class MemberReader {
 public:
  // `member` and its bytes must stay good.
  explicit MemberReader(const ZipMember& member);

  // next puts at most `size` bytes into `room` and tells how many; less than that is no end.
  size_t next(char* room, size_t size);
  bool going() const { return inflater_ ? inflater_->going() : !stored_.empty(); }
  // reason is why not all comes, as far as it is known.
  Reason reason() const;
  // right tells whether all came, of the size and with the checksum that the tables state.
  bool right() const;

 private:
  const ZipMember& member_;
  std::optional<Inflater> inflater_;
  std::string_view stored_;  // what is to come of a member that is not packed
  uint64_t size_ = 0;
  uint32_t crc_ = 0;
};

// checksum is the CRC-32 of `bytes`, going on from `before`.
uint32_t checksum(std::string_view bytes, uint32_t before = 0);

// is_zip tells whether there is anything to be read: a local header at the front, or an end of central directory near
// the end.
bool is_zip(std::string_view bytes);

// read_zip_directory finds at most `most` members, and no more when the time of the budget, if any, is over.
ZipDirectory read_zip_directory(std::string_view bytes, size_t most, const Budget* budget = nullptr);

// inflate_head returns the first bytes of a stored or deflated member, at most `most`; for a look, never the whole.
std::string inflate_head(const ZipMember& member, size_t most);

}  // namespace postern::scan::worker
