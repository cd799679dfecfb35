// SPDX-License-Identifier: Apache-2.0
// Durable files below one directory descriptor.
#include "keystore/private_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "engine/base/io.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;
using base::UniqueFd;

namespace {

constexpr std::string_view kTemporaryPrefix = ".";
constexpr std::string_view kTemporarySuffix = ".new";

std::string temporary_name(std::string_view name) {
  return std::string(kTemporaryPrefix) + std::string(name) + std::string(kTemporarySuffix);
}

std::unexpected<base::Error> errno_error(std::string_view doing, std::string_view path) {
  const int number = errno;
  return std::unexpected(base::system_error(fmt::format("{} {}", doing, path), number));
}

// One pass, then fsync. More passes add nothing on a magnetic disk of this century; on flash, and on file systems that
// copy on write, not even one pass is sure to reach the cells that held the bytes. There the protection is that this is
// 32 bytes on which everything else hangs, and a systemd credential (sealed by a TPM) where the settings name one.
bool overwrite(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return false;
  const std::string zeros(4096, '\0');
  if (::lseek(fd, 0, SEEK_SET) != 0) return false;
  for (off_t left = info.st_size; left > 0;) {
    const size_t piece = left < static_cast<off_t>(zeros.size()) ? static_cast<size_t>(left) : zeros.size();
    if (!base::write_all(fd, {zeros.data(), piece})) return false;
    left -= static_cast<off_t>(piece);
  }
  return ::fsync(fd) == 0;
}

}  // namespace

Result<PrivateDirectory> PrivateDirectory::open(const std::string& path, bool make) {
  if (make && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_error("making", path);
  PrivateDirectory out;
  out.path_ = path;
  out.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!out.fd_) return errno_error("opening the directory", path);
  struct stat info{};
  if (::fstat(out.fd(), &info) != 0) return errno_error("looking at", path);
  if (info.st_uid != ::geteuid() || (info.st_mode & 07777) != 0700) {
    return fail(Cause::denied,
                fmt::format("{} must belong to uid {} with mode 0700; it belongs to uid {} with mode {:04o}", path,
                            ::geteuid(), info.st_uid, info.st_mode & 07777));
  }
  return out;
}

Result<std::vector<std::string>> PrivateDirectory::names() const {
  // A descriptor of its own: reading moves the position, which a duplicate would share.
  const int fd = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const stream = fd < 0 ? nullptr : ::fdopendir(fd);
  if (stream == nullptr) {
    auto error = errno_error("reading the directory", path_);
    if (fd >= 0) ::close(fd);
    return error;
  }
  std::vector<std::string> out;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") out.emplace_back(name);
    errno = 0;
  }
  const int number = errno;
  ::closedir(stream);
  if (number != 0) return std::unexpected(base::system_error("reading the directory " + path_, number));
  return out;
}

bool PrivateDirectory::exists(std::string_view name) const {
  struct stat info{};
  return ::fstatat(fd_.get(), std::string(name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

Result<UniqueFd> PrivateDirectory::open_file(std::string_view name, int flags) const {
  // O_NONBLOCK: a FIFO in the file's place must not hold us up.
  UniqueFd fd(::openat(fd_.get(), std::string(name).c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!fd) return errno_error("opening", path_of(name));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return errno_error("looking at", path_of(name));
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 07777) != 0600) {
    return fail(Cause::denied,
                fmt::format("{} must be a plain file of uid {} with mode 0600; it belongs to uid {} with mode {:04o}",
                            path_of(name), ::geteuid(), info.st_uid, info.st_mode & 07777));
  }
  return fd;
}

Result<Secret> PrivateDirectory::read(std::string_view name, size_t most) const {
  auto fd = open_file(name, O_RDONLY);
  if (!fd) return std::unexpected(fd.error());
  struct stat info{};
  if (::fstat(fd->get(), &info) != 0) return errno_error("looking at", path_of(name));
  const size_t size = static_cast<size_t>(info.st_size);
  if (size > most) {
    return fail(Cause::limit, fmt::format("{} has {} bytes, more than the {} allowed", path_of(name), size, most));
  }
  Secret out = Secret::sized(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t count = ::read(fd->get(), out.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("reading", path_of(name));
    if (count == 0) return fail(Cause::malformed, path_of(name) + " shrank while it was read");
    done += static_cast<size_t>(count);
  }
  return out;
}

Result<void> PrivateDirectory::write(std::string_view name, std::string_view content) {
  const std::string temporary = temporary_name(name);
  // What an earlier failed write() could not clean up.
  if (exists(temporary)) {
    if (auto removed = remove(temporary); !removed) return removed;
  }
  const UniqueFd fd(::openat(fd_.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return errno_error("making", path_of(temporary));
  return fill(fd.get(), temporary, name, content);
}

Result<void> PrivateDirectory::write_over(std::string_view spare, std::string_view name, std::string_view content) {
  // Under the temporary name first, so that what is half written is found and removed after a crash.
  const std::string temporary = temporary_name(name);
  if (::renameat(fd_.get(), std::string(spare).c_str(), fd_.get(), temporary.c_str()) != 0) {
    return errno_error("taking", path_of(spare));
  }
  auto fd = open_file(temporary, O_WRONLY);
  if (!fd) return std::unexpected(fd.error());
  return fill(fd->get(), temporary, name, content);
}

// fill writes `content` to the open file `temporary` and gives it its name.
Result<void> PrivateDirectory::fill(int fd, const std::string& temporary, std::string_view name,
                                    std::string_view content) {
  const auto give_up = [&](std::string_view doing) -> Result<void> {
    auto error = errno_error(doing, path_of(name));
    (void)remove(temporary);
    return error;
  };
  // The umask may have taken rights away from us.
  if (::fchmod(fd, 0600) != 0) return give_up("setting the mode of");
  if (!base::write_all(fd, content)) return give_up("writing");
  if (::ftruncate(fd, static_cast<off_t>(content.size())) != 0) return give_up("cutting");
  if (::fsync(fd) != 0) return give_up("syncing");
  if (::renameat(fd_.get(), temporary.c_str(), fd_.get(), std::string(name).c_str()) != 0) return give_up("replacing");
  return sync();
}

Result<void> PrivateDirectory::remove(std::string_view name) {
  const std::string text(name);
  const UniqueFd fd(::openat(fd_.get(), text.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd && errno == ENOENT) return {};
  Result<void> outcome;
  if (!fd || !overwrite(fd.get())) outcome = errno_error("overwriting", path_of(name));
  if (::unlinkat(fd_.get(), text.c_str(), 0) != 0 && errno != ENOENT) return errno_error("removing", path_of(name));
  if (auto synced = sync(); !synced) return synced;
  return outcome;
}

Result<void> PrivateDirectory::discard(std::string_view name) {
  const std::string temporary = temporary_name(name);
  if (::renameat(fd_.get(), std::string(name).c_str(), fd_.get(), temporary.c_str()) != 0) {
    if (errno != ENOENT) return errno_error("removing", path_of(name));
  } else if (auto synced = sync(); !synced) {
    return synced;
  }
  return remove(temporary);
}

Result<void> PrivateDirectory::remove_leftovers() {
  auto all = names();
  if (!all) return std::unexpected(all.error());
  for (const std::string& name : *all) {
    if (!name.starts_with(kTemporaryPrefix) || !name.ends_with(kTemporarySuffix)) continue;
    if (auto removed = remove(name); !removed) return removed;
  }
  return {};
}

Result<void> PrivateDirectory::sync() const {
  if (::fsync(fd_.get()) != 0) return errno_error("syncing the directory", path_);
  return {};
}

}  // namespace postern::keystore
