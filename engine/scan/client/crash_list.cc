// SPDX-License-Identifier: Apache-2.0
// The file has a line an entry, "SHA-256 SIZE TIME", and is replaced as a whole: by rename, synced before and after.
#include "engine/scan/client/crash_list.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>

#include "engine/base/handle.h"
#include "engine/base/io.h"
#include "engine/base/text.h"

namespace postern::scan {

using base::Result;
using base::system_error;
using base::UniqueFd;

namespace {

constexpr size_t kMaxLine = 128;
constexpr std::string_view kDigits = "0123456789abcdef";

std::array<char, 32> digest_of(std::string_view bytes) {
  std::array<char, 32> digest{};
  unsigned length = 0;
  // It fails for want of memory only; the entry is then another content's, and no harm is done by that.
  ::EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &length, ::EVP_sha256(),
               nullptr);
  return digest;
}

std::string hex(const std::array<char, 32>& digest) {
  std::string out;
  for (const char c : digest) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool read_digest(std::string_view text, std::array<char, 32>& digest) {
  if (text.size() != 2 * digest.size() || text.find_first_not_of(kDigits) != std::string_view::npos) return false;
  for (size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<char>(kDigits.find(text[2 * i]) << 4 | kDigits.find(text[2 * i + 1]));
  }
  return true;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) { return hex(digest_of(bytes)); }

CrashList::CrashList(std::string path) : path_(std::move(path)) {
  if (!path_.empty()) load();
}

CrashList::Entry CrashList::entry_of(std::string_view bytes) {
  Entry entry;
  entry.size = bytes.size();
  entry.digest = digest_of(bytes);
  entry.time = std::time(nullptr);
  return entry;
}

void CrashList::load() {
  const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat info{};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return;
  std::string text(kMost * kMaxLine, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<size_t>(got);
  }
  text.resize(filled);
  const int64_t now = std::time(nullptr);
  auto entries = entries_.lock();
  for (const std::string_view line : base::split(text, '\n')) {
    const std::vector<std::string_view> words = base::split(line, ' ');
    if (words.size() != 3 || entries->listed.size() == kMost) continue;
    Entry entry;
    const auto size = number<uint64_t>(words[1]);
    const auto time = number<int64_t>(words[2]);
    if (!size || !time || !read_digest(words[0], entry.digest)) continue;
    // A time in the future is a clock's fault; the entry ages from now on.
    entry.size = *size;
    entry.time = std::min(*time, now);
    if (now - entry.time < kKeepSeconds) entries->listed.push_back(entry);
  }
}

bool CrashList::lists(std::string_view bytes) {
  {
    // A digest costs more than handing a content over; mostly none is of its size.
    const auto entries = entries_.lock();
    const auto same = [&](const Entry& entry) { return entry.size == bytes.size(); };
    if (std::ranges::none_of(entries->listed, same)) return false;
  }
  const Entry wanted = entry_of(bytes);
  auto entries = entries_.lock();
  std::erase_if(entries->listed, [&](const Entry& entry) { return wanted.time - entry.time >= kKeepSeconds; });
  return std::ranges::find(entries->listed, wanted) != entries->listed.end();
}

Result<bool> CrashList::add(std::string_view bytes, bool twice) {
  const Entry entry = entry_of(bytes);
  auto entries = entries_.lock();
  if (std::ranges::find(entries->listed, entry) != entries->listed.end()) return true;
  if (std::erase(entries->once, entry) == 0 && !twice) {
    if (entries->once.size() == kMost) entries->once.pop_front();
    entries->once.push_back(entry);
    return false;
  }
  if (entries->listed.size() == kMost) entries->listed.pop_front();
  entries->listed.push_back(entry);
  if (path_.empty()) return true;
  // Under the lock: files must not overtake each other, and a crash is rare.
  if (Result<void> stored = store(entries->listed); !stored) return std::unexpected(std::move(stored.error()));
  return true;
}

void CrashList::forget(std::string_view bytes) {
  const Entry entry = entry_of(bytes);
  std::erase(entries_.lock()->once, entry);
}

size_t CrashList::size() { return entries_.lock()->listed.size(); }

Result<void> CrashList::store(const std::deque<Entry>& listed) const {
  std::string text;
  for (const Entry& entry : listed) {
    text += hex(entry.digest) + " " + std::to_string(entry.size) + " " + std::to_string(entry.time) + "\n";
  }
  const std::string temporary = path_ + ".new";
  const auto failed = [&](std::string_view doing) {
    const int number = errno;
    ::unlink(temporary.c_str());
    return std::unexpected(system_error(std::string(doing) + " " + path_, number));
  };
  ::unlink(temporary.c_str());
  UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file || !base::write_all(file.get(), text) || ::fsync(file.get()) != 0) return failed("writing");
  file.reset();
  if (::rename(temporary.c_str(), path_.c_str()) != 0) return failed("replacing");
  const size_t slash = path_.find_last_of('/');
  const std::string above = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const UniqueFd directory(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) {
    return std::unexpected(system_error("syncing the folder of " + path_, errno));
  }
  return {};
}

}  // namespace postern::scan
