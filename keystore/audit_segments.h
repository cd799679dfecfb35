// SPDX-License-Identifier: Apache-2.0
// AuditSegments: the files of the audit log, audit-000001.log and so on, in one private directory. Here they are found,
// made with their room taken from the disk in advance, checked after a crash, and removed; what is written to them is
// the business of audit.cc. One thread at a time.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "keystore/private_directory.h"

namespace postern::keystore {

// kMaxSegment bounds AuditOptions::segment, because a start reads a whole one.
inline constexpr uint64_t kMaxSegment = 1ull << 30;

// AuditSegment is one file. `first` is the sequence number of its first record, 0 while it has none; `end` is where its
// last whole record ends.
struct AuditSegment {
  uint64_t number = 0;
  uint64_t first = 0;
  uint64_t end = 0;
};

std::string segment_name(uint64_t number);

// list_segments finds the files, oldest first. `end` is their size.
base::Result<std::vector<AuditSegment>> list_segments(const PrivateDirectory& directory);

// SegmentCheck is what a segment's whole records come to, and what was torn off: bytes behind the last whole record
// that a power cut or a failed write left, `torn` of them with the digest `torn_hash`.
struct SegmentCheck {
  uint64_t records = 0;
  uint64_t last = 0;  // sequence number
  std::string hash;   // of the last record
  uint64_t end = 0;
  uint64_t torn = 0;
  std::string torn_hash;
};

// check_segment reads a segment and follows its chain; malformed naming the record where whole lines do not chain: that
// is no accident.
base::Result<SegmentCheck> check_segment(const PrivateDirectory& directory, uint64_t number);

// Room is whether a file's room could be taken in advance: `unsupported` where the file system cannot do that.
enum class Room { taken, unsupported };

// take_room takes room for `bytes` without changing the file's size; unavailable when there is not as much.
base::Result<Room> take_room(int fd, uint64_t bytes);

// make_segment makes an empty file, durably, with its room; on error nothing is left.
struct NewSegment {
  base::UniqueFd fd;
  Room room = Room::taken;
};
base::Result<NewSegment> make_segment(PrivateDirectory& directory, uint64_t number, uint64_t bytes);

// remove_segment unlinks; records are not secret, so nothing is overwritten.
base::Result<void> remove_segment(PrivateDirectory& directory, uint64_t number);

// read_records returns whole lines of at most `most` bytes from `offset` on but not beyond `end`, and how many; limit
// when not one fits; none at `end`, or where only bytes without a line end are left before it.
struct Records {
  std::string text;
  uint64_t count = 0;
};
base::Result<Records> read_records(int fd, uint64_t offset, uint64_t end, size_t most);

// skip_records returns the offset behind `count` lines, starting at 0; `end` when there are fewer.
base::Result<uint64_t> skip_records(int fd, uint64_t count, uint64_t end);

}  // namespace postern::keystore
