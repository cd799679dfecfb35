// SPDX-License-Identifier: Apache-2.0
// Microsoft's help files (CHM) and single packed files (SZDD, KWAJ), by libmspack. It works on files by name; here
// every name that is read is the leaf, in memory, and every name that is written is what is unpacked.
#include <mspack.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/scan/worker/bytes.h"
#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/filetype.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

// The largest window of LZX is 2 MiB; anything larger that is asked for comes out of a broken header.
constexpr size_t kMostOfOne = 8u << 20;

// Files is the system libmspack works in.
struct Files {
  mspack_system system;  // first: libmspack hands a pointer to it back
  std::string_view bytes;
  Unpack* unpack;
  Budget* budget;
  Reason reason;  // why a file cannot be read any further
};

// Opened is an open file of it.
struct Opened {
  Files* files;
  bool write;
  off_t at;
};

Files& files_of(mspack_system* system) { return *reinterpret_cast<Files*>(system); }
Opened& opened(mspack_file* file) { return *reinterpret_cast<Opened*>(file); }

mspack_file* open_file(mspack_system* system, const char*, int mode) {
  auto* made = static_cast<Opened*>(std::malloc(sizeof(Opened)));
  if (made == nullptr) return nullptr;
  *made = {&files_of(system), mode != MSPACK_SYS_OPEN_READ, 0};
  return reinterpret_cast<mspack_file*>(made);
}

void close_file(mspack_file* file) { std::free(file); }

int read_file(mspack_file* file, void* buffer, int count) {
  Opened& from = opened(file);
  if (from.write || count < 0) return -1;
  // What is passed over is unpacked too, and nobody is told of it but here.
  if (from.files->budget->expired()) {
    from.files->reason = Reason::time;
    return -1;
  }
  const std::string_view got = slice(from.files->bytes, static_cast<uint64_t>(from.at), static_cast<uint64_t>(count));
  if (!got.empty()) std::memcpy(buffer, got.data(), got.size());
  from.at += static_cast<off_t>(got.size());
  return static_cast<int>(got.size());
}

int write_file(mspack_file* file, void* buffer, int count) {
  Opened& to = opened(file);
  if (!to.write || count < 0) return -1;
  const std::string_view more(static_cast<const char*>(buffer), static_cast<size_t>(count));
  return to.files->unpack->append(more) ? count : -1;
}

int seek_file(mspack_file* file, off_t offset, int mode) {
  Opened& in = opened(file);
  const auto size = static_cast<off_t>(in.files->bytes.size());
  const off_t base = mode == MSPACK_SYS_SEEK_START ? 0 : mode == MSPACK_SYS_SEEK_CUR ? in.at : size;
  if (in.write || offset < -base || offset > size - base) return -1;
  in.at = base + offset;
  return 0;
}

off_t tell_file(mspack_file* file) { return opened(file).at; }

void ignore_message(mspack_file*, const char*, ...) {}

void* allocate(mspack_system*, size_t bytes) { return bytes > kMostOfOne ? nullptr : std::malloc(bytes); }

void copy_bytes(void* from, void* to, size_t bytes) { std::memcpy(to, from, bytes); }

Files files_in(Context& context, Unpack& unpack) {
  return {{open_file, close_file, read_file, write_file, seek_file, tell_file, ignore_message, allocate, std::free,
           copy_bytes, nullptr},
          context.bytes(),
          &unpack,
          &context.budget(),
          Reason::none};
}

// reason_of is what an error of libmspack means; what was stopped here has its reason already.
Reason reason_of(int error, const Files& files) {
  if (error == MSPACK_ERR_OK) return Reason::none;
  if (files.reason != Reason::none) return files.reason;
  return error == MSPACK_ERR_NOMEMORY ? Reason::memory : Reason::corrupt;
}

template <typename Library>
using Owned = std::unique_ptr<Library, void (*)(Library*)>;

// read_packed_file unpacks the one file of an SZDD or KWAJ file. `name_of` makes its name from the header.
template <typename Library, typename NameOf>
void read_packed_file(Context& context, Library* (*create)(mspack_system*), void (*destroy)(Library*), NameOf name_of) {
  Unpack unpack(context);
  Files files = files_in(context, unpack);
  const Owned<Library> library(create(&files.system), destroy);
  if (library == nullptr) return context.fail(Reason::memory);
  const auto close = [&](auto* header) { library->close(library.get(), header); };
  const std::unique_ptr<std::remove_pointer_t<decltype(library->open(nullptr, nullptr))>, decltype(close)> header(
      library->open(library.get(), ""), close);
  if (header == nullptr) return context.fail(reason_of(library->last_error(library.get()), files));
  unpack.begin();
  unpack.set_reason(reason_of(library->extract(library.get(), header.get(), ""), files));
  // Where data ends early, libmspack takes it for the end.
  const off_t size = header->length;
  if (size > 0 && unpack.bytes().size() != static_cast<uint64_t>(size)) unpack.set_reason(Reason::corrupt);
  unpack.give(name_of(*header));
}

// with_missing_letter is the name of a file before compress.exe put '_' in place of its last letter.
std::string with_missing_letter(std::string_view packed_name, char letter) {
  std::string name = plain_name(packed_name);
  if (!name.ends_with('_')) return name;
  name.pop_back();
  if (letter > ' ' && letter < '\x7f') name += letter;
  return name;
}

}  // namespace

void read_mscompress(Context& context) {
  const std::string& own = context.leaf().name;
  if (has(context.bytes(), 0, "KWAJ")) {
    return read_packed_file(
        context, mspack_create_kwaj_decompressor, mspack_destroy_kwaj_decompressor, [&](const mskwajd_header& header) {
          return header.filename != nullptr ? std::string(header.filename) : with_missing_letter(own, '\0');
        });
  }
  read_packed_file(context, mspack_create_szdd_decompressor, mspack_destroy_szdd_decompressor,
                   [&](const msszddd_header& header) { return with_missing_letter(own, header.missing_char); });
}

void read_chm(Context& context) {
  Unpack unpack(context);
  Files files = files_in(context, unpack);
  const Owned<mschm_decompressor> library(mspack_create_chm_decompressor(&files.system),
                                          mspack_destroy_chm_decompressor);
  if (library == nullptr) return context.fail(Reason::memory);
  const auto close = [&](mschmd_header* header) { library->close(library.get(), header); };
  const std::unique_ptr<mschmd_header, decltype(close)> header(library->open(library.get(), ""), close);
  if (header == nullptr) return context.fail(reason_of(library->last_error(library.get()), files));
  // In the order in which they stand: to go back is to unpack again from the beginning.
  std::vector<mschmd_file*> members;
  for (mschmd_file* file = header->files; file != nullptr; file = file->next) {
    if (file->length > 0) members.push_back(file);
  }
  std::ranges::sort(members, [](const mschmd_file* a, const mschmd_file* b) {
    return std::pair(a->section->id, a->offset) < std::pair(b->section->id, b->offset);
  });
  constexpr size_t kMostBroken = 100;
  size_t broken = 0;
  const mschmd_file* before = nullptr;
  for (mschmd_file* member : members) {
    const bool shares =
        before != nullptr && before->section == member->section && member->offset < before->offset + before->length;
    before = member;
    if (shares) {
      context.mark(Mark::inconsistent);
      context.fail(Reason::overlap);
      return;
    }
    unpack.begin();
    unpack.set_reason(reason_of(library->extract(library.get(), member, ""), files));
    if (unpack.reason() == Reason::none && unpack.bytes().size() != static_cast<uint64_t>(member->length)) {
      unpack.set_reason(Reason::corrupt);
    }
    // Each begins the unpacking anew.
    if (unpack.reason() != Reason::none && ++broken == kMostBroken) context.fail(unpack.reason());
    if (!unpack.give(member->filename) || broken == kMostBroken) return;
  }
}

}  // namespace postern::scan::worker
