// SPDX-License-Identifier: Apache-2.0
// Values wait as bytes, one record after another: whoever logs must not pay for what the thread can do.
#include "milter/tracker.h"

#include <algorithm>
#include <cstring>
#include <ctime>

#include "engine/base/text.h"

namespace postern::milter {
namespace {

constexpr size_t kMaxValue = 4096;
constexpr size_t kWakeBytes = 1u << 20;
constexpr size_t kLinesAtOnce = 5000;  // of one transaction
constexpr std::chrono::milliseconds kGather{1000};
constexpr std::chrono::seconds kRetry{5};
constexpr std::chrono::seconds kForgetEvery{60};
constexpr size_t kForgetAtOnce = 500;

std::atomic<Tracker*> g_tracker{nullptr};

// Each record: this header, the queue id, then each value: two lengths, name, text.
struct Header {
  uint32_t bytes;  // after the header
  uint16_t event;
  uint16_t values;
  uint16_t queue_id;
  int64_t time;
};

void append_length(std::string& out, size_t length) {
  const auto value = static_cast<uint16_t>(length);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string_view cut(std::string_view& from, size_t length) {
  const std::string_view out = from.substr(0, length);
  from.remove_prefix(out.size());
  return out;
}

size_t read_length(std::string_view& from) {
  uint16_t value = 0;
  std::memcpy(&value, from.data(), sizeof value);
  from.remove_prefix(sizeof value);
  return value;
}

void observe(const base::LogId& id, std::span<const base::LogValue> values, std::string_view queue_id) {
  const std::span<const base::LogId> all = events();
  if (&id < all.data() || &id >= all.data() + all.size()) return;
  const auto at = static_cast<size_t>(&id - all.data());
  if (!TrackedEvents::is_tracked(at)) return;
  Tracker* const tracker = g_tracker.load(std::memory_order_acquire);
  if (tracker != nullptr && tracker->on()) tracker->note(at, values, queue_id);
}

}  // namespace

Tracker::Tracker(Service& service, size_t queue_bytes) : service_(service), queue_bytes_(queue_bytes) {
  const auto live = service_.current();
  const Settings& settings = live->generation->settings;
  on_.store(!settings.store.empty() && settings.tracking_keep != 0, std::memory_order_relaxed);
}

Tracker::~Tracker() { stop(); }

void Tracker::start() {
  if (service_.store_place().where.empty()) return;
  g_tracker.store(this, std::memory_order_release);
  base::observe_log(observe);
  thread_.start("tracker", [this] { run(); });
}

void Tracker::stop() {
  if (!thread_.started()) return;
  base::unobserve_log(observe);
  g_tracker.store(nullptr, std::memory_order_release);
  thread_.stop();
  retry_ = {};
  forget_ = Clock::time_point::max();
  const auto waits = [this] {
    const std::lock_guard lock(mutex_);
    return !queue_.empty();
  };
  while (turn(static_cast<int64_t>(std::time(nullptr)), Clock::now()) || (waits() && retry_ == Clock::time_point())) {
  }
}

void Tracker::note(size_t event, std::span<const base::LogValue> values, std::string_view queue_id) {
  thread_local std::string record;
  Header header{};
  record.assign(sizeof header, '\0');
  queue_id = queue_id.substr(0, kMaxValue);
  record += queue_id;
  for (const base::LogValue& value : values) {
    const std::string_view name = value.name.substr(0, kMaxValue);
    const std::string_view text = value.value.substr(0, kMaxValue);
    append_length(record, name.size());
    append_length(record, text.size());
    record += name;
    record += text;
  }
  header.bytes = static_cast<uint32_t>(record.size() - sizeof header);
  header.event = static_cast<uint16_t>(event);
  header.values = static_cast<uint16_t>(values.size());
  header.queue_id = static_cast<uint16_t>(queue_id.size());
  header.time = static_cast<int64_t>(std::time(nullptr));
  std::memcpy(record.data(), &header, sizeof header);
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + record.size() > queue_bytes_) {
      ++dropped_;
      return;
    }
    wake = queue_.size() < kWakeBytes && queue_.size() + record.size() >= kWakeBytes;
    queue_ += record;
  }
  if (wake) thread_.wake();
}

// parse collects lines until there are enough for one transaction.
void Tracker::parse(int64_t now) {
  if (read_ == taken_.size()) {
    taken_.clear();
    read_ = 0;
    const std::lock_guard lock(mutex_);
    taken_.swap(queue_);
  }
  std::vector<base::LogValue> values;
  for (size_t lines = 0; lines < kLinesAtOnce && read_ < taken_.size(); ++lines) {
    Header header;
    std::memcpy(&header, taken_.data() + read_, sizeof header);
    std::string_view body = std::string_view(taken_).substr(read_ + sizeof header, header.bytes);
    read_ += sizeof header + header.bytes;
    const std::string_view queue_id = cut(body, header.queue_id);
    values.clear();
    for (uint16_t i = 0; i < header.values; ++i) {
      const size_t name = read_length(body);
      const size_t text = read_length(body);
      base::LogValue& value = values.emplace_back();
      value.name = cut(body, name);
      value.value = cut(body, text);
    }
    std::string text = base::log_text(events()[header.event], values);
    if (!queue_id.empty()) text += " queue-id=" + base::escape_for_log(queue_id);
    collected_.add(header.event, values, queue_id, std::min(header.time, now), text);
  }
  // One burst of lines should not be paid for ever after.
  if (read_ == taken_.size() && taken_.capacity() > (4u << 20)) {
    std::string().swap(taken_);
    read_ = 0;
  }
}

base::Result<void> Tracker::write(Clock::time_point steady) {
  if (tracking_ == nullptr) {
    // Only to forget what may be there, and that is done now and then.
    if (!on() && batch_.empty() && steady < forget_) return {};
    store::Store::Open how = service_.store_place();
    how.create = on();
    auto opened = store::Tracking::open(how);
    if (!opened && !on() && opened.error().cause() == base::Cause::not_found) return {};
    if (!opened) return std::unexpected(std::move(opened.error()));
    tracking_ = std::move(*opened);
  }
  if (batch_.empty()) return {};
  if (auto done = tracking_->write(batch_, batch_name_); !done) return done;
  batch_.clear();
  return {};
}

base::Result<void> Tracker::forget(int64_t now, Clock::time_point steady) {
  if (steady < forget_) return {};
  const auto live = service_.current();
  const auto keep = static_cast<int64_t>(live->generation->settings.tracking_keep);
  on_.store(keep != 0, std::memory_order_relaxed);
  std::optional<int64_t> jump;
  if (clock_.frozen(now, steady, jump) || tracking_ == nullptr) {
    forget_ = steady + kForgetEvery;
    return {};
  }
  auto gone = tracking_->forget(now - keep, kForgetAtOnce);
  if (!gone) return std::unexpected(std::move(gone.error()));
  // What is new goes first, what is old next.
  if (*gone < kForgetAtOnce) forget_ = steady + kForgetEvery;
  return {};
}

// report says once that it fails, or that there is more than can be written, and once that it is over.
void Tracker::report(const base::Result<void>& done) {
  uint64_t dropped = 0;
  bool bad = false;
  {
    const std::lock_guard lock(mutex_);
    dropped = dropped_;
    bad = !done || dropped != reported_;
    reported_ = dropped;
    if (!bad) dropped_ = reported_ = 0;
  }
  if (bad && !failing_) {
    base::emit(event(Event::tracking_failed),
               {{"reason", done ? std::string("more is logged than can be written") : done.error().text()}});
  } else if (!bad && failing_) {
    base::emit(event(Event::tracking_good), {{"count", std::to_string(dropped)}});
  }
  failing_ = bad;
}

bool Tracker::turn(int64_t now, Clock::time_point steady) {
  if (steady < retry_) return false;
  if (batch_.empty()) {
    parse(now);
    batch_ = collected_.take();
    batch_name_ = std::to_string(now) + "." + std::to_string(steady.time_since_epoch().count());
  }
  base::Result<void> done = write(steady);
  if (done) done = forget(now, steady);
  report(done);
  retry_ = done ? Clock::time_point() : steady + kRetry;
  return done && (read_ < taken_.size() || forget_ <= steady);
}

void Tracker::run() {
  Clock::time_point next = Clock::now();
  do {
    try {
      while (turn(static_cast<int64_t>(std::time(nullptr)), Clock::now()) && !thread_.stopping().load()) {
      }
    } catch (const std::exception& error) {
      base::emit(event(Event::tracking_failed), {{"reason", error.what()}});
    }
    next = Clock::now() + kGather;
  } while (thread_.wait_until(next));
}

}  // namespace postern::milter
