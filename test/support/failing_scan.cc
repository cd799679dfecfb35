// SPDX-License-Identifier: Apache-2.0
// failing-scan: postern-scan in which memory runs out. A job begins with a line "NUMBER one" or "NUMBER all": of the
// real scan of what follows, the allocation of that number fails, or all from it on.
#include <cstdlib>
#include <string>

#include "engine/scan/worker/memory_note.h"
#include "engine/scan/worker/scan_job.h"
#include "engine/scan/worker/serve.h"

namespace {

using namespace postern::scan;

Verdict scan(const Job& job) {
  const size_t end = std::min(job.bytes.find('\n'), job.bytes.size());
  const std::string line(job.bytes.substr(0, end));
  Job rest = job;
  rest.bytes.remove_prefix(std::min(end + 1, job.bytes.size()));
  worker::fail_allocation(std::strtoull(line.c_str(), nullptr, 10), line.ends_with("all"));
  try {
    Verdict verdict = worker::scan_job(rest);
    worker::fail_allocation(0, false);
    return verdict;
  } catch (...) {
    worker::fail_allocation(0, false);
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) { return worker::run_program(argc, argv, worker::prepare, scan); }
