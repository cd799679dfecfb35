// SPDX-License-Identifier: Apache-2.0
// scanpool FAULTY-SCAN [--soak JOBS]: what the way to a scan worker and back costs, by the size of the thing; and, with
// --soak, what faults cost other jobs: blocks of JOBS jobs without and with a worker killed, spinning, hogging memory
// or crashing for one job in 500, in turn. Exit status 1 when a faulty job ever counts as scanned, a good one does not,
// or the good ones get less than 0.8 of their usual throughput.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "engine/scan/client/pool.h"

namespace {

using namespace postern::scan;
using Clock = std::chrono::steady_clock;

constexpr int kThreads = 4;
constexpr uint64_t kEvery = 500;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::unique_ptr<Pool> start(const char* program) {
  PoolSettings settings;
  settings.program = program;
  auto pool = Pool::start(settings);
  if (pool) return std::move(*pool);
  std::fprintf(stderr, "scanpool: %s\n", pool.error().text().c_str());
  std::exit(69);
}

void way(Pool& pool, const char* name, size_t size, int jobs) {
  std::string bytes = "nothing\n";
  bytes.resize(std::max(bytes.size(), size), 'x');
  Job job;
  job.bytes = bytes;
  job.limits.size = 1ull << 30;
  for (int i = 0; i < 10; ++i) pool.scan(job);
  const auto begin = Clock::now();
  for (int i = 0; i < jobs; ++i) {
    if (!pool.scan(job).complete()) std::exit(1);
  }
  std::printf("%-8s %9.1f us a job\n", name, seconds_since(begin) / jobs * 1e6);
}

struct Result {
  uint64_t good = 0;
  double seconds = 0;
  std::atomic<uint64_t> faults{0};
  std::atomic<uint64_t> wrong_clean{0};
  std::atomic<uint64_t> wrong_good{0};
};

// block runs `jobs` jobs of some milliseconds in all threads; number `number` counts over all blocks, so that no two
// faults are the same content.
void block(Pool& pool, uint64_t jobs, bool faults, std::atomic<uint64_t>& number, Result& result) {
  static constexpr const char* kFaults[] = {"killed\n", "spin\n", "hog\n", "abort\n"};
  std::atomic<uint64_t> left{jobs};
  std::atomic<uint64_t> good{0};
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      std::string body(4u << 20, 'x');
      for (;;) {
        uint64_t now = left.load();
        while (now > 0 && !left.compare_exchange_weak(now, now - 1)) continue;
        if (now <= 1) left.notify_all();
        if (now == 0) return;
        const uint64_t id = number.fetch_add(1);
        Job job;
        job.limits.time = std::chrono::seconds(20);
        if (faults && id % kEvery == kEvery / 2) {
          const std::string bytes = kFaults[result.faults++ % std::size(kFaults)] + std::to_string(id);
          job.bytes = bytes;
          if (pool.scan(job).complete()) ++result.wrong_clean;
          continue;
        }
        body.replace(0, 20, "good " + std::to_string(100000000000000 + id));
        job.bytes = body;
        if (pool.scan(job).complete()) {
          ++good;
        } else {
          ++result.wrong_good;
        }
      }
    });
  }
  // The good ones' time: a fault that is still running when they are through is no loss of theirs.
  for (uint64_t now = left.load(); now > 0; now = left.load()) left.wait(now);
  result.seconds += seconds_since(begin);
  result.good += good;
  for (std::thread& thread : threads) thread.join();
}

int soak(Pool& pool, uint64_t jobs) {
  Result normal;
  Result faulty;
  std::atomic<uint64_t> number{0};
  for (int round = 0; round < 3; ++round) {
    block(pool, jobs, false, number, normal);
    block(pool, jobs, true, number, faulty);
  }
  const double usual = static_cast<double>(normal.good) / normal.seconds;
  const double then = static_cast<double>(faulty.good) / faulty.seconds;
  const PoolStatus status = pool.status();
  std::printf("usual %.1f jobs/s, with faults %.1f jobs/s, ratio %.3f\n", usual, then, then / usual);
  std::printf("wrongly clean %llu, wrongly not %llu\n", static_cast<unsigned long long>(faulty.wrong_clean),
              static_cast<unsigned long long>(faulty.wrong_good + normal.wrong_good));
  std::printf("crashes %llu, time %llu, memory %llu, workers started %llu\n",
              static_cast<unsigned long long>(status.crashes), static_cast<unsigned long long>(status.timeouts),
              static_cast<unsigned long long>(status.memory), static_cast<unsigned long long>(status.workers_started));
  const bool right = faulty.wrong_clean == 0 && faulty.wrong_good + normal.wrong_good == 0;
  return right && then >= 0.8 * usual ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && !(argc == 4 && std::string_view(argv[2]) == "--soak")) {
    std::fputs("usage: scanpool FAULTY-SCAN [--soak JOBS]\n", stderr);
    return 64;
  }
  const auto pool = start(argv[1]);
  if (argc == 4) return soak(*pool, std::strtoull(argv[3], nullptr, 10));
  way(*pool, "empty", 0, 20000);
  way(*pool, "100 KB", 100000, 10000);
  way(*pool, "1 MB", 1u << 20, 3000);
  way(*pool, "4 MB", 4u << 20, 500);
  way(*pool, "20 MB", 20u << 20, 50);
  return 0;
}
