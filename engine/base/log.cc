// SPDX-License-Identifier: Apache-2.0
// The log's sinks. A line is one write(2) or one datagram that never waits: a stopped journal or a full disk costs
// lines (counted, and reported once the sink works again), not mail. The journal and syslog are spoken to directly
// because their library calls can block.
#include "engine/base/log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

#include "engine/base/handle.h"
#include "engine/base/text.h"

namespace postern::base {

namespace {

constexpr size_t kMaxLine = 8192;
constexpr size_t kMaxValue = 1024;

enum class Kind : uint8_t { stream, journal, syslog };

struct Sink {
  Kind kind = Kind::stream;
  UniqueFd fd;  // stream: the file; the others: an unconnected datagram socket
  bool owned = true;
  ~Sink() {
    if (!owned) fd.release();
  }
};

std::atomic<std::shared_ptr<Sink>>& sink_slot() {
  static std::atomic<std::shared_ptr<Sink>> slot{[] {
    auto sink = std::make_shared<Sink>();
    sink->fd = UniqueFd(STDERR_FILENO);
    sink->owned = false;
    return sink;
  }()};
  return slot;
}

std::atomic<Level> lowest{Level::info};
std::atomic<uint64_t> lost{0};
std::atomic<uint64_t> reported{0};

constexpr const char* kJournal = "/run/systemd/journal/socket";
constexpr const char* kSyslog = "/dev/log";

int priority(Level level) {
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

bool send_to(int fd, const char* path, std::string_view packet) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return ::sendto(fd, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr*>(&address), sizeof address) == static_cast<ssize_t>(packet.size());
}

std::string_view program() { return program_invocation_short_name; }

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += '=';
  out += value;
  out += '\n';
}

// A journal field name from a value's name: upper case, '-' as '_'.
void append_value_field(std::string& out, std::string_view name, std::string_view value) {
  out += "POSTERN_";
  for (const char c : name) out += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  out += '=';
  out += value;
  out += '\n';
}

std::string_view value_of(std::string_view name, std::initializer_list<LogValue> values) {
  for (const LogValue& value : values) {
    if (value.name == name) return value.value;
  }
  return {};
}

// The line for people: the shape with its values.
void append_line(std::string& out, const LogId& id, std::initializer_list<LogValue> values, std::string_view queue_id) {
  const std::string_view shape = id.shape;
  for (size_t i = 0; i < shape.size();) {
    const size_t open = shape.find('{', i);
    if (open == std::string_view::npos) {
      out += shape.substr(i);
      break;
    }
    out += shape.substr(i, open - i);
    const size_t close = shape.find('}', open);
    if (close == std::string_view::npos) break;
    out += escape_for_log(value_of(shape.substr(open + 1, close - open - 1), values), kMaxValue);
    i = close + 1;
    if (out.size() > kMaxLine) break;
  }
  if (!queue_id.empty()) {
    out += " queue-id=";
    out += escape_for_log(queue_id, 64);
  }
  out += " [";
  out += id.id;
  out += ']';
}

bool write_stream(int fd, Level level, std::string_view line) {
  // "2026-11-22T10:11:12+0100 posternd[4711] info: …"
  char stamp[64];
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  const size_t length = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S%z ", &local);
  std::string out(stamp, length);
  out.reserve(out.size() + line.size() + 48);
  out += program();
  out += '[';
  out += std::to_string(::getpid());
  out += "] ";
  out += level_name(level);
  out += ": ";
  out += line;
  out += '\n';
  for (;;) {
    const ssize_t wrote = ::write(fd, out.data(), out.size());
    if (wrote == static_cast<ssize_t>(out.size())) return true;
    if (wrote < 0 && errno == EINTR) continue;
    return false;
  }
}

bool deliver(const Sink& sink, const LogId& id, std::initializer_list<LogValue> values, std::string_view queue_id) {
  std::string line;
  line.reserve(256);
  append_line(line, id, values, queue_id);
  switch (sink.kind) {
    case Kind::stream:
      return write_stream(sink.fd.get(), id.level, line);
    case Kind::syslog: {
      std::string packet = "<" + std::to_string(LOG_MAIL | priority(id.level)) + ">";
      packet += program();
      packet += '[';
      packet += std::to_string(::getpid());
      packet += "]: ";
      packet += line;
      return send_to(sink.fd.get(), kSyslog, packet);
    }
    case Kind::journal: {
      std::string packet;
      packet.reserve(512);
      append_field(packet, "MESSAGE", line);
      append_field(packet, "PRIORITY", std::to_string(priority(id.level)));
      append_field(packet, "SYSLOG_FACILITY", "2");
      append_field(packet, "SYSLOG_IDENTIFIER", program());
      append_field(packet, "POSTERN_EVENT", id.id);
      if (!queue_id.empty()) append_field(packet, "POSTERN_QUEUE_ID", escape_for_log(queue_id, 64));
      for (const LogValue& value : values)
        append_value_field(packet, value.name, escape_for_log(value.value, kMaxValue));
      return send_to(sink.fd.get(), kJournal, packet);
    }
  }
  return false;
}

constexpr LogId kLinesLost = {"log-lines-lost", Level::warning, "{count} log lines could not be written"};

}  // namespace

std::string_view level_name(Level level) {
  switch (level) {
    case Level::error:
      return "error";
    case Level::warning:
      return "warning";
    case Level::info:
      return "info";
    case Level::debug:
      return "debug";
  }
  return "info";
}

Result<void> open_log(const LogTarget& target) {
  auto sink = std::make_shared<Sink>();
  if (target.to == "stderr") {
    sink->fd = UniqueFd(STDERR_FILENO);
    sink->owned = false;
  } else if (target.to == "journal" || target.to == "syslog") {
    sink->kind = target.to == "journal" ? Kind::journal : Kind::syslog;
    sink->fd = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!sink->fd) return std::unexpected(system_error("log socket", errno));
  } else if (target.to.starts_with("file:")) {
    const std::string path = target.to.substr(5);
    sink->fd = UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640));
    if (!sink->fd) return std::unexpected(system_error("log file " + path, errno));
  } else {
    return fail(Cause::misconfigured, "log target '" + target.to + "' is none of journal, syslog, stderr, file:PATH");
  }
  lowest.store(target.level, std::memory_order_relaxed);
  sink_slot().store(std::move(sink));
  return {};
}

void emit(const LogId& id, std::initializer_list<LogValue> values, std::string_view queue_id) {
  if (id.level > lowest.load(std::memory_order_relaxed)) return;
  const std::shared_ptr<Sink> sink = sink_slot().load();
  if (!deliver(*sink, id, values, queue_id)) {
    lost.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  // The first line that gets through after a loss is followed by the count of what did not.
  const uint64_t total = lost.load(std::memory_order_relaxed);
  uint64_t before = reported.load(std::memory_order_relaxed);
  if (total == before || !reported.compare_exchange_strong(before, total)) return;
  deliver(*sink, kLinesLost, {{"count", std::to_string(total - before)}}, {});
}

uint64_t log_lines_lost() { return lost.load(std::memory_order_relaxed); }

}  // namespace postern::base
