// SPDX-License-Identifier: Apache-2.0
// Landlock by bare system calls (there is no library for it, and older headers lack its later parts), seccomp by
// libseccomp. landlock(7), seccomp(2).
#include "engine/scan/worker/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "engine/base/handle.h"
#include "engine/base/privilege.h"

namespace postern::scan::worker {

using base::Cause;
using base::fail;
using base::Result;
using base::system_error;

namespace {

// AddressSanitizer's shadow needs terabytes of address space.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

constexpr rlim_t kCpuSeconds = 1800;  // of a worker's whole life; a job's is limited by limit_cpu()
constexpr rlim_t kOpenFiles = 8;

timer_t cpu_timer{};

Result<void> limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard) {
  const rlimit wanted{soft, hard};
  if (::setrlimit(resource, &wanted) == 0) return {};
  // A limit that is lower already is as good.
  rlimit now{};
  if (errno == EPERM && ::getrlimit(resource, &now) == 0 && now.rlim_max <= hard) return {};
  return std::unexpected(system_error("limiting a resource", errno));
}

// The attributes of a Landlock ruleset as of its ABI 6.
struct Ruleset {
  uint64_t files = 0;
  uint64_t network = 0;
  uint64_t scoped = 0;
};

// An empty ruleset over everything that the kernel can deny: nothing may be done to any file, no TCP port bound or
// connected, no process outside signalled.
Result<void> landlock() {
  constexpr uint32_t kVersion = 1;
  const long abi = ::syscall(__NR_landlock_create_ruleset, nullptr, 0, kVersion);
  if (abi < 1) return {};
  // What each ABI added, as numbers of bits.
  constexpr int kFileRights[] = {13, 14, 15, 15, 16};
  Ruleset rules;
  rules.files = (1ull << kFileRights[abi < 5 ? abi - 1 : 4]) - 1;
  if (abi >= 4) rules.network = 3;
  if (abi >= 6) rules.scoped = 3;
  const size_t size = abi >= 6 ? sizeof rules : abi >= 4 ? 16 : 8;
  const base::UniqueFd ruleset(static_cast<int>(::syscall(__NR_landlock_create_ruleset, &rules, size, 0)));
  if (!ruleset || ::syscall(__NR_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return std::unexpected(system_error("Landlock", errno));
  }
  return {};
}

using Filter = base::Handle<void, ::seccomp_release>;

class Rules {
 public:
  explicit Rules(scmp_filter_ctx filter) : filter_(filter) {}
  Rules& allow(std::initializer_list<int> calls) {
    for (const int call : calls) add(SCMP_ACT_ALLOW, call, {});
    return *this;
  }
  Rules& allow(int call, std::initializer_list<scmp_arg_cmp> arguments) { return add(SCMP_ACT_ALLOW, call, arguments); }
  Rules& refuse(int error, std::initializer_list<int> calls) {
    for (const int call : calls) add(SCMP_ACT_ERRNO(static_cast<unsigned>(error)), call, {});
    return *this;
  }
  Rules& refuse(int error, int call, std::initializer_list<scmp_arg_cmp> arguments) {
    return add(SCMP_ACT_ERRNO(static_cast<unsigned>(error)), call, arguments);
  }
  bool ok() const { return ok_; }

 private:
  Rules& add(uint32_t action, int call, std::initializer_list<scmp_arg_cmp> arguments) {
    // Negative: the architecture has no such call, and so nobody can make it.
    if (call < 0) return *this;
    ok_ = ok_ && ::seccomp_rule_add_array(filter_, action, call, static_cast<unsigned>(arguments.size()),
                                          arguments.begin()) == 0;
    return *this;
  }
  scmp_filter_ctx filter_;
  bool ok_ = true;
};

scmp_arg_cmp equal(unsigned argument, uint64_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp without(unsigned argument, uint64_t bits) { return {argument, SCMP_CMP_MASKED_EQ, bits, 0}; }
scmp_arg_cmp with(unsigned argument, uint64_t bit) { return {argument, SCMP_CMP_MASKED_EQ, bit, bit}; }

Result<void> filter_calls(int socket) {
  const Filter filter(::seccomp_init(SCMP_ACT_KILL_PROCESS));
  if (!filter) return fail(Cause::unavailable, "seccomp: no memory");
  const auto self = static_cast<uint64_t>(::getpid());
  const auto only = static_cast<uint64_t>(socket);
  Rules rules(filter.get());
  // Memory, time, random numbers, signals to itself, its end.
  rules
      .allow({SCMP_SYS(munmap),       SCMP_SYS(mremap),          SCMP_SYS(madvise),
              SCMP_SYS(brk),          SCMP_SYS(futex),           SCMP_SYS(clock_gettime),
              SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),    SCMP_SYS(time),
              SCMP_SYS(times),        SCMP_SYS(getrusage),       SCMP_SYS(timer_settime),
              SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep), SCMP_SYS(getrandom),
              SCMP_SYS(getpid),       SCMP_SYS(gettid),          SCMP_SYS(getuid),
              SCMP_SYS(geteuid),      SCMP_SYS(getgid),          SCMP_SYS(getegid),
              SCMP_SYS(sysinfo),      SCMP_SYS(uname),           SCMP_SYS(sched_yield),
              SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),  SCMP_SYS(rt_sigaction),
              SCMP_SYS(sigaltstack),  SCMP_SYS(restart_syscall), SCMP_SYS(exit),
              SCMP_SYS(exit_group)})
      .allow(SCMP_SYS(mmap), {without(2, PROT_EXEC)})
      .allow(SCMP_SYS(mprotect), {without(2, PROT_EXEC)})
      .allow(SCMP_SYS(tgkill), {equal(0, self)})
      // Its socket. Nothing else is open, so closing, seeking and asking about descriptors is idle.
      .allow(SCMP_SYS(recvfrom), {equal(0, only)})
      .allow(SCMP_SYS(sendto), {equal(0, only), equal(4, 0)})
      .allow({SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(read), SCMP_SYS(poll), SCMP_SYS(ppoll)})
      // Its own limits may be read.
      .allow(SCMP_SYS(prlimit64), {equal(0, 0), equal(2, 0)});
  // What libraries try and can do without.
  rules
      .refuse(EACCES, {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(access),
                       SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
                       SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
                       SCMP_SYS(unlink), SCMP_SYS(unlinkat)})
      .refuse(EACCES, SCMP_SYS(mmap), {with(2, PROT_EXEC)})
      .refuse(EACCES, SCMP_SYS(mprotect), {with(2, PROT_EXEC)})
      .refuse(EBADF, {SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(fcntl)})
      .refuse(ENOTTY, {SCMP_SYS(ioctl)})
      .refuse(EPERM, {SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(prctl), SCMP_SYS(sched_getaffinity),
                      SCMP_SYS(sched_setaffinity), SCMP_SYS(membarrier), SCMP_SYS(getdents64)});
  // A search tree over the numbers, so that frequent calls cost no more than the first of the list.
  if (!rules.ok() || ::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0) {
    return fail(Cause::unavailable, "seccomp: a rule was refused");
  }
  if (const int error = ::seccomp_load(filter.get()); error != 0) {
    return std::unexpected(system_error("seccomp", -error));
  }
  return {};
}

}  // namespace

Result<void> restrict_template() {
  if (Result<void> hard = base::harden_process(); !hard) return hard;
  if (Result<void> files = limit(RLIMIT_FSIZE, 0, 0); !files) return files;
  return landlock();
}

Result<void> lock_up(int socket, uint64_t memory) {
  sigevent over{};
  over.sigev_notify = SIGEV_SIGNAL;
  over.sigev_signo = SIGXCPU;
  if (::timer_create(CLOCK_PROCESS_CPUTIME_ID, &over, &cpu_timer) != 0) {
    return std::unexpected(system_error("timer of CPU time", errno));
  }
  // Of processes of the same user; what makes them is refused anyway, also to root, for whom this limit is none.
  if (Result<void> done = limit(RLIMIT_NPROC, 0, 0); !done) return done;
  if (Result<void> done = limit(RLIMIT_NOFILE, kOpenFiles, kOpenFiles); !done) return done;
  if (Result<void> done = limit(RLIMIT_CPU, kCpuSeconds, kCpuSeconds + 5); !done) return done;
  if (!kSanitized) {
    if (Result<void> done = limit(RLIMIT_AS, memory, memory); !done) return done;
  }
  return filter_calls(socket);
}

void limit_cpu(uint64_t milliseconds) {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(milliseconds / 1000);
  when.it_value.tv_nsec = static_cast<long>(milliseconds % 1000 * 1'000'000);
  ::timer_settime(cpu_timer, 0, &when, nullptr);
}

}  // namespace postern::scan::worker
