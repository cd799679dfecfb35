// SPDX-License-Identifier: Apache-2.0
// The audit log as it is written: one pwrite a record under one mutex, syncing outside of it. Invariants: a record
// counts (sequence number, hash, end of segment) only when all of it was written; `fd_` is not replaced while it is
// being synced; a descriptor whose sync failed once is not synced again, because the kernel tells of lost pages only
// once.
#include "keystore/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "keystore/audit_record.h"
#include "keystore/audit_segments.h"

namespace postern::keystore {

using base::Cause;
using base::fail;
using base::Result;
using base::UniqueFd;
using std::chrono::steady_clock;

namespace {

// Half of what is promised, so that a slow disk keeps the promise too.
constexpr auto kSyncAfter = std::chrono::milliseconds(500);
// While there is no room, looking for it costs a few system calls; key use does not pay them each time.
constexpr auto kRoomRetry = std::chrono::milliseconds(200);
constexpr auto kRingAlertPause = std::chrono::hours(1);
// A record of our own that has to fit in before what is to be recorded.
constexpr size_t kNoticeRoom = 2048;

class AuditLog final : public Audit {
 public:
  AuditLog(AuditOptions options, PrivateDirectory directory)
      : options_(std::move(options)), directory_(std::move(directory)) {}
  ~AuditLog() override;

  Result<void> start();
  using Audit::append;
  Result<void> append(Weight weight, std::string_view action, AuditValues values) override;
  Result<std::string> read(uint64_t from, size_t most, uint64_t& next) override;
  Head head() const override;

 private:
  using Lock = std::unique_lock<std::mutex>;

  Result<void> record(Lock& lock, Weight weight, std::string_view action, std::string_view values);
  Result<bool> make_room(Lock& lock, Weight weight, size_t need);
  bool fits(size_t need, uint64_t limit) const { return fd_ && segments_.back().end + need <= limit; }
  Result<void> begin_segment();
  bool drop_oldest();
  Result<void> note_removed(uint64_t first, uint64_t last);
  Result<void> note_torn();
  Result<void> write_notice(std::string_view action, std::initializer_list<AuditValue> values);
  Result<void> write_record(std::string_view action, std::string_view values);
  void undo_partial();
  void sync(Lock& lock);
  void give_up_segment(int error_number);
  Result<void> wait_synced(Lock& lock, uint64_t sequence);
  void tell_of_room();
  void enter_trouble(std::string reason);
  void deliver_alerts(Lock& lock);
  void run();

  const AuditOptions options_;
  PrivateDirectory directory_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;     // something to sync, synced, or the end
  std::vector<AuditSegment> segments_;  // the last one is written to
  UniqueFd fd_;
  Room room_ = Room::taken;
  bool failed_ = false;  // the last segment's: nothing there is sure to be on disk
  uint64_t sequence_ = 0;
  std::string hash_{kNoHash};
  RecordHash digest_;
  std::string line_;
  std::optional<SegmentCheck> torn_;  // what is still to be recorded about the last segment

  bool dirty_ = false;
  bool syncing_ = false;
  steady_clock::time_point dirty_since_;
  uint64_t synced_ = 0;
  uint64_t doubtful_ = 0;  // records up to this one that are not below `synced_` may be lost

  std::optional<std::string> trouble_;
  uint64_t refused_ = 0;
  bool full_ = false;
  steady_clock::time_point next_try_;
  std::vector<std::string> alerts_;
  bool told_of_room_ = false;
  steady_clock::time_point next_ring_alert_;
  uint64_t removed_first_ = 0;

  bool stop_ = false;
  std::thread syncer_;

  // Where the last page ended, so that reading on does not search again.
  std::mutex reading_;
  uint64_t cursor_sequence_ = 0;
  uint64_t cursor_number_ = 0;
  uint64_t cursor_offset_ = 0;
};

int64_t now_milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<void> AuditLog::start() {
  if (::flock(directory_.fd(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Cause::unavailable, fmt::format("another process writes the audit log in {}", directory_.path()));
  }
  auto found = list_segments(directory_);
  if (!found) return std::unexpected(found.error());
  segments_ = std::move(*found);
  for (size_t i = segments_.size(); i-- > 0;) {
    auto check = check_segment(directory_, segments_[i].number);
    if (!check) return std::unexpected(check.error());
    segments_[i].end = check->end;
    if (i + 1 == segments_.size() && check->torn != 0) torn_ = *check;
    if (check->records == 0) continue;
    sequence_ = check->last;
    hash_ = check->hash;
    break;
  }
  synced_ = sequence_;

  if (!segments_.empty()) {
    auto fd = directory_.open_file(segment_name(segments_.back().number), O_RDWR);
    if (!fd) return std::unexpected(fd.error());
    fd_ = std::move(*fd);
    // A killed process's last records may be in memory only.
    dirty_ = true;
    dirty_since_ = steady_clock::now();
    // Without room in advance writing is tried all the same.
    auto room = take_room(fd_.get(), options_.segment);
    room_ = room ? *room : Room::unsupported;
    if (room && *room == Room::unsupported) tell_of_room();
  } else if (auto begun = begin_segment(); !begun) {
    if (begun.error().cause() != Cause::unavailable) return begun;
    // A full disk must not keep an officer from looking and zeroising.
    enter_trouble(begun.error().text());
  }
  if (torn_) {
    if (auto noted = note_torn(); !noted) enter_trouble(noted.error().text());
  }
  return {};
}

AuditLog::~AuditLog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  if (syncer_.joinable()) syncer_.join();
  if (fd_ && dirty_ && !failed_) ::fdatasync(fd_.get());
}

Result<void> AuditLog::append(Weight weight, std::string_view action, AuditValues values) try {
  std::string text;
  append_audit_values(text, values);
  if (record_room(action, text) > kMaxRecord) return fail(Cause::limit, "an audit record has too many values");
  Lock lock(mutex_);
  if (!syncer_.joinable()) syncer_ = std::thread([this] { run(); });
  Result<void> outcome = record(lock, weight, action, text);
  if (weight == Weight::use) full_ = !outcome;
  if (outcome && weight != Weight::use) outcome = wait_synced(lock, sequence_);
  deliver_alerts(lock);
  return outcome;
} catch (const std::exception&) {
  // No memory, no thread, or a receiver of alerts that throws.
  return fail(Cause::unavailable, "the audit record could not be made");
}

Result<void> AuditLog::record(Lock& lock, Weight weight, std::string_view action, std::string_view values) {
  const size_t need = record_room(action, values) + (trouble_ || torn_ ? kNoticeRoom : 0);
  const auto room = make_room(lock, weight, need);
  Result<void> outcome;
  if (!room) {
    outcome = std::unexpected(room.error());
  } else {
    if (torn_) outcome = note_torn();
    if (outcome && *room && trouble_) {
      outcome = write_notice("resumed", {{"reason", *trouble_}, {"refused", std::to_string(refused_)}});
      if (outcome) {
        trouble_.reset();
        refused_ = 0;
      }
    }
    if (outcome) outcome = write_record(action, values);
  }
  if (outcome || weight != Weight::use) return outcome;
  ++refused_;
  enter_trouble(outcome.error().text());
  return std::unexpected(std::move(outcome.error()).in("no key is used without a record"));
}

// make_room sees to it that `need` bytes may be written, in a new segment if need be. True: in ordinary room, false: in
// the reserve.
Result<bool> AuditLog::make_room(Lock& lock, Weight weight, size_t need) {
  const uint64_t ordinary = options_.segment - options_.reserve;
  if (!failed_ && fits(need, ordinary)) return true;
  std::string why = trouble_ ? *trouble_ : std::string("no room for the audit log");
  if (weight != Weight::use || steady_clock::now() >= next_try_) {
    changed_.wait(lock, [this] { return !syncing_; });
    if (!failed_ && fits(need, ordinary)) return true;
    auto begun = begin_segment();
    if (begun) return true;
    why = begun.error().text();
    next_try_ = steady_clock::now() + kRoomRetry;
  }
  if (weight == Weight::officer && !failed_ && fits(need, options_.segment - options_.reserve / 2)) return false;
  // Even where it is not sure to last: better than no word of the zeroising.
  if (weight == Weight::zeroise && fits(need, options_.segment)) return false;
  return fail(Cause::unavailable, why);
}

Result<void> AuditLog::begin_segment() {
  // First what the new one follows must be on disk, or a power cut would leave a gap in the chain.
  if (fd_ && dirty_ && !failed_) {
    if (::fdatasync(fd_.get()) != 0) {
      give_up_segment(errno);
    } else {
      dirty_ = false;
      synced_ = sequence_;
    }
  }
  const uint64_t number = segments_.empty() ? 1 : segments_.back().number + 1;
  const uint64_t oldest = segments_.empty() ? 0 : segments_.front().first;
  auto made = make_segment(directory_, number, options_.segment);
  if (!made && options_.keep > 0 && segments_.size() > 1 && drop_oldest()) {
    made = make_segment(directory_, number, options_.segment);
  }
  if (!made) return std::unexpected(made.error());
  fd_ = std::move(made->fd);
  room_ = made->room;
  failed_ = false;
  dirty_ = false;
  segments_.push_back({number, 0, 0});
  if (room_ == Room::unsupported) tell_of_room();
  while (options_.keep > 0 && segments_.size() > options_.keep && drop_oldest()) {
  }
  // The oldest that is left, or the record about to be written.
  uint64_t first = 0;
  for (const AuditSegment& segment : segments_) {
    if (first == 0) first = segment.first;
  }
  if (first == 0) first = sequence_ + 1;
  if (oldest != 0 && first > oldest) return note_removed(oldest, first - 1);
  return {};
}

bool AuditLog::drop_oldest() {
  if (!remove_segment(directory_, segments_.front().number)) return false;
  segments_.erase(segments_.begin());
  return true;
}

Result<void> AuditLog::note_removed(uint64_t first, uint64_t last) {
  if (removed_first_ == 0) removed_first_ = first;
  if (const auto now = steady_clock::now(); now >= next_ring_alert_) {
    alerts_.push_back(fmt::format("records {} to {} ({} of them) were removed from the audit log to make room",
                                  removed_first_, last, last - removed_first_ + 1));
    next_ring_alert_ = now + kRingAlertPause;
    removed_first_ = 0;
  }
  return write_notice("removed", {{"first", std::to_string(first)}, {"last", std::to_string(last)}});
}

// note_torn writes its record over what was torn, so that a crash before it is complete leaves something torn again.
Result<void> AuditLog::note_torn() {
  auto noted = write_notice("torn", {{"bytes", std::to_string(torn_->torn)}, {"sha256", torn_->torn_hash}});
  if (!noted) return noted;
  torn_.reset();
  undo_partial();
  return {};
}

Result<void> AuditLog::write_notice(std::string_view action, std::initializer_list<AuditValue> values) {
  std::string text;
  append_audit_values(text, AuditValues(values.begin(), values.size()));
  return write_record(action, text);
}

Result<void> AuditLog::write_record(std::string_view action, std::string_view values) {
  AuditSegment& segment = segments_.back();
  line_.clear();
  append_record(line_, {sequence_ + 1, now_milliseconds(), action, segment.first == 0 ? segment.number : 0, hash_},
                values);
  const auto hash = digest_(line_);
  line_ += '\n';
  size_t done = 0;
  while (done < line_.size()) {
    const ssize_t count =
        ::pwrite(fd_.get(), line_.data() + done, line_.size() - done, static_cast<off_t>(segment.end + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int number = count < 0 ? errno : EIO;
      // Room may come back; anything else does not get better in this file.
      if (number != ENOSPC && number != EDQUOT) failed_ = true;
      if (done > 0) undo_partial();
      return std::unexpected(base::system_error("writing " + directory_.path_of(segment_name(segment.number)), number));
    }
    done += static_cast<size_t>(count);
  }
  segment.end += line_.size();
  if (segment.first == 0) segment.first = sequence_ + 1;
  ++sequence_;
  hash_.assign(hash.data(), hash.size());
  if (failed_) doubtful_ = sequence_;
  if (!dirty_) {
    dirty_ = true;
    dirty_since_ = steady_clock::now();
    changed_.notify_all();
  }
  return {};
}

// undo_partial cuts the file behind its last whole record, which also gives back the room that was taken.
void AuditLog::undo_partial() {
  if (::ftruncate(fd_.get(), static_cast<off_t>(segments_.back().end)) != 0) {
    failed_ = true;
    return;
  }
  if (room_ == Room::taken) (void)take_room(fd_.get(), options_.segment);
}

void AuditLog::sync(Lock& lock) {
  syncing_ = true;
  dirty_ = false;
  const uint64_t upto = sequence_;
  const int fd = fd_.get();
  lock.unlock();
  const int done = ::fdatasync(fd);
  const int number = errno;
  lock.lock();
  syncing_ = false;
  if (done == 0) {
    synced_ = upto;
  } else {
    give_up_segment(number);
  }
  changed_.notify_all();
}

void AuditLog::give_up_segment(int error_number) {
  failed_ = true;
  doubtful_ = sequence_;
  const std::string name = directory_.path_of(segment_name(segments_.back().number));
  enter_trouble(
      base::system_error(fmt::format("records up to {} may be lost: syncing {}", sequence_, name), error_number)
          .text());
}

Result<void> AuditLog::wait_synced(Lock& lock, uint64_t sequence) {
  while (true) {
    changed_.wait(lock, [this] { return !syncing_; });
    if (sequence <= doubtful_) return fail(Cause::unavailable, "the audit record is not sure to be on disk");
    if (sequence <= synced_) return {};
    sync(lock);
  }
}

void AuditLog::tell_of_room() {
  if (std::exchange(told_of_room_, true)) return;
  alerts_.push_back(
      fmt::format("the file system of {} cannot set room aside: when it is full, nothing at all can be recorded",
                  directory_.path()));
}

void AuditLog::enter_trouble(std::string reason) {
  if (trouble_) return;
  alerts_.push_back(reason);
  trouble_ = std::move(reason);
}

void AuditLog::deliver_alerts(Lock& lock) {
  if (alerts_.empty()) return;
  std::vector<std::string> alerts = std::exchange(alerts_, {});
  lock.unlock();
  for (const std::string& alert : alerts) {
    if (on_alert) on_alert(alert);
  }
  lock.lock();
}

void AuditLog::run() {
  Lock lock(mutex_);
  while (!stop_) {
    if (!dirty_ || syncing_ || failed_) {
      changed_.wait(lock);
    } else if (const auto when = dirty_since_ + kSyncAfter; steady_clock::now() < when) {
      changed_.wait_until(lock, when);
    } else {
      sync(lock);
      deliver_alerts(lock);
    }
  }
}

Result<std::string> AuditLog::read(uint64_t from, size_t most, uint64_t& next) {
  const std::lock_guard reading(reading_);
  // A segment that the ring removes between being chosen and opened makes us choose again.
  for (int tries = 0; tries < 3; ++tries) {
    std::vector<AuditSegment> segments;
    {
      const std::lock_guard lock(mutex_);
      for (const AuditSegment& segment : segments_) {
        if (segment.first != 0) segments.push_back(segment);
      }
    }
    next = from;
    if (segments.empty()) return std::string();
    if (from < segments.front().first) next = from = segments.front().first;
    size_t index = segments.size() - 1;
    while (segments[index].first > from) --index;
    const AuditSegment& segment = segments[index];

    auto fd = directory_.open_file(segment_name(segment.number), O_RDONLY);
    if (!fd && fd.error().cause() == Cause::not_found) continue;
    if (!fd) return std::unexpected(fd.error());
    uint64_t offset = cursor_offset_;
    if (cursor_sequence_ != from || cursor_number_ != segment.number) {
      auto found = skip_records(fd->get(), from - segment.first, segment.end);
      if (!found) return std::unexpected(found.error());
      offset = *found;
    }
    auto page = read_records(fd->get(), offset, segment.end, most);
    if (!page) return std::unexpected(page.error());
    if (page->count == 0 && index + 1 < segments.size()) {
      // Only records that were lost can bring us here: go on behind them.
      from = segments[index + 1].first;
      continue;
    }
    next = from + page->count;
    if (page->count > 0) {
      cursor_sequence_ = next;
      cursor_number_ = segment.number;
      cursor_offset_ = offset + page->text.size();
    }
    return std::move(page->text);
  }
  return fail(Cause::unavailable, fmt::format("the records from {} on cannot be found in {}", from, directory_.path()));
}

Audit::Head AuditLog::head() const {
  const std::lock_guard lock(mutex_);
  Head out;
  out.sequence = sequence_;
  out.hash = hash_;
  out.full = full_;
  for (const AuditSegment& segment : segments_) {
    if (out.first == 0) out.first = segment.first;
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Audit>> Audit::open(const AuditOptions& options) {
  if (options.reserve < kLeastReserve || options.segment < kLeastSegment || options.segment > kMaxSegment ||
      options.segment / 4 < options.reserve) {
    return fail(
        Cause::misconfigured,
        fmt::format(
            "the audit log's segment must be from {} to {} bytes and four times its reserve, which is at least {}",
            kLeastSegment, kMaxSegment, kLeastReserve));
  }
  auto directory = PrivateDirectory::open(options.directory, true);
  if (!directory) return std::unexpected(std::move(directory.error()).in("audit log"));
  auto log = std::make_unique<AuditLog>(options, std::move(*directory));
  if (auto started = log->start(); !started) return std::unexpected(std::move(started.error()).in("audit log"));
  return log;
}

}  // namespace postern::keystore
