// SPDX-License-Identifier: Apache-2.0
// postern findevent --log: the same in log files. They are read twice: first it is put together what there was about
// each message, then the lines of those that fit are printed; a message's lines need not stand together, nor in one
// file. --follow reads once and goes on with what is appended, also where the file is rotated.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "engine/base/handle.h"
#include "engine/base/io.h"
#include "engine/base/text.h"
#include "milter/cli/findevent.h"
#include "milter/cli/log_line.h"
#include "milter/tracked_events.h"

namespace postern::cli {
namespace {

using base::Result;
using base::UniqueFd;

constexpr size_t kMaxLine = 64u << 10;       // the rest of a longer one is passed over
constexpr size_t kMostMessages = 2'000'000;  // of one search
constexpr size_t kMostFollowed = 20'000;     // messages whose lines --follow remembers
constexpr int kFollowMilliseconds = 250;

// Lines cuts a file into lines; one that is not ended yet waits for its end.
class Lines {
 public:
  // read takes what is there; false at an error.
  bool read(int fd, const std::function<bool(std::string_view)>& each) {
    char buffer[64u << 10];
    for (;;) {
      const ssize_t got = ::read(fd, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return got == 0;
      std::string_view rest(buffer, static_cast<size_t>(got));
      while (!rest.empty()) {
        const size_t end = rest.find('\n');
        line_ += rest.substr(0, std::min(end, kMaxLine - std::min(kMaxLine, line_.size())));
        if (end == std::string_view::npos) break;
        rest.remove_prefix(end + 1);
        if (!each(line_)) return true;
        line_.clear();
      }
    }
  }
  // end gives a last line that has no end.
  void end(const std::function<bool(std::string_view)>& each) {
    if (!line_.empty()) each(line_);
    line_.clear();
  }

 private:
  std::string line_;
};

struct File {
  std::string name;
  UniqueFd fd;
  timespec changed{};
};

int complain(std::string_view text, int status) {
  std::fprintf(stderr, "postern findevent: %s\n", base::escape_for_log(text, 2000).c_str());
  return status;
}

// A copy of standard input, which can be read twice.
Result<UniqueFd> copy_of_input() {
  UniqueFd copy(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!copy) return std::unexpected(base::system_error("temporary file in /tmp", errno));
  char buffer[64u << 10];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(base::system_error("standard input", errno));
    if (got == 0) return copy;
    if (!base::write_all(copy.get(), {buffer, static_cast<size_t>(got)})) {
      return std::unexpected(base::system_error("temporary file in /tmp", errno));
    }
  }
}

Result<std::vector<File>> open_files(const FindEventOptions& options) {
  std::vector<File> files;
  for (const std::string& name : options.logs) {
    File& file = files.emplace_back();
    file.name = name;
    if (name == "-" && options.follow) {
      file.fd.reset(::dup(STDIN_FILENO));
    } else if (name == "-") {
      auto copy = copy_of_input();
      if (!copy) return std::unexpected(std::move(copy.error()));
      file.fd = std::move(*copy);
    } else {
      file.fd.reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    }
    struct stat status{};
    if (!file.fd || ::fstat(file.fd.get(), &status) != 0) return std::unexpected(base::system_error(name, errno));
    file.changed = status.st_mtim;
    unsigned char magic[2] = {};
    if (S_ISREG(status.st_mode) && ::pread(file.fd.get(), magic, 2, 0) == 2 && magic[0] == 0x1F && magic[1] == 0x8B) {
      return base::fail(base::Cause::malformed, name + " is compressed: zcat it to --log -");
    }
  }
  // As they were written, the oldest first.
  std::ranges::stable_sort(files, [](const File& a, const File& b) {
    return a.changed.tv_sec != b.changed.tv_sec ? a.changed.tv_sec < b.changed.tv_sec
                                                : a.changed.tv_nsec < b.changed.tv_nsec;
  });
  return files;
}

Result<void> each_line(std::vector<File>& files, const std::function<bool(std::string_view)>& each) {
  for (const File& file : files) {
    Lines lines;
    if (::lseek(file.fd.get(), 0, SEEK_SET) < 0 || !lines.read(file.fd.get(), each)) {
      return std::unexpected(base::system_error("reading " + file.name, errno));
    }
    lines.end(each);
  }
  return {};
}

// add puts a line to the messages it is about; returns their places.
const std::vector<size_t>& add(milter::TrackedEvents& events, const LogLine& read, std::string_view line) {
  if (read.event && milter::TrackedEvents::is_tracked(*read.event)) {
    return events.add(*read.event, read.values, read.queue_id, read.time, line);
  }
  return events.add_other(read.mids, read.level, read.time, line);
}

// icid_of is the connection that a line without a MID is about; 0: none.
uint64_t icid_of(const LogLine& read) {
  if (!read.event || milter::TrackedEvents::is_tracked(*read.event)) return 0;
  for (const base::LogValue& value : read.values) {
    if (value.name == "icid") return std::strtoull(std::string(value.value).c_str(), nullptr, 10);
  }
  return 0;
}

int find_once(const FindEventOptions& options, const store::TrackSearch& search, std::vector<File>& files) {
  milter::TrackedEvents all(false);
  const std::string mid = search.mid ? std::to_string(*search.mid) : "";
  auto done = each_line(files, [&](std::string_view line) {
    // Of one MID nothing else need be remembered.
    if (line.find(mid) == std::string_view::npos) return true;
    const LogLine read = read_log_line(line);
    add(all, read, line);
    return all.messages().size() < kMostMessages;
  });
  if (!done) return complain(done.error().text(), kUnavailable);
  if (all.messages().size() >= kMostMessages) {
    return complain("more than " + std::to_string(kMostMessages) + " messages: name fewer files", kBadData);
  }
  std::vector<store::TrackedMessage> found;
  for (store::TrackedMessage& message : all.take()) {
    if (fits(message, search)) found.push_back(std::move(message));
  }
  const bool more = found.size() > options.limit;
  if (more) found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(options.limit));

  std::unordered_map<uint64_t, size_t> by_mid;
  std::unordered_multimap<uint64_t, size_t> by_icid;
  for (size_t i = 0; i < found.size(); ++i) {
    found[i].lines.clear();
    by_mid.emplace(found[i].mid, i);
    if (found[i].icid != 0) by_icid.emplace(found[i].icid, i);
  }
  milter::TrackedEvents one;
  done = each_line(files, [&](std::string_view line) {
    const LogLine read = read_log_line(line);
    if (const uint64_t icid = icid_of(read); icid != 0) {
      const auto [first, last] = by_icid.equal_range(icid);
      for (auto at = first; at != last; ++at) {
        found[at->second].lines.push_back({0,
                                           read.time,
                                           static_cast<uint8_t>(read.level),
                                           std::string(milter::events()[*read.event].id),
                                           {},
                                           std::string(line)});
      }
      return true;
    }
    for (const size_t place : add(one, read, line)) {
      const auto known = by_mid.find(one.messages()[place].mid);
      if (known != by_mid.end()) found[known->second].lines.push_back(one.messages()[place].lines.back());
    }
    (void)one.take();
    return true;
  });
  if (!done) return complain(done.error().text(), kUnavailable);
  Printer printer(options.json, false, true);
  for (const store::TrackedMessage& message : found) {
    if (!printer.message(message)) break;
  }
  if (more) std::fprintf(stderr, "postern findevent: the newest %zu; there are more: --limit\n", options.limit);
  return printer.end();
}

// Followed is what --follow knows of the messages whose lines come.
class Followed {
 public:
  Followed(const store::TrackSearch& search, Printer& printer) : search_(search), printer_(printer) {}

  // line takes one line; false: nobody reads what is printed.
  bool line(std::string_view line) {
    if (events_.messages().size() >= kMostFollowed) {
      (void)events_.take();
      shown_.clear();
    }
    const LogLine read = read_log_line(line);
    bool printed = false;
    for (const size_t place : add(events_, read, line)) {
      const store::TrackedMessage& message = events_.messages()[place];
      if (!shown_.contains(message.mid) && !fits(message, search_)) continue;
      const bool first = shown_.insert(message.mid).second;
      // A line about two messages is printed once, unless one of them is new.
      if ((first || !printed) && !printer_.message(message)) return false;
      printed = true;
      events_.forget_lines(place);
    }
    return true;
  }

 private:
  const store::TrackSearch& search_;
  Printer& printer_;
  milter::TrackedEvents events_;
  std::unordered_set<uint64_t> shown_;
};

int follow_files(const FindEventOptions& options, const store::TrackSearch& search, std::vector<File>& files) {
  Printer printer(options.json, true, true);
  Followed followed(search, printer);
  const auto each = [&followed](std::string_view line) { return followed.line(line); };
  bool read_by_somebody = true;
  const auto take = [&](std::string_view line) { return read_by_somebody = each(line); };
  for (size_t i = 0; i + 1 < files.size(); ++i) {
    Lines lines;
    if (!lines.read(files[i].fd.get(), take)) return complain("reading " + files[i].name + " failed", kUnavailable);
    lines.end(take);
  }
  File& last = files.back();
  const bool input = last.name == "-";
  // Standard input ends by itself, or by a signal.
  if (!input) hold_signals();
  Lines lines;
  do {
    if (!lines.read(last.fd.get(), take)) return complain("reading " + last.name + " failed", kUnavailable);
    if (input || !read_by_somebody) break;
    struct stat here{};
    struct stat there{};
    if (::fstat(last.fd.get(), &here) != 0 || ::stat(last.name.c_str(), &there) != 0) continue;
    if (here.st_ino != there.st_ino || here.st_dev != there.st_dev) {
      UniqueFd next(::open(last.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
      if (!next) continue;
      // What came between the last look and the rename is in the old file.
      lines.read(last.fd.get(), take);
      lines.end(take);
      last.fd = std::move(next);
      lines.read(last.fd.get(), take);
    } else if (there.st_size < ::lseek(last.fd.get(), 0, SEEK_CUR)) {
      ::lseek(last.fd.get(), 0, SEEK_SET);
    }
  } while (read_by_somebody && wait_for_more(kFollowMilliseconds));
  return printer.end();
}

}  // namespace

int find_in_logs(const FindEventOptions& options, const store::TrackSearch& search) {
  auto files = open_files(options);
  if (!files) {
    const base::Cause cause = files.error().cause();
    return complain(files.error().text(), cause == base::Cause::denied      ? kDenied
                                          : cause == base::Cause::malformed ? kBadData
                                                                            : kUnavailable);
  }
  return options.follow ? follow_files(options, search, *files) : find_once(options, search, *files);
}

}  // namespace postern::cli
