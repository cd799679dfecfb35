// SPDX-License-Identifier: Apache-2.0
// Packed streams: one thing that came in packed, several one behind the other as its unpackers read them.
#include <archive.h>

#include "engine/base/text.h"
#include "engine/scan/worker/archive_reader.h"
#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/inflater.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

constexpr size_t kChunk = 64u << 10;

// inner_name is the name of what is in a packed stream: without the packing's extension, "x.tgz" being "x.tar".
std::string inner_name(std::string_view name) {
  const std::string plain = plain_name(name);
  struct Row {
    std::string_view from;
    std::string_view to;
  };
  constexpr Row kRows[] = {{".tgz", ".tar"}, {".tbz", ".tar"},  {".tbz2", ".tar"}, {".txz", ".tar"}, {".tlz", ".tar"},
                           {".taz", ".tar"}, {".tzst", ".tar"}, {".svgz", ".svg"}, {".emz", ".emf"}, {".wmz", ".wmf"},
                           {".gz", ""},      {".bz2", ""},      {".xz", ""},       {".lzma", ""},    {".lz", ""},
                           {".zst", ""},     {".lz4", ""},      {".z", ""}};
  for (const Row& row : kRows) {
    if (!plain.ends_with(row.from) || plain.size() == row.from.size()) continue;
    return plain.substr(0, plain.size() - row.from.size()) + std::string(row.to);
  }
  return {};
}

// inflate_all unpacks one stream from the front of `rest` and cuts it off; false: nothing more can be read.
bool inflate_all(std::string_view& rest, Inflater::Format format, Unpack& unpack) {
  Inflater inflater(rest, format);
  const uint64_t before = unpack.given() - rest.size();
  while (inflater.going()) {
    char* room = unpack.fill(kChunk);
    if (room == nullptr) break;
    const size_t got = inflater.next(room, kChunk);
    unpack.consumed(before + inflater.used() + kChunk);
    if (!unpack.keep(got)) break;
  }
  rest.remove_prefix(inflater.used());
  unpack.set_reason(inflater.reason());
  return inflater.ended();
}

// The file name in a gzip header (RFC 1952): behind the extra field when that is there.
std::string_view gzip_name(std::string_view bytes) {
  const uint8_t flags = byte_at(bytes, 3);
  uint64_t at = 10;
  if ((flags & 4) != 0) at += 2 + little16(bytes, 10);
  if ((flags & 8) == 0 || at >= bytes.size()) return {};
  const std::string_view rest = bytes.substr(at, 1024);
  return rest.substr(0, rest.find('\0'));
}

}  // namespace

void read_gzip(Context& context) {
  std::string_view rest = context.bytes();
  const std::string_view stated = gzip_name(rest);
  Unpack unpack(context);
  // Members that follow are read on into one thing, as gzip does. What is no member is not packed and ignored by gzip,
  // but might be read by others.
  while (inflate_all(rest, Inflater::Format::gzip, unpack) && has(rest, 0, "\x1f\x8b")) {
  }
  const std::string name = stated.empty() ? inner_name(context.leaf().name) : std::string(stated);
  if (unpack.reason() == Reason::none && rest.find_first_not_of('\0') != std::string_view::npos) {
    context.mark(Mark::inconsistent);
    rest.remove_prefix(rest.find_first_not_of('\0'));
    if (!unpack.give(name)) return;
    unpack.give_view(rest, "trailing");
    return;
  }
  unpack.give(name);
}

void read_zlib(Context& context) {
  std::string_view rest = context.bytes();
  Unpack unpack(context);
  inflate_all(rest, Inflater::Format::zlib, unpack);
  unpack.give(inner_name(context.leaf().name));
}

void read_stream(Context& context) {
  struct Row {
    FileType type;
    int filter;
  };
  constexpr Row kRows[] = {{FileType::bz2, ARCHIVE_FILTER_BZIP2},        {FileType::xz, ARCHIVE_FILTER_XZ},
                           {FileType::lzma, ARCHIVE_FILTER_LZMA},        {FileType::lzip, ARCHIVE_FILTER_LZIP},
                           {FileType::zstd, ARCHIVE_FILTER_ZSTD},        {FileType::lz4, ARCHIVE_FILTER_LZ4},
                           {FileType::compress, ARCHIVE_FILTER_COMPRESS}};
  const std::string_view bytes = context.bytes();
  for (const Row& row : kRows) {
    if (!context.leaf().is(row.type)) continue;
    // Only its present format is read; older ones have other marks.
    if (row.type == FileType::zstd && byte_at(bytes, 0) >= 0x1e && byte_at(bytes, 0) <= 0x27) {
      context.fail(Reason::unsupported);
      continue;
    }
    Unpack unpack(context);
    decode_stream(bytes, row.filter, unpack);
    if (!unpack.give(inner_name(context.leaf().name))) return;
  }
}

void read_unsupported(Context& context) { context.fail(Reason::unsupported); }

}  // namespace postern::scan::worker
