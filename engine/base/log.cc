// SPDX-License-Identifier: Apache-2.0
// The log: emit() makes a line in a buffer of the calling thread and copies it into one queue of bounded size; a writer
// thread takes whole batches out and hands them to the sink. The lock is held for a copy of some hundred bytes and
// never during I/O, so a stuck disk or journal costs lines, which are counted, and no mail thread's time.
#include "engine/base/log.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/base/log_sink.h"
#include "engine/base/text.h"

namespace postern::base {
namespace {

constexpr size_t kQueueBytes = 8u << 20;
constexpr size_t kValueLimit = 512;
constexpr size_t kErrorValueLimit = 4096;
constexpr size_t kMaxFieldName = 48;
constexpr std::chrono::milliseconds kGather{5};  // how long the writer lets lines gather into a batch
constexpr uint32_t kExitFlushMilliseconds = 1000;

constexpr LogId kEvents[] = {
    {"log-lines-lost", Level::warning, "{count} log lines could not be written"},
    {"log-no-journal", Level::warning, "There is no journal on this machine; the log goes to standard error"},
};

// Each record in the queue: this header, the line, then fields, each with its length in front.
struct Header {
  int64_t time;  // ticks of the system clock
  uint32_t bytes;
  uint32_t line;
  uint32_t fields;
  Level level;
};

// A change of target, at its place between the lines.
struct SinkChange {
  size_t offset;
  std::unique_ptr<LogSink> sink;
};

struct Queue {
  std::mutex mutex;
  std::condition_variable to_writer;
  std::condition_variable from_writer;
  std::string bytes;
  std::vector<SinkChange> changes;
  bool running = false;
  bool sleeping = false;  // the writer waits for a first line
  bool urgent = false;
  uint64_t taken_in = 0;  // lines that came in
  uint64_t done = 0;      // lines written or lost
  bool installing = false;
};

// Never destroyed: other threads may log while the process ends.
Queue& queue() {
  static Queue& instance = *new Queue;
  return instance;
}

std::array<std::atomic<LogObserver>, kMaxObservers> g_observers{};
std::atomic<int> g_level{static_cast<int>(Level::info)};
std::atomic<bool> g_fields{false};
std::atomic<bool> g_queued{false};
std::atomic<uint64_t> g_lost{0};

// Makes a journal field name of a value's name: "queue-id" becomes POSTERN_QUEUE_ID.
void append_field(std::string& out, std::string_view name, std::string_view value, size_t limit) {
  const size_t at = out.size();
  out.append(sizeof(uint32_t), '\0');
  out += "POSTERN_";
  for (const char c : name.substr(0, kMaxFieldName)) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool keeps = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += lower ? static_cast<char>(c - 32) : keeps ? c : '_';
  }
  out += '=';
  append_escaped(out, value, limit);
  const auto size = static_cast<uint32_t>(out.size() - at - sizeof(uint32_t));
  std::memcpy(out.data() + at, &size, sizeof size);
}

void append_shape(std::string& out, const LogId& id, std::span<const LogValue> values, size_t limit) {
  std::string_view shape = id.shape;
  for (size_t open = shape.find('{'); open != std::string_view::npos; open = shape.find('{')) {
    const size_t close = shape.find('}', open);
    if (close == std::string_view::npos) break;
    out += shape.substr(0, open);
    const std::string_view name = shape.substr(open + 1, close - open - 1);
    const auto value = std::ranges::find(values, name, &LogValue::name);
    if (value != values.end()) {
      append_escaped(out, value->value, limit);
    } else {
      out += '?';
    }
    shape.remove_prefix(close + 1);
  }
  out += shape;
}

void append_line(std::string& out, const LogId& id, std::span<const LogValue> values, std::string_view queue_id,
                 size_t limit) {
  append_shape(out, id, values, limit);
  if (!queue_id.empty()) {
    out += " queue-id=";
    append_escaped(out, queue_id, limit);
  }
  out += " [";
  out += id.id;
  out += ']';
}

// Before open_log: straight to standard error, for command-line programs and the start of the daemon.
void write_at_once(Level level, std::string_view line) {
  std::string text(level_word(level));
  text += ": ";
  text += line;
  text += '\n';
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t wrote = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      g_lost.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    rest.remove_prefix(static_cast<size_t>(wrote));
  }
}

class Writer {
 public:
  explicit Writer(std::unique_ptr<LogSink> sink) : sink_(std::move(sink)) {}

  [[noreturn]] void run() {
    Queue& shared = queue();
    std::string batch;
    std::vector<SinkChange> changes;
    for (;;) {
      {
        std::unique_lock lock(shared.mutex);
        const auto changed = [&] { return !shared.changes.empty(); };
        shared.sleeping = true;
        shared.to_writer.wait(lock, [&] { return !shared.bytes.empty() || changed(); });
        shared.sleeping = false;
        shared.to_writer.wait_for(lock, kGather, [&] { return shared.urgent || changed(); });
        shared.urgent = false;
        batch.clear();
        batch.swap(shared.bytes);
        changes.clear();
        changes.swap(shared.changes);
        shared.installing = !changes.empty();
      }
      // What was logged before a change of the target still goes to the old one.
      size_t lines = 0;
      size_t from = 0;
      for (SinkChange& change : changes) {
        lines += write(std::string_view(batch).substr(from, change.offset - from));
        from = change.offset;
        sink_ = std::move(change.sink);
        report_losses();
      }
      lines += write(std::string_view(batch).substr(from));
      // One burst of lines should not be paid for ever after.
      if (batch.capacity() > (1u << 20)) std::string().swap(batch);
      {
        const std::lock_guard lock(shared.mutex);
        shared.done += lines;
        shared.installing = false;
      }
      shared.from_writer.notify_all();
    }
  }

 private:
  size_t write(std::string_view bytes) {
    records_.clear();
    while (bytes.size() >= sizeof(Header)) {
      Header header;
      std::memcpy(&header, bytes.data(), sizeof header);
      std::string_view body = bytes.substr(sizeof header, header.bytes);
      LogRecord& record = records_.emplace_back();
      record.time = std::chrono::system_clock::time_point(std::chrono::system_clock::duration(header.time));
      record.level = header.level;
      record.line = body.substr(0, header.line);
      body.remove_prefix(header.line);
      for (uint32_t n = 0; n < header.fields; ++n) {
        uint32_t size = 0;
        std::memcpy(&size, body.data(), sizeof size);
        record.fields.push_back(body.substr(sizeof size, size));
        body.remove_prefix(sizeof size + size);
      }
      bytes.remove_prefix(sizeof header + header.bytes);
    }
    if (records_.empty()) return 0;
    report_losses();
    const size_t lost = sink_->write(records_);
    g_lost.fetch_add(lost, std::memory_order_relaxed);
    report_losses();
    return records_.size();
  }

  // Says how many lines are missing, once the sink takes lines again.
  void report_losses() {
    const uint64_t lost = g_lost.load(std::memory_order_relaxed);
    if (lost == reported_) return;
    const std::string count = std::to_string(lost - reported_);
    std::string line;
    append_line(line, kEvents[0], std::array{LogValue{"count", count}}, {}, kValueLimit);
    const std::string event = "POSTERN_EVENT=" + std::string(kEvents[0].id);
    const std::string field = "POSTERN_COUNT=" + count;
    LogRecord record{std::chrono::system_clock::now(), kEvents[0].level, line, {}};
    if (sink_->takes_fields()) record.fields = {event, field};
    if (sink_->write(std::span(&record, 1)) == 0) reported_ = lost;
  }

  std::unique_ptr<LogSink> sink_;
  std::vector<LogRecord> records_;
  uint64_t reported_ = 0;
};

// Starts the writer with every signal blocked: signals belong to the main thread.
Result<void> start_writer(std::unique_ptr<LogSink> sink) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> result;
  try {
    std::thread([writer = std::make_unique<Writer>(std::move(sink))] {
      pthread_setname_np(pthread_self(), "postern-log");
      writer->run();
    }).detach();
  } catch (const std::system_error& error) {
    result = fail(Cause::unavailable, std::string("cannot start the log's thread: ") + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

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

namespace {

// Opening is who changes the target, one at a time, and what it is.
struct Opening {
  std::mutex mutex;
  LogTarget target;
};

Opening& opening() {
  static Opening& instance = *new Opening;
  return instance;
}

Result<void> open_target(const LogTarget& target) {
  auto sink = make_sink(target.to, target.rotation);
  if (!sink) return std::unexpected(std::move(sink.error()));
  const bool fields = (*sink)->takes_fields();
  Queue& shared = queue();
  std::unique_lock lock(shared.mutex);
  if (shared.running) {
    shared.changes.push_back({shared.bytes.size(), std::move(*sink)});
    shared.to_writer.notify_one();
  } else {
    if (auto started = start_writer(std::move(*sink)); !started) return started;
    shared.running = true;
    std::atexit([] { flush_log(kExitFlushMilliseconds); });
  }
  g_level.store(static_cast<int>(target.level), std::memory_order_relaxed);
  g_fields.store(fields, std::memory_order_relaxed);
  g_queued.store(true, std::memory_order_release);
  lock.unlock();
  if (target.to == "journal" && !fields) emit(kEvents[1], {});
  return {};
}

}  // namespace

Result<void> open_log(const LogTarget& target) {
  Opening& shared = opening();
  const std::lock_guard lock(shared.mutex);
  auto opened = open_target(target);
  if (opened) shared.target = target;
  return opened;
}

Result<void> reopen_log() {
  Opening& shared = opening();
  const std::lock_guard lock(shared.mutex);
  return open_target(shared.target);
}

void observe_log(LogObserver observer) {
  for (std::atomic<LogObserver>& place : g_observers) {
    LogObserver none = nullptr;
    if (place.compare_exchange_strong(none, observer)) return;
  }
}

void unobserve_log(LogObserver observer) {
  for (std::atomic<LogObserver>& place : g_observers) {
    LogObserver there = observer;
    place.compare_exchange_strong(there, nullptr);
  }
}

std::string log_text(const LogId& id, std::span<const LogValue> values) {
  std::string out;
  append_shape(out, id, values, kValueLimit);
  return out;
}

void emit(const LogId& id, std::initializer_list<LogValue> listed, std::string_view queue_id) {
  const std::span<const LogValue> values(listed.begin(), listed.size());
  for (const std::atomic<LogObserver>& place : g_observers) {
    if (const LogObserver observer = place.load(std::memory_order_acquire)) observer(id, values, queue_id);
  }
  if (static_cast<int>(id.level) > g_level.load(std::memory_order_relaxed)) return;
  const size_t limit = id.level == Level::error ? kErrorValueLimit : kValueLimit;
  thread_local std::string record;
  record.clear();
  if (!g_queued.load(std::memory_order_acquire)) {
    append_line(record, id, values, queue_id, limit);
    write_at_once(id.level, record);
    return;
  }
  record.append(sizeof(Header), '\0');
  append_line(record, id, values, queue_id, limit);
  Header header{};
  header.time = std::chrono::system_clock::now().time_since_epoch().count();
  header.line = static_cast<uint32_t>(record.size() - sizeof header);
  header.level = id.level;
  if (g_fields.load(std::memory_order_relaxed)) {
    append_field(record, "event", id.id, limit);
    for (const LogValue& value : values) append_field(record, value.name, value.value, limit);
    header.fields = static_cast<uint32_t>(values.size() + 1);
    if (!queue_id.empty()) {
      append_field(record, "queue-id", queue_id, limit);
      ++header.fields;
    }
  }
  header.bytes = static_cast<uint32_t>(record.size() - sizeof header);
  std::memcpy(record.data(), &header, sizeof header);

  Queue& shared = queue();
  bool wake = false;
  {
    const std::lock_guard lock(shared.mutex);
    if (shared.bytes.size() + record.size() > kQueueBytes) {
      g_lost.fetch_add(1, std::memory_order_relaxed);
    } else {
      shared.bytes += record;
      ++shared.taken_in;
      wake = shared.sleeping;
    }
    if (id.level == Level::error && !shared.urgent) wake = shared.urgent = true;
  }
  if (wake) shared.to_writer.notify_one();
}

bool flush_log(uint32_t milliseconds) {
  Queue& shared = queue();
  std::unique_lock lock(shared.mutex);
  if (!shared.running) return true;
  const uint64_t wanted = shared.taken_in;
  shared.urgent = true;
  shared.to_writer.notify_one();
  return shared.from_writer.wait_for(lock, std::chrono::milliseconds(milliseconds), [&] {
    return shared.done >= wanted && shared.changes.empty() && !shared.installing;
  });
}

uint64_t log_lines_lost() { return g_lost.load(std::memory_order_relaxed); }

std::span<const LogId> log_events() { return kEvents; }

}  // namespace postern::base
