// SPDX-License-Identifier: Apache-2.0
// Sinks: journal (sd_journal_sendv with one field per value), syslog and files through spdlog's formatting. The only
// file that includes spdlog. Dates are local time in the form of the reference product's logs.
#include "engine/base/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/syslog_sink.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "engine/base/handle.h"

namespace postern::base {
namespace {

constexpr const char* kJournalSocket = "/run/systemd/journal/socket";
constexpr const char* kSyslogSocket = "/dev/log";
constexpr int kStalledMilliseconds = 500;  // a pipe or FIFO that takes nothing for so long loses the batch

int syslog_priority(Level level) {
  switch (level) {
    case Level::error:
      return LOG_ERR;
    case Level::warning:
      return LOG_WARNING;
    case Level::info:
      return LOG_INFO;
    case Level::debug:
      return LOG_DEBUG;
  }
  return LOG_INFO;
}

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::error:
      return spdlog::level::err;
    case Level::warning:
      return spdlog::level::warn;
    case Level::info:
      return spdlog::level::info;
    case Level::debug:
      return spdlog::level::debug;
  }
  return spdlog::level::info;
}

// DescriptorSink collects a batch and writes it at once, so that lines of several processes do not mix. (spdlog's own
// file sink follows symbolic links and does not say what was lost.)
class DescriptorSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  DescriptorSink(UniqueFd owned, int fd) : owned_(std::move(owned)), fd_(fd) {}

  // lost returns the lines of the last batch that were not written.
  size_t lost() const { return lost_; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    batch_.append(line.data(), line.size());
  }

  void flush_() override {
    lost_ = 0;
    if (batch_.empty()) return;
    write_batch();
  }

  virtual void write_batch() {
    write_out();
    batch_.clear();
  }

  // write_out writes the batch to the descriptor and counts what was lost of it.
  void write_out() {
    // A line that was cut short by a full disk is ended before the next one, so that the two do not run together.
    const bool repaired = torn_ && !batch_.empty();
    if (repaired) batch_.insert(0, 1, '\n');
    std::string_view rest = batch_;
    while (!rest.empty()) {
      const ssize_t wrote = ::write(fd_, rest.data(), rest.size());
      if (wrote > 0) {
        torn_ = rest[static_cast<size_t>(wrote) - 1] != '\n';
        rest.remove_prefix(static_cast<size_t>(wrote));
      } else if (wrote < 0 && errno == EINTR) {
        continue;
      } else if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        pollfd entry{fd_, POLLOUT, 0};
        if (::poll(&entry, 1, kStalledMilliseconds) <= 0) break;
      } else {
        break;
      }
    }
    size_t lost = static_cast<size_t>(std::ranges::count(rest, '\n'));
    if (repaired && rest.size() == batch_.size()) --lost;
    lost_ += lost;
  }

  void use(UniqueFd file) {
    owned_ = std::move(file);
    fd_ = owned_.get();
    torn_ = false;
  }
  int fd() const { return fd_; }

  std::string batch_;

 private:
  UniqueFd owned_;
  int fd_;
  bool torn_ = false;
  size_t lost_ = 0;
};

constexpr int kFileFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;

// open_log_file makes the file at `path`, or opens it where it is there.
Result<UniqueFd> open_log_file(const std::string& path) {
  UniqueFd file(::open(path.c_str(), kFileFlags | O_CREAT | O_EXCL, 0640));
  if (file) {
    // The process's umask is meant for mail, not for the log that its administrators' group reads.
    if (::fchmod(file.get(), 0640) != 0) return std::unexpected(system_error("log file " + path, errno));
  } else if (errno == EEXIST) {
    file.reset(::open(path.c_str(), kFileFlags, 0));
  }
  if (file) return file;
  if (errno == ELOOP) return fail(Cause::denied, "log file " + path + " is a symbolic link");
  return std::unexpected(system_error("log file " + path, errno));
}

// RotatingSink moves its file aside between two lines. The file at the path is a new one only once the old one has its
// last line; where it cannot be moved, lines go on into it.
class RotatingSink final : public DescriptorSink {
 public:
  RotatingSink(UniqueFd owned, int fd, std::string path, const LogRotation& rotation)
      : DescriptorSink(std::move(owned), fd), path_(std::move(path)), rotation_(rotation) {
    look();
  }

 protected:
  void write_batch() override {
    const std::string all = std::exchange(batch_, {});
    std::string_view rest = all;
    const time_t now = ::time(nullptr);
    // After a failure it is tried again in this period, too; look() says when it succeeded.
    if (size_ == 0) {
      period_ = period_of(now);
    } else if (period_of(now) != period_) {
      rotate(now);
    }
    while (!rest.empty()) {
      size_t end = rest.size();
      if (rotation_.size != 0 && now >= retry_ && size_ + rest.size() > rotation_.size) {
        // As many whole lines as there is room for; one in a new file, whatever its length.
        const uint64_t room = rotation_.size > size_ ? rotation_.size - size_ : 0;
        const size_t last = room == 0 ? std::string_view::npos : rest.rfind('\n', room - 1);
        if (last == std::string_view::npos && size_ > 0) {
          rotate(now);
          continue;
        }
        end = (last == std::string_view::npos ? rest.find('\n') : last) + 1;
      }
      batch_.assign(rest.substr(0, end));
      write_out();
      size_ += end;
      rest.remove_prefix(end);
    }
    batch_.clear();
  }

 private:
  static constexpr time_t kRetry = 60;

  // The number of the period a moment is in; by local time, so that a day begins at midnight.
  int64_t period_of(time_t moment) const {
    if (rotation_.seconds == 0) return 0;
    tm local{};
    ::localtime_r(&moment, &local);
    return (static_cast<int64_t>(moment) + local.tm_gmtoff) / static_cast<int64_t>(rotation_.seconds);
  }

  void look() {
    struct stat status{};
    if (::fstat(fd(), &status) != 0) return;
    size_ = static_cast<uint64_t>(status.st_size);
    period_ = period_of(size_ == 0 ? ::time(nullptr) : status.st_mtime);
  }

  std::string numbered(uint32_t number) const { return path_ + "." + std::to_string(number); }

  bool refuse(std::string_view why, time_t now) {
    retry_ = now + kRetry;
    if (!failing_ && rotation_.told != nullptr) rotation_.told(false, why);
    failing_ = true;
    return false;
  }

  bool move_aside(time_t now) {
    struct stat here{};
    struct stat there{};
    const bool same = ::fstat(fd(), &here) == 0 && ::lstat(path_.c_str(), &there) == 0 && here.st_ino == there.st_ino &&
                      here.st_dev == there.st_dev;
    // Somebody else has moved it, or removed it.
    if (!same) return true;
    const std::string oldest = numbered(rotation_.keep);
    const bool removes = ::lstat(oldest.c_str(), &there) == 0;
    for (uint32_t number = rotation_.keep; number > 1; --number) {
      if (::rename(numbered(number - 1).c_str(), numbered(number).c_str()) != 0 && errno != ENOENT) {
        return refuse(system_error("moving aside " + path_, errno).text(), now);
      }
    }
    if (::rename(path_.c_str(), numbered(1).c_str()) != 0)
      return refuse(system_error("moving aside " + path_, errno).text(), now);
    if (removes && rotation_.told != nullptr) rotation_.told(true, oldest);
    return true;
  }

  void rotate(time_t now) {
    if (now < retry_ || !move_aside(now)) return;
    auto next = open_log_file(path_);
    if (!next) {
      refuse(next.error().text(), now);
      return;
    }
    use(std::move(*next));
    look();
    retry_ = 0;
    failing_ = false;
  }

  const std::string path_;
  const LogRotation rotation_;
  uint64_t size_ = 0;
  int64_t period_ = 0;
  time_t retry_ = 0;  // after a failure
  bool failing_ = false;
};

class SpdlogSink : public LogSink {
 public:
  explicit SpdlogSink(std::shared_ptr<DescriptorSink> sink, const char* pattern) : sink_(std::move(sink)) {
    sink_->set_pattern(pattern);
  }
  size_t write(std::span<const LogRecord> batch) override {
    for (const LogRecord& record : batch) {
      text_.assign(level_word(record.level));
      text_ += ": ";
      text_ += record.line;
      sink_->log(spdlog::details::log_msg(record.time, spdlog::source_loc{}, spdlog::string_view_t(),
                                          spdlog_level(record.level),
                                          spdlog::string_view_t(text_.data(), text_.size())));
    }
    sink_->flush();
    return sink_->lost();
  }

 private:
  std::shared_ptr<DescriptorSink> sink_;
  std::string text_;
};

// SyslogSink: syslog(3) does not say whether a line was taken, so lines count as lost while there is no socket.
class SyslogSink : public LogSink {
 public:
  SyslogSink() : sink_(::program_invocation_short_name, LOG_PID | LOG_NDELAY, LOG_MAIL, false) {}
  size_t write(std::span<const LogRecord> batch) override {
    if (::access(kSyslogSocket, F_OK) != 0) return batch.size();
    for (const LogRecord& record : batch) {
      sink_.log(spdlog::details::log_msg(record.time, spdlog::source_loc{}, spdlog::string_view_t(),
                                         spdlog_level(record.level),
                                         spdlog::string_view_t(record.line.data(), record.line.size())));
    }
    return 0;
  }

 private:
  spdlog::sinks::syslog_sink_st sink_;
};

class JournalSink : public LogSink {
 public:
  explicit JournalSink(JournalSend send) : send_(send) {
    identifier_ = std::string("SYSLOG_IDENTIFIER=") + ::program_invocation_short_name;
    process_ = "SYSLOG_PID=" + std::to_string(::getpid());
  }
  bool takes_fields() const override { return true; }

  size_t write(std::span<const LogRecord> batch) override {
    // Without journald sd_journal_sendv does nothing and calls that success.
    if (send_ == &sd_journal_sendv && !has_journal()) return batch.size();
    size_t lost = 0;
    for (const LogRecord& record : batch) {
      message_.assign("MESSAGE=").append(record.line);
      const std::string priority = "PRIORITY=" + std::to_string(syslog_priority(record.level));
      fields_.clear();
      for (const std::string_view field : {std::string_view(message_), std::string_view(priority),
                                           std::string_view(identifier_), std::string_view(process_)}) {
        add(field);
      }
      for (const std::string_view field : record.fields) add(field);
      if (send_(fields_.data(), static_cast<int>(fields_.size())) < 0) ++lost;
    }
    return lost;
  }

 private:
  void add(std::string_view field) { fields_.push_back({const_cast<char*>(field.data()), field.size()}); }

  JournalSend send_;
  std::string identifier_;
  std::string process_;
  std::string message_;
  std::vector<iovec> fields_;
};

constexpr const char* kDatedPattern = "%c %v";
constexpr const char* kBarePattern = "%v";

Result<std::unique_ptr<LogSink>> open_file(const std::string& path, const LogRotation& rotation) {
  auto file = open_log_file(path);
  if (!file) return std::unexpected(std::move(file.error()));
  const int fd = file->get();
  std::shared_ptr<DescriptorSink> sink;
  struct stat status{};
  const bool rotates =
      (rotation.size != 0 || rotation.seconds != 0) && ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (rotates) {
    sink = std::make_shared<RotatingSink>(std::move(*file), fd, path, rotation);
  } else {
    sink = std::make_shared<DescriptorSink>(std::move(*file), fd);
  }
  return std::make_unique<SpdlogSink>(std::move(sink), kDatedPattern);
}

}  // namespace

std::string_view level_word(Level level) {
  switch (level) {
    case Level::error:
      return "Error";
    case Level::warning:
      return "Warning";
    case Level::info:
      return "Info";
    case Level::debug:
      return "Debug";
  }
  return "Info";
}

bool has_journal() { return ::access(kJournalSocket, F_OK) == 0; }

std::unique_ptr<LogSink> make_journal_sink(JournalSend send) { return std::make_unique<JournalSink>(send); }

Result<std::unique_ptr<LogSink>> make_sink(const std::string& to, const LogRotation& rotation) {
  if (to == "journal" && has_journal()) return make_journal_sink(&sd_journal_sendv);
  if (to == "syslog") return std::make_unique<SyslogSink>();
  if (to == "stderr" || to == "journal") {
    // journald dates what a service writes to it by itself.
    const char* pattern = std::getenv("JOURNAL_STREAM") != nullptr ? kBarePattern : kDatedPattern;
    return std::make_unique<SpdlogSink>(std::make_shared<DescriptorSink>(UniqueFd(), STDERR_FILENO), pattern);
  }
  if (to.starts_with("file:") && to.size() > 5) return open_file(to.substr(5), rotation);
  return fail(Cause::misconfigured, "log target '" + to + "': expected journal, syslog, stderr or file:PATH");
}

}  // namespace postern::base
