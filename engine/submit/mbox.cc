// SPDX-License-Identifier: Apache-2.0
// What is written for one message is the same at every attempt (sender, time and tag come from the caller), so the end
// of the file tells what an attempt that was cut short has left: a beginning of it, or all of it.
#include "engine/submit/mbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "engine/base/handle.h"
#include "engine/base/text.h"

namespace postern::submit {
namespace {

// The sender as it may stand in a "From " line.
std::string envelope_word(std::string_view sender) {
  std::string out;
  for (const char c : sender.substr(0, 320)) {
    if (static_cast<unsigned char>(c) > 0x20 && c != 0x7F) out += c;
  }
  return out.empty() ? std::string("MAILER-DAEMON") : out;
}

std::string mbox_text(std::string_view tag, std::string_view sender, int64_t time, std::string_view message) {
  std::string out = "From " + envelope_word(sender) + " " + base::mbox_date(time) + "\n";
  out += "X-Postern-Archived: " + base::one_line(tag) + "\n";
  out.reserve(out.size() + message.size() + message.size() / 64 + 2);
  while (!message.empty()) {
    const size_t end = std::min(message.find('\n'), message.size());
    std::string_view line = message.substr(0, end);
    message.remove_prefix(std::min(message.size(), end + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t quoted = line.find_first_not_of('>');
    if (quoted != std::string_view::npos && line.substr(quoted).starts_with("From ")) out += '>';
    out.append(line).append("\n");
  }
  return out + "\n";
}

// lock_file does not wait: whoever has the file locked may have it for long, and other mail is waiting.
base::Result<void> lock_file(int file, const std::string& path) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(file, F_OFD_SETLK, &lock) == 0) return {};
  if (errno != EAGAIN && errno != EACCES) return std::unexpected(base::system_error(path, errno));
  return base::fail(base::Cause::unavailable, path + ": another program has it locked");
}

base::Result<std::string> read_tail(int file, const std::string& path, uint64_t size, uint64_t most) {
  std::string tail(std::min(size, most), '\0');
  for (size_t done = 0; done < tail.size();) {
    const auto at = static_cast<off_t>(size - tail.size() + done);
    const ssize_t got = ::pread(file, tail.data() + done, tail.size() - done, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error(path, errno));
    if (got == 0) return base::fail(base::Cause::unavailable, path + ": it shrinks while we have it locked");
    done += static_cast<size_t>(got);
  }
  return tail;
}

// How many bytes at the end of `tail` are a beginning of `text` that stands where a message may begin.
size_t begun(std::string_view tail, bool from_start, std::string_view text) {
  for (size_t length = std::min(tail.size(), text.size()); length > 0; --length) {
    const size_t at = tail.size() - length;
    if (tail[at] != 'F') continue;
    const bool starts = at == 0 ? from_start : tail.substr(0, at).ends_with("\n\n");
    if (starts && text.starts_with(tail.substr(at))) return length;
  }
  return 0;
}

}  // namespace

base::Result<void> append_mbox(const std::string& path, std::string_view tag, std::string_view sender, int64_t time,
                               std::string_view message) {
  const base::UniqueFd file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
  if (!file) return std::unexpected(base::system_error(path, errno));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return std::unexpected(base::system_error(path, errno));
  if (!S_ISREG(info.st_mode)) return base::fail(base::Cause::misconfigured, path + ": is no file");
  if (auto locked = lock_file(file.get(), path); !locked) return locked;
  if (::fstat(file.get(), &info) != 0) return std::unexpected(base::system_error(path, errno));
  auto size = static_cast<uint64_t>(info.st_size);
  const uint64_t before = size;

  std::string text = mbox_text(tag, sender, time, message);
  auto tail = read_tail(file.get(), path, size, text.size() + 2);
  if (!tail) return std::unexpected(std::move(tail.error()));
  const size_t there = begun(*tail, size <= tail->size(), text);
  if (there < text.size()) {
    if (there != 0) {
      size -= there;
      tail->resize(tail->size() - there);
      if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
        return std::unexpected(base::system_error(path, errno));
      }
    }
    // Another program's last message may lack the empty line that ends it.
    if (size != 0 && !tail->ends_with("\n\n")) text.insert(0, tail->ends_with('\n') ? "\n" : "\n\n");
    for (size_t done = 0; done < text.size();) {
      const ssize_t wrote = ::write(file.get(), text.data() + done, text.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote > 0) {
        done += static_cast<size_t>(wrote);
        continue;
      }
      const int error = wrote == 0 ? ENOSPC : errno;
      if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
        return std::unexpected(base::system_error(path, errno));
      return std::unexpected(base::system_error(path, error));
    }
  }
  // Also where all of it was there: the attempt that wrote it may not have got this far.
  if (::fsync(file.get()) != 0) return std::unexpected(base::system_error(path, errno));
  if (before == 0) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
    const base::UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) return std::unexpected(base::system_error(folder, errno));
  }
  return {};
}

}  // namespace postern::submit
