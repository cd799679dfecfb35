// SPDX-License-Identifier: Apache-2.0
// FaultyDisk: file system calls of this very program that fail when a test says so. The test program defines write,
// pwrite, fsync, fdatasync, renameat, unlinkat, mkdirat, openat and open64 (with O_CREAT), ftruncate and fallocate
// itself, in the forms that libraries call, and passes them on to libc, so no preloading and no special file system is
// needed. Two faults: the k-th call fails once (or from then on), and the disk is full. Used by tests of one process;
// the counters are atomic, setting them up is not.
#pragma once
#include <cstdint>

namespace postern::test {

class FaultyDisk {
 public:
  // fail_call lets the k-th counted call from now on (1: the next) fail with `error_number`; `times` calls in a row,
  // 0: all from then on.
  static void fail_call(uint64_t k, int error_number, uint64_t times = 1);
  // calls returns how many were counted since the last fail_call or heal.
  static uint64_t calls();
  // fill makes the disk full: no file can be made or grow beyond what was reserved for it by fallocate, and nothing can
  // be reserved. Unlinking a file gives back its room when `unlink_frees` is true: then calls succeed again.
  static void fill(bool unlink_frees = false);
  // without_fallocate lets every fallocate fail with EOPNOTSUPP until heal.
  static void without_fallocate();
  // fail_sync lets fsync and fdatasync of plain files fail with EIO until heal; directories are spared.
  static void fail_sync();
  // heal ends all faults.
  static void heal();
};

}  // namespace postern::test
