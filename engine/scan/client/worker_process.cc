// SPDX-License-Identifier: Apache-2.0
// Children by pidfd, arenas by sealed memfd, and the exchange of one job.
#include "engine/scan/client/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace postern::scan {

using base::Cause;
using base::fail;
using base::Result;
using base::system_error;
using base::UniqueFd;

namespace {

// Where the started program finds its socket.
constexpr int kSocketFd = 3;
constexpr int kHighFd = 10;
// A job that takes more of the processor than the first leaves it to others where they want it, past the second more
// so: what spins until its time is over shall not cost the quick ones theirs. That it took long is no reason: where all
// wait for the processor all do, and who is put back then never ends.
constexpr std::chrono::milliseconds kSlow[] = {std::chrono::milliseconds(500), std::chrono::milliseconds(3000)};
constexpr int kSlowNice = 6;  // by step
constexpr size_t kKeptFrame = 1u << 20;
constexpr int kMostNice = 19;
// Between the end of a worker's socket and its own: long where memory is short, or the processor has much to do.
constexpr auto kEnding = std::chrono::seconds(2);
// For a copy of a template that is gone to say who it is; the pool's keeper waits that long.
constexpr auto kUnnamed = std::chrono::seconds(2);

int milliseconds_left(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

Result<std::pair<UniqueFd, UniqueFd>> socket_pair() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return std::unexpected(system_error("making a socket for a scan worker", errno));
  }
  return std::pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool send_frame(int socket, std::string_view frame) {
  ssize_t sent = 0;
  do sent = ::send(socket, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(frame.size());
}

// receive_frame reads what is there: nullopt at the end of the socket or when nothing is; a frame too long comes out
// too long.
std::optional<std::string> receive_frame(int socket) {
  std::array<char, kMaxMessage + 1> buffer;
  ssize_t got = 0;
  do got = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<size_t>(got));
}

std::optional<Message> receive_hello(int socket, Clock::time_point deadline) {
  pollfd wait{socket, POLLIN, 0};
  int got = 0;
  do got = ::poll(&wait, 1, milliseconds_left(deadline));
  while (got < 0 && errno == EINTR);
  const std::optional<std::string> frame = got > 0 ? receive_frame(socket) : std::nullopt;
  const std::optional<Message> message = frame ? decode_message(*frame) : std::nullopt;
  return message && message->kind == Kind::hello ? message : std::nullopt;
}

// is_child tells whether this is the number of a child of ours: nothing else may ever be taken for a worker and killed.
bool is_child(uint64_t pid) {
  siginfo_t info{};
  return pid > 0 && pid <= INT32_MAX &&
         ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// last_words says how a process ended that closed its socket a moment ago.
std::string last_words(const Child& child) {
  pollfd end{child.fd(), POLLIN, 0};
  while (::poll(&end, 1, 1000) < 0 && errno == EINTR) continue;
  return child.ended() ? child.death().text() : "it hangs";
}

}  // namespace

std::string Death::text() const {
  if (signal == 0) return "exit status " + std::to_string(status);
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : "SIG" + std::string(name);
}

Child::Child(pid_t pid) : pid_(pid), fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), fd_(std::move(other.fd_)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  this->~Child();
  return *new (this) Child(std::move(other));
}

Child::~Child() {
  if (pid_ <= 0) return;
  kill();
  int done = 0;
  do done = ::waitid(P_PID, static_cast<id_t>(pid_), nullptr, WEXITED);
  while (done != 0 && errno == EINTR);
}

// Nobody else waits for our children, so the number stays ours until wait().
void Child::kill() const {
  if (pid_ <= 0) return;
  if (fd_) {
    ::syscall(SYS_pidfd_send_signal, fd_.get(), SIGKILL, nullptr, 0);
  } else {
    ::kill(pid_, SIGKILL);
  }
}

bool Child::ended() const {
  siginfo_t info{};
  info.si_pid = 0;
  return pid_ <= 0 || ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == pid_;
}

Death Child::death() const {
  Death out;
  siginfo_t info{};
  if (pid_ <= 0 || ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return out;
  (info.si_code == CLD_EXITED ? out.status : out.signal) = info.si_status;
  return out;
}

std::chrono::nanoseconds Child::cpu() const {
  clockid_t clock{};
  timespec now{};
  if (pid_ <= 0 || ::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &now) != 0) return {};
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Result<Arena> Arena::make(size_t size) {
  constexpr unsigned kNoExec = 8;  // MFD_NOEXEC_SEAL, Linux 6.3
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Arena arena;
  arena.fd_.reset(::memfd_create("postern-scan", kFlags | kNoExec));
  if (!arena.fd_ && errno == EINVAL) arena.fd_.reset(::memfd_create("postern-scan", kFlags));
  if (!arena.fd_) return std::unexpected(system_error("making memory for a scan worker", errno));
  const size_t whole = kArenaHead + size;
  if (::ftruncate(arena.fd_.get(), static_cast<off_t>(whole)) != 0 ||
      ::fcntl(arena.fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return std::unexpected(system_error("making memory for a scan worker", errno));
  }
  void* memory = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, arena.fd_.get(), 0);
  if (memory == MAP_FAILED) return std::unexpected(system_error("mapping memory of a scan worker", errno));
  arena.memory_ = static_cast<char*>(memory);
  arena.size_ = whole;
  new (memory) ArenaHead;
  return arena;
}

Arena::Arena(Arena&& other) noexcept
    : fd_(std::move(other.fd_)), memory_(std::exchange(other.memory_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  return *this;
}

Arena::~Arena() {
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

void WorkerProcess::slow_down(Clock::time_point now) {
  const std::chrono::nanoseconds used = child_.cpu() - job_began_;
  if (used >= kSlow[slowed_]) {
    ++slowed_;
    const int wanted = ::getpriority(PRIO_PROCESS, 0) + slowed_ * kSlowNice;
    // Without the right to do that it stays as quick as others, and nothing else changes.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(child_.pid()), std::min(wanted, kMostNice));
  }
  slow_at_ = Clock::time_point::max();
  if (slowed_ == static_cast<int>(std::size(kSlow))) return;
  // A worker is one thread: it cannot get there sooner.
  slow_at_ = now + std::max<std::chrono::nanoseconds>(kSlow[slowed_] - used, std::chrono::milliseconds(10));
}

WorkerProcess::Wait WorkerProcess::wait_readable(Clock::time_point deadline) {
  for (;;) {
    std::array<pollfd, 2> waits{{{socket_.get(), POLLIN, 0}, {child_.fd(), POLLIN, 0}}};
    const int ready = ::poll(waits.data(), waits.size(), milliseconds_left(std::min(deadline, slow_at_)));
    if (ready < 0 && errno == EINTR) continue;
    // A last message may stand before the end.
    if ((waits[0].revents & POLLIN) != 0) return Wait::message;
    if (ready > 0) return Wait::died;
    const Clock::time_point now = Clock::now();
    if (now >= deadline) return Wait::late;
    if (now >= slow_at_) slow_down(now);
  }
}

bool WorkerProcess::exchange(const std::string& frame, Kind expected, Kind other, Message& answer,
                             Clock::time_point deadline, Outcome& outcome) {
  const bool sent = send_frame(socket_.get(), frame);
  const Wait wait = sent ? wait_readable(deadline) : Wait::died;
  if (wait == Wait::late) {
    outcome.end = End::late;
    return false;
  }
  const std::optional<std::string> got = wait == Wait::message ? receive_frame(socket_.get()) : std::nullopt;
  if (!got) {
    // It may have closed the socket and live on; an end comes after its socket's, and how it ended tells a crash from a
    // process that was killed.
    pollfd end{child_.fd(), POLLIN, 0};
    const auto soon = std::min(deadline, Clock::now() + kEnding);
    while (::poll(&end, 1, milliseconds_left(soon)) < 0 && errno == EINTR) continue;
    outcome.end = child_.ended() ? End::died : End::nonsense;
    outcome.what = "it closed its socket";
    if (outcome.end == End::died) outcome.death = child_.death();
    return false;
  }
  const std::optional<Message> message = decode_message(*got);
  if (!message || got->size() != kMessageSize || message->job != job_ ||
      (message->kind != expected && message->kind != other)) {
    outcome.end = End::nonsense;
    outcome.what = "a message that is none";
    return false;
  }
  answer = *message;
  return true;
}

bool WorkerProcess::take_verdict(const Message& first, const Job& job, Clock::time_point deadline, Outcome& outcome) {
  outcome.end = End::nonsense;
  if (first.total > kMaxVerdictHead + job.limits.text) {
    outcome.what = "a verdict too long";
    return false;
  }
  const std::span<char> pieces = arena_.pieces();
  std::string& frame = frame_;
  frame.clear();
  frame.reserve(first.total);
  Message now = first;
  for (;;) {
    if (now.piece == 0 || now.piece > pieces.size() || now.piece > first.total - frame.size()) {
      outcome.what = "a piece of a verdict that does not fit";
      return false;
    }
    // From here on only our copy is looked at: the worker can still write to the arena.
    frame.append(pieces.data(), now.piece);
    if (frame.size() == first.total) break;
    outcome.end = End::answered;
    if (!exchange(encode_message({Kind::fetch, job_, first.total, 0}), Kind::verdict_piece, Kind::verdict_piece, now,
                  deadline, outcome)) {
      return false;
    }
    outcome.end = End::nonsense;
  }
  Result<Verdict> verdict = decode_verdict(frame, job.limits.text);
  if (frame.capacity() > kKeptFrame) frame = std::string();
  if (!verdict) {
    outcome.what = verdict.error().text();
    return false;
  }
  outcome.end = End::answered;
  outcome.verdict = std::move(*verdict);
  cpu_ += std::chrono::microseconds(std::min<uint64_t>(outcome.verdict.cpu_microseconds, 3'600'000'000u));
  return true;
}

WorkerProcess::Outcome WorkerProcess::run(const Job& job, Clock::time_point deadline) {
  Outcome outcome;
  ++job_;
  ++jobs_;
  job_began_ = child_.cpu();
  slow_at_ = Clock::now() + kSlow[0];
  arena_.head().memory_failed.store(0, std::memory_order_relaxed);
  const std::span<char> pieces = arena_.pieces();
  std::string_view rest = job.bytes;
  Message answer;
  for (bool begin = true; begin || !rest.empty(); begin = false) {
    const std::string_view piece = rest.substr(0, pieces.size());
    if (!piece.empty()) std::memcpy(pieces.data(), piece.data(), piece.size());
    rest.remove_prefix(piece.size());
    const Message message{begin ? Kind::job : Kind::piece, job_, job.bytes.size(), piece.size()};
    const Kind expected = rest.empty() ? Kind::verdict : Kind::more;
    // A worker that has no room for the rest answers before it came.
    if (!exchange(encode_message(message, begin ? encode_job(job) : std::string()), expected, Kind::verdict, answer,
                  deadline, outcome)) {
      outcome.memory_failed = arena_.head().memory_failed.load(std::memory_order_relaxed) != 0;
      return outcome;
    }
    if (answer.kind == Kind::verdict) break;
  }
  take_verdict(answer, job, deadline, outcome);
  outcome.memory_failed = arena_.head().memory_failed.load(std::memory_order_relaxed) != 0;
  return outcome;
}

Result<std::unique_ptr<Template>> Template::start(const std::string& program, uint64_t memory) {
  auto ends = socket_pair();
  if (!ends) return std::unexpected(std::move(ends.error()));
  // Above the numbers that it is moved to, so that moving it never falls on itself.
  const UniqueFd theirs(::fcntl(ends->second.get(), F_DUPFD_CLOEXEC, kHighFd));
  if (!theirs) return std::unexpected(system_error("making a socket for a scan worker", errno));

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  for (const int fd : {0, 1, 2}) ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&files, theirs.get(), kSocketFd);
  ::posix_spawn_file_actions_addclosefrom_np(&files, kSocketFd + 1);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  // A process group of its own: what is typed at a terminal is not for workers.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  const std::string memory_option = "--memory=" + std::to_string(memory);
  const std::string parent_option = "--parent=" + std::to_string(::getpid());
  std::vector<const char*> arguments = {program.c_str(), "--serve", memory_option.c_str(), parent_option.c_str(),
                                        nullptr};
  std::vector<std::string> kept = {"LC_ALL=C.UTF-8", "TZ=UTC0"};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = ::getenv(name)) kept.push_back(std::string(name) + "=" + value);
  }
  std::vector<const char*> environment;
  for (const std::string& entry : kept) environment.push_back(entry.c_str());
  environment.push_back(nullptr);

  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, program.c_str(), &files, &attributes, const_cast<char* const*>(arguments.data()),
                    const_cast<char* const*>(environment.data()));
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return std::unexpected(system_error("starting " + program, error));
  return std::unique_ptr<Template>(new Template(Child(pid), std::move(ends->first)));
}

Result<bool> Template::ready(Clock::time_point deadline) {
  if (ready_) return true;
  pollfd wait{socket_.get(), POLLIN, 0};
  int got = 0;
  do got = ::poll(&wait, 1, milliseconds_left(deadline));
  while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  const std::optional<std::string> frame = receive_frame(socket_.get());
  const std::optional<Message> message = frame ? decode_message(*frame) : std::nullopt;
  if (message && message->kind == Kind::hello && message->job == vocabulary() && frame->size() == kMessageSize) {
    return ready_ = true;
  }
  if (frame) {
    // What is not a message is its last word.
    return fail(Cause::unavailable, "the scan worker program does not start: " +
                                        (message ? std::string("it is of another version than this program") : *frame));
  }
  return fail(Cause::unavailable, "the scan worker program ended at its start: " + last_words(child_));
}

// bury_unnamed ends the copy that a template may have made whose answer never came, and the template before it:
// `socket` is the copy's. It names itself there, before it has seen a message; from one that does not, nothing comes
// but the end.
void Template::bury_unnamed(UniqueFd socket) {
  child_ = Child();
  const std::optional<Message> hello = receive_hello(socket.get(), Clock::now() + kUnnamed);
  if (hello && is_child(hello->total)) const Child gone(static_cast<pid_t>(hello->total));
}

Result<std::unique_ptr<WorkerProcess>> Template::worker(size_t arena_size, Clock::time_point deadline) {
  auto ends = socket_pair();
  if (!ends) return std::unexpected(std::move(ends.error()));
  Result<Arena> arena = Arena::make(arena_size);
  if (!arena) return std::unexpected(std::move(arena.error()));

  const std::array<int, 2> fds{ends->second.get(), arena->fd()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control{};
  const std::string frame = encode_message({Kind::job, 0, arena_size, 0});
  iovec bytes{const_cast<char*>(frame.data()), frame.size()};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(head), fds.data(), sizeof fds);
  ssize_t sent = 0;
  do sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    if (errno == EPIPE || errno == ECONNRESET) health_ = Health::lost;
    return std::unexpected(system_error("asking for a scan worker", errno));
  }
  ends->second.reset();
  arena->close_fd();

  // The number of the new process, and then, on its own socket, its hello once it has locked itself up. Without the
  // answer to this request that to the next could not be told from it.
  health_ = Health::lost;
  const std::optional<Message> made = receive_hello(socket_.get(), deadline);
  if (!made) {
    bury_unnamed(std::move(ends->first));
    return fail(Cause::unavailable, "the scan workers' template is gone");
  }
  if (made->total == 0) {
    health_ = Health::good;
    return std::unexpected(system_error("making a scan worker", static_cast<int>(made->piece & 0xffff)));
  }
  if (!is_child(made->total)) {
    return fail(Cause::unavailable, "the scan workers' template named a process that is none of ours");
  }
  Child child(static_cast<pid_t>(made->total));
  health_ = Health::doubtful;
  const std::optional<Message> hello = receive_hello(ends->first.get(), deadline);
  if (!hello) {
    return fail(Cause::unavailable, "a scan worker ended before its first job: " + last_words(child));
  }
  health_ = Health::good;
  if (child.fd() < 0) return fail(Cause::unavailable, "a scan worker could not be watched");
  return std::make_unique<WorkerProcess>(std::move(child), std::move(ends->first), std::move(*arena));
}

}  // namespace postern::scan
