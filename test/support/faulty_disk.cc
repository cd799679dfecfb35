// SPDX-License-Identifier: Apache-2.0
// The interposed calls. Their libc namesakes are found by dlsym on first use. Files under /proc, /sys, /dev and
// standard output and error are never touched.
#include "test/support/faulty_disk.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace {

std::atomic<uint64_t> calls_made{0};
std::atomic<uint64_t> first_failing{0};
std::atomic<uint64_t> last_failing{0};
std::atomic<int> failing_with{0};
std::atomic<bool> is_full{false};
std::atomic<bool> freed_by_unlink{false};
std::atomic<bool> no_fallocate{false};
std::atomic<bool> bad_sync{false};

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// Counts a call; true when it is to fail, with errno set.
bool counted_failure() {
  const uint64_t number = ++calls_made;
  if (first_failing == 0 || number < first_failing || number > last_failing) return false;
  errno = failing_with;
  return true;
}

bool plain_file(int fd) {
  struct stat info{};
  return fd > 2 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

// What the file holds on disk, reserved or used, in bytes.
off_t room_of(int fd) {
  struct stat info{};
  return fstat(fd, &info) == 0 ? info.st_blocks * 512 : 0;
}

bool no_room(int fd, off_t end) {
  if (!is_full || end <= room_of(fd)) return false;
  errno = ENOSPC;
  return true;
}

}  // namespace

namespace postern::test {

void FaultyDisk::fail_call(uint64_t k, int error_number, uint64_t times) {
  calls_made = 0;
  failing_with = error_number;
  last_failing = times == 0 ? UINT64_MAX : k + times - 1;
  first_failing = k;
}

uint64_t FaultyDisk::calls() { return calls_made; }

void FaultyDisk::fill(bool unlink_frees) {
  freed_by_unlink = unlink_frees;
  is_full = true;
}

void FaultyDisk::without_fallocate() { no_fallocate = true; }
void FaultyDisk::fail_sync() { bad_sync = true; }

void FaultyDisk::heal() {
  first_failing = 0;
  calls_made = 0;
  is_full = false;
  no_fallocate = false;
  bad_sync = false;
}

}  // namespace postern::test

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  static auto* const next = real<ssize_t(int, const void*, size_t)>("write");
  if (plain_file(fd)) {
    if (counted_failure()) return -1;
    if (no_room(fd, lseek(fd, 0, SEEK_CUR) + static_cast<off_t>(size))) return -1;
  }
  return next(fd, data, size);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static auto* const next = real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  if (counted_failure() || no_room(fd, offset + static_cast<off_t>(size))) return -1;
  return next(fd, data, size, offset);
}

// The names that libraries built with 64-bit offsets call.
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  static auto* const next = real<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  if (counted_failure() || no_room(fd, offset + static_cast<off_t>(size))) return -1;
  return next(fd, data, size, offset);
}

int ftruncate64(int fd, off64_t size) noexcept {
  static auto* const next = real<int(int, off64_t)>("ftruncate64");
  if (counted_failure()) return -1;
  return next(fd, size);
}

int open64(const char* path, int flags, ...) {
  static auto* const next = real<int(const char*, int, ...)>("open64");
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (counted_failure()) return -1;
    if (is_full && access(path, F_OK) != 0) {
      errno = ENOSPC;
      return -1;
    }
  }
  return next(path, flags, mode);
}

int mkdirat(int directory, const char* path, mode_t mode) noexcept {
  static auto* const next = real<int(int, const char*, mode_t)>("mkdirat");
  if (counted_failure()) return -1;
  if (is_full) {
    errno = ENOSPC;
    return -1;
  }
  return next(directory, path, mode);
}

int fsync(int fd) {
  static auto* const next = real<int(int)>("fsync");
  if (counted_failure()) return -1;
  if (bad_sync && plain_file(fd)) {
    errno = EIO;
    return -1;
  }
  return next(fd);
}

int fdatasync(int fd) {
  static auto* const next = real<int(int)>("fdatasync");
  if (counted_failure()) return -1;
  if (bad_sync && plain_file(fd)) {
    errno = EIO;
    return -1;
  }
  return next(fd);
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) {
  static auto* const next = real<int(int, const char*, int, const char*)>("renameat");
  if (counted_failure()) return -1;
  return next(from_directory, from, to_directory, to);
}

int unlinkat(int directory, const char* path, int flags) {
  static auto* const next = real<int(int, const char*, int)>("unlinkat");
  if (counted_failure()) return -1;
  const int done = next(directory, path, flags);
  // A temporary file on a full disk holds nothing that could be given back.
  if (done == 0 && freed_by_unlink && path[0] != '.') is_full = false;
  return done;
}

int openat(int directory, const char* path, int flags, ...) {
  static auto* const next = real<int(int, const char*, int, ...)>("openat");
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (counted_failure()) return -1;
    if (is_full && faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
      errno = ENOSPC;
      return -1;
    }
  }
  return next(directory, path, flags, mode);
}

int ftruncate(int fd, off_t size) noexcept {
  static auto* const next = real<int(int, off_t)>("ftruncate");
  if (counted_failure()) return -1;
  return next(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  static auto* const next = real<int(int, int, off_t, off_t)>("fallocate");
  if (counted_failure()) return -1;
  if (no_fallocate) {
    errno = EOPNOTSUPP;
    return -1;
  }
  if (no_room(fd, offset + size)) return -1;
  return next(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size) {
  static auto* const next = real<int(int, off_t, off_t)>("posix_fallocate");
  if (counted_failure() || no_room(fd, offset + size)) return errno;
  return next(fd, offset, size);
}

}  // extern "C"
