// SPDX-License-Identifier: Apache-2.0
// memory-scan PATTERNS (pid:N | file:PATH)…: looks for any 16-byte window of the secrets in PATTERNS (each a 32-bit
// big-endian length and bytes) in the memory of processes, all that can be read, and in files. Prints "TARGET HITS
// BYTES" a line; exit status 1 when there is any hit, 69 when a target could not be read at all.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t kWindow = 16;
constexpr size_t kChunk = 1u << 20;

// Windows holds every 16-byte window of every secret, found by its first eight bytes. A filter of one bit for each
// value of the first three bytes spares most look-ups.
class Windows {
 public:
  void add(std::string_view secret) {
    for (size_t i = 0; i + kWindow <= secret.size(); ++i) {
      const char* window = secret.data() + i;
      uint64_t head = 0;
      std::memcpy(&head, window, sizeof head);
      // A run of one byte stands everywhere and says nothing.
      if (std::string_view(window, kWindow).find_first_not_of(window[0]) == std::string_view::npos) continue;
      filter_[index(window)] = true;
      windows_[head].emplace_back(window, kWindow);
      ++count_;
    }
  }

  size_t hits(std::string_view bytes) const {
    size_t found = 0;
    for (size_t i = 0; i + kWindow <= bytes.size(); ++i) {
      const char* at = bytes.data() + i;
      if (!filter_[index(at)]) continue;
      uint64_t head = 0;
      std::memcpy(&head, at, sizeof head);
      const auto it = windows_.find(head);
      if (it == windows_.end()) continue;
      for (const std::string& window : it->second) {
        if (std::memcmp(window.data(), at, kWindow) == 0) {
          ++found;
          break;
        }
      }
    }
    return found;
  }
  size_t count() const { return count_; }

 private:
  static size_t index(const char* at) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(at);
    return bytes[0] | size_t{bytes[1]} << 8 | size_t{bytes[2]} << 16;
  }
  std::vector<bool> filter_ = std::vector<bool>(1u << 24);
  std::unordered_map<uint64_t, std::vector<std::string>> windows_;
  size_t count_ = 0;
};

struct Scan {
  size_t hits = 0;
  uint64_t bytes = 0;
};

// Reads [begin, end) of `fd` in chunks that overlap by a window.
void scan_range(int fd, uint64_t begin, uint64_t end, const Windows& windows, Scan& scan) {
  std::vector<char> buffer(kChunk + kWindow - 1);
  size_t kept = 0;
  for (uint64_t at = begin; at < end;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(kChunk, end - at));
    const ssize_t got = ::pread(fd, buffer.data() + kept, want, static_cast<off_t>(at));
    if (got <= 0) {
      at += want;  // a hole, or memory that cannot be read
      kept = 0;
      continue;
    }
    const size_t size = kept + static_cast<size_t>(got);
    scan.hits += windows.hits({buffer.data(), size});
    scan.bytes += static_cast<uint64_t>(got);
    at += static_cast<uint64_t>(got);
    kept = std::min(size, kWindow - 1);
    std::memmove(buffer.data(), buffer.data() + size - kept, kept);
  }
}

bool scan_process(const std::string& pid, const Windows& windows, Scan& scan) {
  const int memory = ::open(("/proc/" + pid + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  if (memory < 0) return false;
  std::ifstream maps("/proc/" + pid + "/maps");
  for (std::string line; std::getline(maps, line);) {
    uint64_t begin = 0;
    uint64_t end = 0;
    char readable = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %c", &begin, &end, &readable) != 3 || readable != 'r')
      continue;
    if (line.find("[vvar]") != std::string::npos || line.find("[vsyscall]") != std::string::npos) continue;
    scan_range(memory, begin, end, windows, scan);
  }
  ::close(memory);
  return scan.bytes != 0;
}

bool scan_file(const std::string& path, const Windows& windows, Scan& scan) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return false;
  const off_t size = ::lseek(file, 0, SEEK_END);
  if (size > 0) scan_range(file, 0, static_cast<uint64_t>(size), windows, scan);
  ::close(file);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: memory-scan PATTERNS (pid:N | file:PATH)...\n");
    return 64;
  }
  std::ifstream in(argv[1], std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  Windows windows;
  for (size_t at = 0; at + 4 <= content.size();) {
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(content[at++]);
    if (size > content.size() - at) return 65;
    windows.add(std::string_view(content).substr(at, size));
    at += size;
  }
  if (windows.count() == 0) {
    std::fprintf(stderr, "memory-scan: no secret of at least 16 bytes in %s\n", argv[1]);
    return 65;
  }
  int status = 0;
  for (int i = 2; i < argc; ++i) {
    const std::string target = argv[i];
    Scan scan;
    const bool read = target.starts_with("pid:")    ? scan_process(target.substr(4), windows, scan)
                      : target.starts_with("file:") ? scan_file(target.substr(5), windows, scan)
                                                    : false;
    // A file of a mail queue may go while the others are read.
    if (!read && target.starts_with("file:") && errno == ENOENT) continue;
    if (!read) {
      std::fprintf(stderr, "memory-scan: cannot read %s\n", target.c_str());
      status = 69;
      continue;
    }
    std::printf("%s %zu %" PRIu64 "\n", target.c_str(), scan.hits, scan.bytes);
    if (scan.hits != 0 && status == 0) status = 1;
  }
  return status;
}
