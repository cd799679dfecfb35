// SPDX-License-Identifier: Apache-2.0
// The template's loop and the worker's. Whatever is unexpected ends the process: the pool sees to the rest.
#include "engine/scan/worker/serve.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "engine/base/exit_status.h"
#include "engine/base/handle.h"
#include "engine/scan/client/protocol.h"
#include "engine/scan/worker/memory_note.h"
#include "engine/scan/worker/sandbox.h"

namespace postern::scan::worker {

using base::UniqueFd;

namespace {

constexpr int kSocket = 3;
// What a worker keeps of freed memory for its next job, since pages that are taken anew for each cost as much as a
// document's text; and blocks larger than the other go back at once.
constexpr int kKeptMemory = 8 << 20;
constexpr int kLargeBlock = 4 << 20;
constexpr uint64_t kCpuGrace = 500;  // ms that a scan may take to see by itself that its time is over

constexpr const char* kHelp =
    "postern-scan: looks into attachments for posternd and postern, as a process without rights.\n"
    "\n"
    "It is started by those programs, which hand it what they want to know about over a socket.\n"
    "To scan a file by hand:  postern scan FILE...\n"
    "\n"
    "  --help     this text\n"
    "  --version  the version\n";

Serving state;

struct Program {
  Verdict (*scan)(const Job&) = nullptr;
  uint64_t memory = 512ull << 20;
  pid_t parent = 0;
};

[[noreturn]] void end(int status) { ::_exit(status); }

uint64_t cpu_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000u + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

void send_frame(std::string_view frame) {
  ssize_t sent = 0;
  do sent = ::send(kSocket, frame.data(), frame.size(), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent != static_cast<ssize_t>(frame.size())) end(base::kUnavailable);
}

// receive_frame waits for the next message; the end of the socket is the end.
std::string receive_frame() {
  std::array<char, kMaxMessage> buffer;
  ssize_t got = 0;
  do got = ::recv(kSocket, buffer.data(), buffer.size(), 0);
  while (got < 0 && errno == EINTR);
  if (got <= 0) end(base::kDone);
  return std::string(buffer.data(), static_cast<size_t>(got));
}

Message receive(Kind kind, uint64_t job, std::string* whole = nullptr) {
  std::string frame = receive_frame();
  const std::optional<Message> message = decode_message(frame);
  if (!message || message->kind != kind || (job != 0 && message->job != job)) end(base::kBadData);
  if (whole != nullptr) *whole = std::move(frame);
  return *message;
}

// Gathered is a thing that came in several pieces, in memory that goes back afterwards. Fresh memory costs a fault a
// page when it is written to, which is more than all the rest of a large job: so it is made of large pages where the
// kernel has them, and all of it is there before the first byte comes.
class Gathered {
 public:
  explicit Gathered(size_t size) : size_(size + kLargePage) {
    void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = memory;
    size_t whole = size_;
    std::align(kLargePage, size, memory, whole);
    data_ = static_cast<char*>(memory);
    // Kernels without the one or the other serve page by page.
    ::madvise(data_, size, MADV_HUGEPAGE);
    ::madvise(data_, size, MADV_POPULATE_WRITE);
  }
  Gathered(const Gathered&) = delete;
  Gathered& operator=(const Gathered&) = delete;
  ~Gathered() {
    if (memory_ != nullptr) ::munmap(memory_, size_);
  }
  char* data() const { return data_; }

 private:
  static constexpr size_t kLargePage = 2u << 20;
  void* memory_ = nullptr;
  char* data_ = nullptr;
  size_t size_;
};

// gather takes the pieces after the first; false: there is no memory for all.
bool gather(const Message& first, const Gathered& all) {
  if (all.data() == nullptr) return false;
  size_t filled = 0;
  for (Message now = first;;) {
    if (now.piece > state.pieces.size() || now.piece > first.total - filled) end(base::kBadData);
    std::memcpy(all.data() + filled, state.pieces.data(), now.piece);
    filled += now.piece;
    if (filled == first.total) return true;
    send_frame(encode_message({Kind::more, first.job, 0, 0}));
    now = receive(Kind::piece, first.job);
  }
}

// Answer puts a verdict into the arena piece by piece.
class Answer {
 public:
  explicit Answer(uint64_t job) : job_(job) {}

  bool begin(uint64_t total) {
    total_ = total;
    return true;
  }
  bool put(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t fits = std::min(bytes.size(), state.pieces.size() - filled_);
      std::memcpy(state.pieces.data() + filled_, bytes.data(), fits);
      filled_ += fits;
      bytes.remove_prefix(fits);
      if (filled_ < state.pieces.size()) continue;
      flush();
      if (sent_ < total_) receive(Kind::fetch, job_);
    }
    return true;
  }
  void flush() {
    if (filled_ == 0) return;
    send_frame(encode_message({sent_ == 0 ? Kind::verdict : Kind::verdict_piece, job_, total_, filled_}));
    sent_ += filled_;
    filled_ = 0;
  }

 private:
  uint64_t job_;
  uint64_t total_ = 0;
  uint64_t sent_ = 0;
  size_t filled_ = 0;
};

Verdict scan_noted(const Program& program, const Job& job, const std::atomic<uint32_t>& note) {
  Verdict verdict;
  try {
    verdict = program.scan(job);
  } catch (const std::bad_alloc&) {
    verdict = unscannable(Reason::memory, job.name, job.declared_mime, job.bytes.size());
  }
  // Whoever lacked memory, and whatever became of it: more may be there than was found.
  const bool told = std::ranges::any_of(verdict.leaves, [](const Leaf& leaf) { return leaf.reason == Reason::memory; });
  Reason& reason = verdict.leaves[0].reason;
  if (note.load(std::memory_order_relaxed) != 0 && !told && outweighs(Reason::memory, reason)) reason = Reason::memory;
  return verdict;
}

void serve_job(const Program& program, ArenaHead& head) {
  std::string frame;
  const Message message = receive(Kind::job, 0, &frame);
  base::Result<Job> job = decode_job(std::string_view(frame).substr(kMessageSize));
  if (!job || message.piece > message.total || message.piece > state.pieces.size()) end(base::kBadData);
  state.job = message.job;

  std::optional<Gathered> gathered;
  bool there = true;
  job->bytes = {state.pieces.data(), message.piece};
  if (message.piece < message.total) {
    gathered.emplace(message.total);
    there = gather(message, *gathered);
    job->bytes = {gathered->data(), message.total};
  }
  Verdict verdict;
  if (there) {
    const uint64_t before = cpu_microseconds();
    limit_cpu(static_cast<uint64_t>(job->limits.time.count()) + kCpuGrace);
    verdict = scan_noted(program, *job, head.memory_failed);
    limit_cpu(0);
    verdict.cpu_microseconds = cpu_microseconds() - before;
  } else {
    verdict = unscannable(Reason::memory, job->name, job->declared_mime, message.total);
  }
  gathered.reset();
  Answer answer(message.job);
  encode_verdict(
      verdict, [&](uint64_t total) { return answer.begin(total); },
      [&](std::string_view bytes) { return answer.put(bytes); });
  answer.flush();
}

// What both processes do first: they end with the one that started them.
void follow_parent(const Program& program) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != program.parent) end(base::kUnavailable);
}

[[noreturn]] void worker(const Program& program, UniqueFd socket, UniqueFd arena) {
  follow_parent(program);
  struct stat info{};
  if (::fstat(arena.get(), &info) != 0 || info.st_size <= static_cast<off_t>(kArenaHead)) end(base::kBadData);
  const auto size = static_cast<size_t>(info.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, arena.get(), 0);
  if (memory == MAP_FAILED || ::dup2(socket.get(), kSocket) != kSocket) end(base::kUnavailable);
  ::syscall(SYS_close_range, kSocket + 1, ~0u, 0);
  ::syscall(SYS_close_range, 0, kSocket - 1, 0);
  socket.release();
  arena.release();

  auto& head = *static_cast<ArenaHead*>(memory);
  state.socket = kSocket;
  state.pieces = {static_cast<char*>(memory) + kArenaHead, size - kArenaHead};
  if (const base::Result<void> locked = lock_up(kSocket, program.memory); !locked) {
    // Not a message: the pool takes it for the reason.
    send_frame(locked.error().text());
    end(base::kUnavailable);
  }
  ::mallopt(M_TRIM_THRESHOLD, kKeptMemory);
  ::mallopt(M_MMAP_THRESHOLD, kLargeBlock);
  note_memory_at(&head.memory_failed);
  send_frame(encode_message({Kind::hello, 0, static_cast<uint64_t>(::getpid()), 0}));
  for (;;) serve_job(program, head);
}

// take_request receives a request for a worker with its two descriptors; false at the end.
bool take_request(UniqueFd& socket, UniqueFd& arena) {
  std::array<char, kMaxMessage> buffer;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  iovec bytes{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do got = ::recvmsg(kSocket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(2 * sizeof(int))) return false;
  std::array<int, 2> fds{};
  std::memcpy(fds.data(), CMSG_DATA(head), sizeof fds);
  socket.reset(fds[0]);
  arena.reset(fds[1]);
  return true;
}

int serve_template(const Program& program, void (*prepare)()) {
  follow_parent(program);
  ::syscall(SYS_close_range, kSocket + 1, ~0u, 0);
  // A stop of the whole service comes to every process of it; jobs in progress are still to be finished.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  prepare();
  if (const base::Result<void> restricted = restrict_template(); !restricted) {
    send_frame(restricted.error().text());
    return base::kUnavailable;
  }
  send_frame(encode_message({Kind::hello, vocabulary(), 0, 0}));
  UniqueFd socket;
  UniqueFd arena;
  while (take_request(socket, arena)) {
    // The pool's child, not ours: it waits for it and kills it itself.
    const long pid = ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    const int error = errno;
    if (pid == 0) worker(program, std::move(socket), std::move(arena));
    socket.reset();
    arena.reset();
    send_frame(encode_message(
        {Kind::hello, 0, pid > 0 ? static_cast<uint64_t>(pid) : 0, pid > 0 ? 0 : static_cast<uint64_t>(error)}));
  }
  return base::kDone;
}

template <class T>
bool read_option(std::string_view argument, std::string_view name, T& value) {
  if (!argument.starts_with(name)) return false;
  argument.remove_prefix(name.size());
  const auto [last, error] = std::from_chars(argument.data(), argument.data() + argument.size(), value);
  return error == std::errc() && last == argument.data() + argument.size();
}

bool has_socket() {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(kSocket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

}  // namespace

const Serving& serving() { return state; }

int run_program(int argc, char** argv, void (*prepare)(), Verdict (*scan)(const Job&)) {
  Program program;
  program.scan = scan;
  bool serve = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::fputs(kHelp, stdout);
      return base::kDone;
    }
    if (argument == "--version") {
      std::puts("postern-scan " POSTERN_VERSION);
      return base::kDone;
    }
    if (argument == "--serve") {
      serve = true;
    } else if (!read_option(argument, "--memory=", program.memory) &&
               !read_option(argument, "--parent=", program.parent)) {
      std::fprintf(stderr, "postern-scan: unknown option '%s'\n", argv[i]);
      return base::kUsage;
    }
  }
  if (!serve || program.parent == 0 || !has_socket()) {
    std::fputs(
        "postern-scan: this program is started by posternd and postern, which talk to it over a socket;\n"
        "to scan a file by hand: postern scan FILE...\n",
        stderr);
    return base::kUsage;
  }
  return serve_template(program, prepare);
}

}  // namespace postern::scan::worker
