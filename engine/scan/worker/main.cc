// SPDX-License-Identifier: Apache-2.0
// postern-scan: the scan engine, served.
#include "engine/scan/worker/scan_job.h"
#include "engine/scan/worker/serve.h"

int main(int argc, char** argv) {
  return postern::scan::worker::run_program(argc, argv, postern::scan::worker::prepare,
                                            postern::scan::worker::scan_job);
}
