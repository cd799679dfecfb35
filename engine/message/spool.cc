// SPDX-License-Identifier: Apache-2.0
// Spool: bytes stay in one string until `memory_bytes`, then go to an unlinked file that is mapped read-only at the
// end. The lease is charged with the string's capacity before it grows and gets it back when the file takes over, so
// the daemon's account never lags behind what is allocated; the pages of the file belong to the kernel's cache. A spool
// that failed once keeps failing: a message of which a piece is missing must never be looked at.
#include "engine/message/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <utility>

#include "engine/base/io.h"

namespace postern::message {

namespace {

using base::Cause;
using base::fail;

// Opens a file without a name in `directory`; file systems that cannot make one get a random name that is gone at once.
base::Result<base::UniqueFd> open_unlinked(const std::string& directory) {
  base::UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600));
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) {
    return std::unexpected(base::system_error("spool directory " + directory, errno));
  }
  std::string path = directory + "/spool-XXXXXX";
  file.reset(::mkostemp(path.data(), O_CLOEXEC));
  if (!file) return std::unexpected(base::system_error("spool directory " + directory, errno));
  if (::unlink(path.c_str()) != 0) return std::unexpected(base::system_error("spool file " + path, errno));
  return file;
}

base::Result<void> write(int fd, std::string_view bytes) {
  if (base::write_all(fd, bytes)) return {};
  return fail(Cause::unavailable, "spool file: " + base::system_error("write", errno).text());
}

}  // namespace

Spool::Spool(std::string directory, uint64_t memory_bytes, uint64_t max_bytes, base::MemoryLease* lease)
    : directory_(std::move(directory)), memory_bytes_(memory_bytes), max_bytes_(max_bytes), lease_(lease) {}

Spool::~Spool() { drop(); }

base::Result<void> Spool::append(std::string_view chunk) {
  size_ += chunk.size();
  if (over_limit_ || size_ > max_bytes_) {
    if (!over_limit_) {
      over_limit_ = true;
      drop();
    }
    return fail(Cause::limit, "message is larger than " + std::to_string(max_bytes_) + " bytes");
  }
  if (failed_) return fail(Cause::unavailable, "spool failed before");
  base::Result<void> stored = store(chunk);
  if (!stored) {
    failed_ = true;
    drop();
  }
  return stored;
}

base::Result<void> Spool::store(std::string_view chunk) {
  if (!file_ && size_ <= memory_bytes_) {
    if (size_ > charged_) {
      // The first chunk is most often the whole body: exactly its size. Later ones double, up to the memory part's end.
      const uint64_t wanted = charged_ == 0 ? size_ : std::min(memory_bytes_, std::max(size_, charged_ * 2));
      if (lease_ != nullptr && !lease_->grow(wanted - charged_)) {
        return fail(Cause::unavailable, "memory for messages in flight is used up");
      }
      charged_ = wanted;
      try {
        memory_.reserve(wanted);
      } catch (const std::bad_alloc&) {
        return fail(Cause::unavailable, "out of memory");
      } catch (const std::length_error&) {
        return fail(Cause::unavailable, "out of memory");
      }
    }
    memory_.append(chunk);
    return {};
  }
  if (!file_) {
    if (auto spilled = spill(); !spilled) return spilled;
  }
  return write(file_.get(), chunk);
}

base::Result<void> Spool::spill() {
  auto file = open_unlinked(directory_);
  if (!file) return fail(Cause::unavailable, std::move(file.error()).text());
  file_ = std::move(*file);
  auto written = write(file_.get(), memory_);
  release_memory();
  return written;
}

void Spool::release_memory() {
  std::string().swap(memory_);
  if (lease_ != nullptr) lease_->shrink(charged_);
  charged_ = 0;
}

base::Result<void> Spool::finish() {
  if (over_limit_) {
    return fail(Cause::limit, "message is larger than " + std::to_string(max_bytes_) + " bytes");
  }
  if (failed_) return fail(Cause::unavailable, "spool failed before");
  if (!file_) {
    view_ = memory_;
    return {};
  }
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.get(), 0);
  if (map == MAP_FAILED) {
    const int error = errno;
    failed_ = true;
    drop();
    return fail(Cause::unavailable, "spool file: " + base::system_error("mmap", error).text());
  }
  map_ = map;
  map_size_ = size_;
  view_ = std::string_view(static_cast<const char*>(map_), map_size_);
  return {};
}

void Spool::drop() {
  view_ = {};
  if (map_ != nullptr) ::munmap(map_, map_size_);
  map_ = nullptr;
  map_size_ = 0;
  file_.reset();
  release_memory();
}

}  // namespace postern::message
