// SPDX-License-Identifier: Apache-2.0
// Segment files of the audit log.
#include "keystore/audit_segments.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "keystore/audit_record.h"
#include "keystore/encoding.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".log";
constexpr size_t kPiece = 64u << 10;

std::optional<uint64_t> segment_number(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  // One name for one number.
  if (error != std::errc() || number == 0 || segment_name(number) != name) return std::nullopt;
  return number;
}

// read_at reads up to `count` bytes; fewer only at the end of the file.
Result<std::string> read_at(int fd, uint64_t offset, size_t count) {
  std::string out(count, '\0');
  size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(fd, out.data() + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error("reading the audit log", errno));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  out.resize(done);
  return out;
}

Result<uint64_t> size_of(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return std::unexpected(base::system_error("looking at the audit log", errno));
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

std::string segment_name(uint64_t number) { return fmt::format("{}{:06}{}", kPrefix, number, kSuffix); }

Result<std::vector<AuditSegment>> list_segments(const PrivateDirectory& directory) {
  auto names = directory.names();
  if (!names) return std::unexpected(names.error());
  std::vector<AuditSegment> out;
  for (const std::string& name : *names) {
    const auto number = segment_number(name);
    if (!number) continue;
    auto fd = directory.open_file(name, O_RDONLY);
    if (!fd) return std::unexpected(fd.error());
    auto size = size_of(fd->get());
    if (!size) return std::unexpected(size.error());
    auto head = read_at(fd->get(), 0, kMaxRecord);
    if (!head) return std::unexpected(head.error());
    AuditSegment segment{*number, 0, *size};
    const size_t end = head->find('\n');
    if (const auto record = parse_record(std::string_view(*head).substr(0, end)); record && end != std::string::npos) {
      segment.first = record->sequence;
    }
    out.push_back(segment);
  }
  std::ranges::sort(out, {}, &AuditSegment::number);
  return out;
}

Result<SegmentCheck> check_segment(const PrivateDirectory& directory, uint64_t number) {
  const std::string name = segment_name(number);
  auto fd = directory.open_file(name, O_RDONLY);
  if (!fd) return std::unexpected(fd.error());
  auto size = size_of(fd->get());
  if (!size) return std::unexpected(size.error());
  if (*size > 2 * kMaxSegment) return fail(Cause::limit, directory.path_of(name) + " is too large");
  auto text = read_at(fd->get(), 0, *size);
  if (!text) return std::unexpected(text.error());

  SegmentCheck out;
  ChainReader chain("");
  std::string_view rest = *text;
  for (size_t end = rest.find('\n'); end != std::string_view::npos && chain.next(rest.substr(0, end));
       end = rest.find('\n')) {
    rest.remove_prefix(end + 1);
  }
  out.records = chain.count();
  out.last = chain.sequence();
  out.hash = chain.hash();
  out.end = text->size() - rest.size();
  if (rest.empty()) return out;
  // A power cut leaves an unfinished line, or zeros where pages had not been written yet. Whole lines that do not
  // follow each other are somebody's work.
  if (rest.find('\n') != std::string_view::npos && rest.find('\0') == std::string_view::npos) {
    return fail(
        Cause::malformed,
        fmt::format("{} was changed or is damaged after record {}: keep it as evidence and move it away with the "
                    "rest of its directory to begin a new log",
                    directory.path_of(name), out.last));
  }
  out.torn = rest.size();
  out.torn_hash = to_hex(sha256(rest));
  return out;
}

Result<Room> take_room(int fd, uint64_t bytes) {
  int done = 0;
  do {
    done = ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
  } while (done != 0 && errno == EINTR);
  if (done == 0) return Room::taken;
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return Room::unsupported;
  return std::unexpected(base::system_error("taking room for the audit log", errno));
}

Result<NewSegment> make_segment(PrivateDirectory& directory, uint64_t number, uint64_t bytes) {
  const std::string name = segment_name(number);
  auto fd = directory.open_file(name, O_RDWR | O_CREAT);
  if (!fd) return std::unexpected(fd.error());
  auto size = size_of(fd->get());
  if (!size) return std::unexpected(size.error());
  // Empty: what a failure between making and removing left.
  if (*size != 0) return fail(Cause::internal, directory.path_of(name) + " is there already");
  auto room = take_room(fd->get(), bytes);
  Result<void> synced;
  if (room) {
    if (::fsync(fd->get()) != 0)
      synced = std::unexpected(base::system_error("syncing " + directory.path_of(name), errno));
    if (synced) synced = directory.sync();
  }
  if (room && synced) return NewSegment{std::move(*fd), *room};
  (void)::unlinkat(directory.fd(), name.c_str(), 0);
  return std::unexpected(room ? synced.error() : room.error());
}

Result<void> remove_segment(PrivateDirectory& directory, uint64_t number) {
  const std::string name = segment_name(number);
  if (::unlinkat(directory.fd(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return std::unexpected(base::system_error("removing " + directory.path_of(name), errno));
  }
  return directory.sync();
}

Result<Records> read_records(int fd, uint64_t offset, uint64_t end, size_t most) {
  Records out;
  if (offset >= end) return out;
  const size_t count = std::min<uint64_t>(most, end - offset);
  auto text = read_at(fd, offset, count);
  if (!text) return std::unexpected(text.error());
  const size_t last = text->rfind('\n');
  if (last == std::string::npos) {
    if (count < end - offset) return fail(Cause::limit, fmt::format("a record is longer than {} bytes", most));
    return out;
  }
  text->resize(last + 1);
  out.count = static_cast<uint64_t>(std::ranges::count(*text, '\n'));
  out.text = std::move(*text);
  return out;
}

Result<uint64_t> skip_records(int fd, uint64_t count, uint64_t end) {
  uint64_t offset = 0;
  while (count > 0 && offset < end) {
    auto text = read_at(fd, offset, std::min<uint64_t>(kPiece, end - offset));
    if (!text) return std::unexpected(text.error());
    if (text->empty()) break;
    size_t position = 0;
    while (count > 0) {
      const size_t found = text->find('\n', position);
      if (found == std::string::npos) break;
      position = found + 1;
      --count;
    }
    offset += count == 0 ? position : text->size();
  }
  return count == 0 ? offset : end;
}

}  // namespace postern::keystore
