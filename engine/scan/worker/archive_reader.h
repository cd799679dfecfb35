// SPDX-License-Identifier: Apache-2.0
// ArchiveReader: libarchive over bytes in memory, one format at a time and no file ever. What of it must not be called
// is not offered here.
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {

class ArchiveReader {
 public:
  using Enable = int (*)(archive*);
  // A reader of one format. `filter` is what the whole is packed by, ARCHIVE_FILTER_NONE for nothing.
  explicit ArchiveReader(Enable format, int filter = ARCHIVE_FILTER_NONE);
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;
  ~ArchiveReader();

  // open takes the bytes as pieces that stand one behind the other; they must stay good.
  bool open(std::span<const std::string_view> pieces);
  bool open(std::string_view bytes) { return open(std::span(&bytes, 1)); }
  // next goes to the next entry and returns libarchive's answer.
  int next(archive_entry*& entry);
  // begin_of_entry tells where the heads of the entry begin.
  uint64_t begin_of_entry() const;
  // read unpacks the entry; what goes wrong is the thing's reason.
  void read(Unpack& unpack);
  // lenient has warnings of content ignored, for who checks what comes out himself.
  void lenient() { lenient_ = true; }
  // dead tells whether reading an entry failed such that libarchive must not be asked for the next.
  bool dead() const { return dead_; }
  // reason tells what libarchive's last error means.
  Reason reason() const;

 private:
  struct Source {
    std::vector<std::string_view> pieces;
    uint64_t at = 0;
    uint64_t size = 0;
  };
  static la_ssize_t give(archive*, void* data, const void** out);
  static la_int64_t seek(archive*, void* data, la_int64_t offset, int whence);
  static la_int64_t skip(archive*, void* data, la_int64_t count);

  archive* archive_;
  Source source_;
  bool ready_ = false;
  bool dead_ = false;
  bool stream_ = false;  // one compressed stream, read from its begin to its end
  bool lenient_ = false;
};

// entry_name returns an entry's name, UTF-8 where libarchive can tell, else as it stands; never null.
std::string entry_name(archive_entry* entry);

// is_false_link tells whether an entry that its mode calls a link has content that is no path. Such content is taken
// for the target by libarchive, and for a file by programs that make no links.
bool is_false_link(archive_entry* entry);

// decode_stream unpacks one packed stream of filter `filter`.
void decode_stream(std::string_view bytes, int filter, Unpack& unpack);

}  // namespace postern::scan::worker
