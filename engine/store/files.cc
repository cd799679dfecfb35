// SPDX-License-Identifier: Apache-2.0
// Contents as files. There is no temporary name and no rename: a name is random, made with O_EXCL, and nobody looks at
// it before its row is there.
#include "engine/store/files.h"

#include "engine/base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace postern::store {

using base::Cause;
using base::fail;
using base::Result;
using base::UniqueFd;

namespace {

// Whatever kept a content from being stored, the mail can come again: never a final answer.
std::unexpected<base::Error> unavailable(const std::string& doing, int number) {
  return fail(Cause::unavailable, base::system_error(doing, number).text());
}

void close_directory(DIR* directory) { ::closedir(directory); }
using Directory = base::Handle<DIR, close_directory>;

bool good_name(std::string_view name) {
  return name.size() == 32 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Result<Files> Files::open(const std::string& directory, bool create) {
  const bool made = create && ::mkdir(directory.c_str(), 0700) == 0;
  if (create && !made && errno != EEXIST) return unavailable("making " + directory, errno);
  Files out;
  out.path_ = directory;
  out.directory_.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!out.directory_) return std::unexpected(base::system_error("opening " + directory, errno));
  if (!made) return out;
  const std::string above = directory.substr(0, directory.find_last_of('/') + 1);
  const UniqueFd parent(::open(above.empty() ? "." : above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent || ::fsync(parent.get()) != 0) return unavailable("syncing " + above, errno);
  return out;
}

// shelf opens the subdirectory that `name` belongs in.
Result<UniqueFd> Files::shelf(const std::string& name, bool make) const {
  if (!good_name(name)) return fail(Cause::internal, "'" + name + "' is no name of a content");
  const std::string prefix = name.substr(0, 2);
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd out(::openat(directory_.get(), prefix.c_str(), kFlags));
  if (out || errno != ENOENT || !make) {
    if (out) return out;
    return std::unexpected(base::system_error("opening " + path_ + "/" + prefix, errno));
  }
  if (::mkdirat(directory_.get(), prefix.c_str(), 0700) != 0 && errno != EEXIST) {
    return unavailable("making " + path_ + "/" + prefix, errno);
  }
  // Synced by whoever finds it missing, also when another made it first: the name must be durable before our file.
  if (::fsync(directory_.get()) != 0) return unavailable("syncing " + path_, errno);
  out.reset(::openat(directory_.get(), prefix.c_str(), kFlags));
  if (!out) return unavailable("opening " + path_ + "/" + prefix, errno);
  return out;
}

Result<void> Files::write(const std::string& name, const Source& content) const {
  auto directory = shelf(name, true);
  if (!directory) return fail(Cause::unavailable, directory.error().text());
  const UniqueFd file(
      ::openat(directory->get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return unavailable("making a file in " + path_, errno);
  const auto give_up = [&](std::string_view doing) {
    const int number = errno;
    ::unlinkat(directory->get(), name.c_str(), 0);
    return unavailable(std::string(doing) + " a file in " + path_, number);
  };
  const Result<void> written = content([&](std::string_view piece) -> Result<void> {
    return base::write_all(file.get(), piece) ? Result<void>() : unavailable("writing a file in " + path_, errno);
  });
  if (!written) {
    ::unlinkat(directory->get(), name.c_str(), 0);
    return written;
  }
  if (::fsync(file.get()) != 0) return give_up("syncing");
  if (::fsync(directory->get()) != 0) return give_up("syncing the name of");
  return {};
}

Result<std::string> Files::read(const std::string& name, uint64_t size) const {
  auto directory = shelf(name, false);
  if (!directory) return std::unexpected(std::move(directory.error()));
  const UniqueFd file(::openat(directory->get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return std::unexpected(base::system_error("opening a content in " + path_, errno));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return unavailable("looking at a content in " + path_, errno);
  if (static_cast<uint64_t>(info.st_size) != size) {
    return fail(Cause::internal,
                "content " + name + " has " + std::to_string(info.st_size) + " bytes, not " + std::to_string(size));
  }
  std::string out(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t count = ::read(file.get(), out.data() + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return unavailable("reading a content in " + path_, errno);
    if (count == 0) return fail(Cause::internal, "content " + name + " shrank while it was read");
    done += static_cast<size_t>(count);
  }
  return out;
}

Result<bool> Files::has(const std::string& name) const {
  auto directory = shelf(name, false);
  struct stat info{};
  if (directory && ::fstatat(directory->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (directory ? errno == ENOENT : directory.error().cause() == Cause::not_found) return false;
  return fail(Cause::unavailable, "looking for a content in " + path_);
}

void Files::remove(const std::string& name) const {
  // What stays is swept later.
  if (const auto directory = shelf(name, false)) ::unlinkat(directory->get(), name.c_str(), 0);
}

Result<size_t> Files::sweep(int64_t before, const std::function<Result<bool>(const std::string&)>& wanted) const {
  size_t removed = 0;
  for (int prefix = 0; prefix < 256; ++prefix) {
    char name[3] = {"0123456789abcdef"[prefix >> 4], "0123456789abcdef"[prefix & 15], '\0'};
    const int fd = ::openat(directory_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;
    const Directory entries(::fdopendir(fd));
    if (entries == nullptr) {
      ::close(fd);
      continue;
    }
    while (const dirent* entry = ::readdir(entries.get())) {
      struct stat info{};
      if (!good_name(entry->d_name) || ::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (info.st_mtime >= before) continue;
      const Result<bool> keep = wanted(entry->d_name);
      if (!keep) return std::unexpected(keep.error());
      if (!*keep && ::unlinkat(fd, entry->d_name, 0) == 0) ++removed;
    }
  }
  return removed;
}

}  // namespace postern::store
