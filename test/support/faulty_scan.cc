// SPDX-License-Identifier: Apache-2.0
// faulty-scan: postern-scan with a scan function that does what the job says: what a parser with a hole in it might do.
// A job is a word, with a number after it where it takes one, and a line end. Any other job is answered with its size
// and a checksum as text.
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "engine/scan/client/protocol.h"
#include "engine/scan/worker/memory_note.h"
#include "engine/scan/worker/serve.h"

namespace {

using namespace postern::scan;

Verdict answer(const Job& job, std::string text, Reason reason = Reason::none) {
  Verdict verdict = unscannable(reason, job.name, job.declared_mime, job.bytes.size());
  verdict.leaves[0].protection = Protection::no;
  verdict.leaves[0].text = std::move(text);
  return verdict;
}

uint64_t checksum(std::string_view bytes) {
  uint64_t sum = 14695981039346656037u;
  for (const char c : bytes) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return sum;
}

void say(std::string_view frame) { ::send(worker::serving().socket, frame.data(), frame.size(), 0); }

// say_verdict announces `total` bytes, `piece` of them in the arena, which holds `bytes`.
void say_verdict(std::string_view bytes, uint64_t total, uint64_t piece, uint64_t job = worker::serving().job) {
  std::memcpy(worker::serving().pieces.data(), bytes.data(), bytes.size());
  say(encode_message({Kind::verdict, job, total, piece}));
}

[[noreturn]] void hang() {
  for (;;) {
    const timespec long_time{1000, 0};
    ::nanosleep(&long_time, nullptr);
  }
}

// Sanitizers have no bound of address space to run into.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kHogBound = 128u << 20;
#else
constexpr size_t kHogBound = SIZE_MAX;
#endif

[[noreturn]] void hog(bool c_library) {
  constexpr size_t kPiece = 8u << 20;
  std::vector<char*> kept;
  for (size_t total = 0;; total += kPiece) {
    char* memory = nullptr;
    if (total < kHogBound) {
      memory = c_library ? static_cast<char*>(std::malloc(kPiece)) : new char[kPiece];
    } else if (!c_library) {
      worker::note_memory();
      throw std::bad_alloc();
    } else {
      worker::note_memory();
    }
    if (memory == nullptr) std::abort();  // as GLib does
    std::memset(memory, 1, kPiece);
    kept.push_back(memory);
  }
}

// What must not be possible. Each gives the result of a system call that should fail.
const std::map<std::string_view, std::function<long()>>& escapes() {
  static char path[] = "/etc/passwd";
  static const std::map<std::string_view, std::function<long()>> kAll = {
      {"open", [] { return ::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY); }},
      {"open-legacy", [] { return static_cast<long>(::open(path, O_RDONLY)); }},
      {"open-proc", [] { return ::syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR); }},
      {"creat", [] { return ::syscall(SYS_openat, AT_FDCWD, "/tmp/postern-escape", O_WRONLY | O_CREAT, 0600); }},
      {"stat",
       [] {
         struct stat info{};
         return ::syscall(SYS_newfstatat, AT_FDCWD, path, &info, 0);
       }},
      {"readlink",
       [] {
         char out[64];
         return ::syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", out, sizeof out);
       }},
      {"unlink", [] { return ::syscall(SYS_unlinkat, AT_FDCWD, "/tmp/postern-escape", 0); }},
      {"rename", [] { return ::syscall(SYS_renameat2, AT_FDCWD, "/tmp/a", AT_FDCWD, "/tmp/b", 0); }},
      {"mkdir", [] { return ::syscall(SYS_mkdirat, AT_FDCWD, "/tmp/postern-escape", 0700); }},
      {"chmod", [] { return ::syscall(SYS_fchmodat, AT_FDCWD, path, 0644); }},
      {"chdir", [] { return ::syscall(SYS_chdir, "/"); }},
      {"chroot", [] { return ::syscall(SYS_chroot, "/"); }},
      {"mount", [] { return ::syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, nullptr); }},
      {"socket", [] { return ::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0); }},
      {"socket-unix", [] { return ::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
      {"socketpair",
       [] {
         int two[2];
         return ::syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, two);
       }},
      {"connect",
       [] {
         sockaddr_un to{};
         to.sun_family = AF_UNIX;
         return ::syscall(SYS_connect, 3, &to, sizeof to);
       }},
      {"bind",
       [] {
         sockaddr_un to{};
         to.sun_family = AF_UNIX;
         return ::syscall(SYS_bind, 3, &to, sizeof to);
       }},
      {"sendto-address",
       [] {
         sockaddr_un to{};
         to.sun_family = AF_UNIX;
         return ::syscall(SYS_sendto, 3, "x", 1, 0, &to, sizeof to);
       }},
      {"sendmsg",
       [] {
         msghdr message{};
         return ::syscall(SYS_sendmsg, 3, &message, 0);
       }},
      {"recvmsg",
       [] {
         msghdr message{};
         return ::syscall(SYS_recvmsg, 3, &message, MSG_DONTWAIT);
       }},
      {"exec",
       [] {
         const char* none[] = {nullptr};
         return ::syscall(SYS_execve, "/bin/true", none, none);
       }},
      {"execat",
       [] {
         const char* none[] = {nullptr};
         return ::syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0);
       }},
      {"clone", [] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); }},
      {"clone-parent", [] { return ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr); }},
      {"clone3", [] { return ::syscall(SYS_clone3, nullptr, 0); }},
      {"fork", [] { return static_cast<long>(::fork()); }},
      {"ptrace", [] { return ::syscall(SYS_ptrace, PTRACE_ATTACH, ::getppid(), nullptr, nullptr); }},
      {"process-vm", [] { return ::syscall(SYS_process_vm_readv, ::getpid(), nullptr, 0, nullptr, 0, 0); }},
      {"kill", [] { return ::syscall(SYS_kill, ::getpid(), 0); }},
      {"kill-init", [] { return ::syscall(SYS_kill, 1, 0); }},
      {"tgkill-other", [] { return ::syscall(SYS_tgkill, 1, 1, 0); }},
      {"pidfd-open", [] { return ::syscall(SYS_pidfd_open, 1, 0); }},
      {"mmap-exec",
       [] {
         return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                        MAP_FAILED
                    ? -1l
                    : 0l;
       }},
      {"mprotect-exec",
       [] {
         void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return static_cast<long>(::mprotect(page, 4096, PROT_READ | PROT_EXEC));
       }},
      {"pkey-mprotect", [] { return ::syscall(SYS_pkey_mprotect, nullptr, 0, PROT_EXEC, -1); }},
      {"prctl", [] { return ::syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }},
      {"seccomp", [] { return ::syscall(SYS_seccomp, 0, 0, nullptr); }},
      {"bpf", [] { return ::syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0); }},
      {"io-uring", [] { return ::syscall(SYS_io_uring_setup, 1, nullptr); }},
      {"memfd", [] { return ::syscall(SYS_memfd_create, "x", 0); }},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
      {"perf", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
      {"keyctl", [] { return ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); }},
      {"unshare", [] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }},
      {"setns", [] { return ::syscall(SYS_setns, 3, 0); }},
      {"setuid", [] { return ::syscall(SYS_setuid, 0); }},
      {"setrlimit",
       [] {
         rlimit wide{1u << 30, 1u << 30};
         return ::syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, &wide, nullptr);
       }},
      {"ftruncate", [] { return ::syscall(SYS_ftruncate, 3, 0); }},
      {"dup", [] { return ::syscall(SYS_dup, 3); }},
      {"write-stderr", [] { return ::syscall(SYS_write, 2, "x", 1); }},
      {"ioctl", [] { return ::syscall(SYS_ioctl, 3, 0, 0); }},
      {"open-by-handle", [] { return ::syscall(SYS_open_by_handle_at, 3, nullptr, 0); }},
      {"name-to-handle", [] { return ::syscall(SYS_name_to_handle_at, AT_FDCWD, path, nullptr, nullptr, 0); }},
      {"process-madvise", [] { return ::syscall(SYS_process_madvise, 3, nullptr, 0, 0, 0); }},
      {"shmget", [] { return ::syscall(SYS_shmget, 0, 4096, 01600); }},
      {"setsid", [] { return ::syscall(SYS_setsid); }},
      {"reboot", [] { return ::syscall(SYS_reboot, 0, 0, 0, nullptr); }},
      {"kexec", [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, 0); }},
      {"init-module", [] { return ::syscall(SYS_init_module, nullptr, 0, ""); }},
      {"int-0x80",
       [] {
#if defined(__x86_64__)
         long result = 0;
         asm volatile("int $0x80" : "=a"(result) : "a"(20l) : "memory");  // getpid by the 32 bit entry
         return result;
#else
         return -1l;
#endif
       }},
  };
  return kAll;
}

Verdict escape(const Job& job, std::string_view name) {
  if (name == "list") {
    std::string names;
    for (const auto& [word, attempt] : escapes()) names += std::string(word) + "\n";
    return answer(job, names);
  }
  if (name == "descriptors") {
    std::string open;
    for (int fd = 0; fd < 4096; ++fd) {
      struct stat info{};
      if (::syscall(SYS_fstat, fd, &info) == 0) open += std::to_string(fd) + " ";
    }
    return answer(job, open);
  }
  const auto found = escapes().find(name);
  if (found == escapes().end()) return answer(job, "there is no such attempt");
  const long result = found->second();
  return answer(job, result < 0 ? "refused" : "escaped: " + std::to_string(result));
}

unsigned jobs = 0;

Verdict misbehave(const Job& job, std::string_view word, uint64_t number) {
  if (word == "abort") std::abort();
  if (word == "segv") ::raise(SIGSEGV);
  if (word == "trap") __builtin_trap();
  if (word == "recurse") {
    static std::function<int(int)> deeper = [](int depth) {
      volatile char page[4096] = {1};
      return deeper(depth + 1) + page[0];
    };
    deeper(0);
  }
  if (word == "throw") throw std::string("nothing catches this");
  if (word == "exit") ::_exit(static_cast<int>(number));
  if (word == "spin") {
    volatile bool forever = true;
    while (forever) continue;
  }
  if (word == "hang") hang();
  if (word == "hog") hog(false);
  if (word == "hog-c") hog(true);
  if (word == "killed") ::raise(SIGKILL);
  if (word == "killed-slowly") {
    // As where the kernel takes long for the rest, once its files are closed.
    ::close(worker::serving().socket);
    const timespec pause{0, 400'000'000};
    ::nanosleep(&pause, nullptr);
    ::raise(SIGKILL);
  }
  if (word == "stale" && jobs > 1) std::abort();
  if (word == "stale-hang") {
    if (jobs > 1) std::abort();
    hang();
  }
  if (word == "named" && job.name == "abort") std::abort();
  if (word == "noted-ill") {
    worker::note_memory();
    ::raise(SIGILL);  // which sanitizers leave alone
  }
  if (word == "close") {
    ::close(worker::serving().socket);
    hang();
  }
  if (word == "garbage") {
    say("this is no message");
    hang();
  }
  if (word == "too-long") {
    say(std::string(kMaxMessage + 100, 'x'));
    hang();
  }
  if (word == "other-job") {
    say_verdict("x", 1, 1, worker::serving().job + 1);
    hang();
  }
  if (word == "garbage-verdict") {
    say_verdict("no verdict at all", 17, 17);
    hang();
  }
  if (word == "half-verdict") {
    Verdict whole = answer(job, "whole");
    std::string frame;
    encode_verdict(
        whole, [](uint64_t) { return true; },
        [&](std::string_view bytes) {
          frame += bytes;
          return true;
        });
    say_verdict(frame.substr(0, frame.size() / 2), frame.size() / 2, frame.size() / 2);
    hang();
  }
  if (word == "unfinished-verdict") {
    say_verdict("x", 1000, 1);
    hang();
  }
  if (word == "long-verdict") {
    say_verdict("x", number == 0 ? 1ull << 40 : number, 1);
    hang();
  }
  if (word == "wide-piece") {
    say_verdict("x", 1ull << 30, 1ull << 29);
    hang();
  }
  if (word == "slow") {
    const timespec pause{static_cast<time_t>(number / 1000), static_cast<long>(number % 1000 * 1'000'000)};
    ::nanosleep(&pause, nullptr);
    return answer(job, "slow");
  }
  if (word == "burn") {
    timespec used{};
    do ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while (static_cast<uint64_t>(used.tv_sec * 1000 + used.tv_nsec / 1'000'000) < number);
    return answer(job, "burned");
  }
  if (word == "nothing") return answer(job, "");
  if (word == "pid") return answer(job, std::to_string(::getpid()));
  if (word == "jobs") return answer(job, std::to_string(jobs));
  if (word == "time") return answer(job, "until here", Reason::time);
  if (word == "echo") return answer(job, std::string(job.bytes));
  if (word == "text") return answer(job, std::string(number, 'x'));
  if (word == "ignored-failure" || word == "ignored-failure-of-a-broken-one") {
    // A library that goes on without the memory it wanted.
    worker::fail_allocation(1, false);
    void* memory = std::malloc(100);
    std::free(memory);
    worker::note_memory();
    return answer(job, "partial", word == "ignored-failure" ? Reason::none : Reason::corrupt);
  }
  if (word == "leaves") {
    Verdict verdict = answer(job, "");
    for (uint64_t i = 1; i < number; ++i) {
      Leaf leaf = verdict.leaves[0];
      leaf.name = std::string(kMaxName, 'n');
      leaf.path = std::string(kMaxPath, 'p');
      verdict.leaves.push_back(leaf);
    }
    return verdict;
  }
  return answer(job, std::to_string(job.bytes.size()) + " " + std::to_string(checksum(job.bytes)));
}

Verdict scan(const Job& job) {
  ++jobs;
  const std::string_view line = job.bytes.substr(0, std::min<size_t>(job.bytes.find('\n'), 64));
  const size_t blank = line.find(' ');
  const std::string_view word = line.substr(0, blank);
  const std::string rest(blank == std::string_view::npos ? "" : line.substr(blank + 1));
  if (word == "escape") return escape(job, rest);
  return misbehave(job, word, std::strtoull(rest.c_str(), nullptr, 10));
}

// A template that ends after it made a worker, before it says so.
[[noreturn]] void die_after_copying() {
  constexpr int kSocket = 3;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const std::string ready = encode_message({Kind::hello, vocabulary(), 0, 0});
  ::send(kSocket, ready.data(), ready.size(), 0);
  char byte = 0;
  iovec bytes{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
  msghdr request{};
  request.msg_iov = &bytes;
  request.msg_iovlen = 1;
  request.msg_control = control;
  request.msg_controllen = sizeof control;
  if (::recvmsg(kSocket, &request, 0) <= 0) ::_exit(0);
  int socket = -1;
  std::memcpy(&socket, CMSG_DATA(CMSG_FIRSTHDR(&request)), sizeof socket);
  if (::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr) != 0) ::_exit(0);
  ::close(kSocket);
  const std::string hello = encode_message({Kind::hello, 0, static_cast<uint64_t>(::getpid()), 0});
  ::send(socket, hello.data(), hello.size(), MSG_NOSIGNAL);
  ::recv(socket, &byte, 1, 0);
  ::_exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (std::string_view(argv[0]).ends_with("/dies-after-copying")) die_after_copying();
  return worker::run_program(argc, argv, [] {}, scan);
}
