#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""corpus_trace.py POSTERN FOLDER CONFIG [STEP]: `postern trace --json` ends on every file below FOLDER with valid JSON, status 0 and bounded CPU time.

The bound (2 s of CPU for one file, start of the program included) is against hangs, not a measurement; the slowest file is printed.
With STEP only every so manyth file is taken.
"""
import json
import pathlib
import resource
import subprocess
import sys
import time

CPU_BOUND = 2


def main():
    postern, folder, config = sys.argv[1:4]
    step = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    faults, slowest, count = [], (0.0, ""), 0
    files = [file for file in sorted(pathlib.Path(folder).rglob("*")) if file.is_file() and file.suffix != ".enc"]
    for file in files[::step]:
        count += 1
        begin = time.monotonic()
        done = subprocess.run([postern, "trace", "--json", "-c", config, "--client-ip", "192.0.2.1", str(file)], capture_output=True, timeout=120,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_BOUND, CPU_BOUND + 1)))
        slowest = max(slowest, (time.monotonic() - begin, str(file)))
        try:
            answer = json.loads(done.stdout)
            good = done.returncode == 0 and answer["verdict"] in ("accept", "reject", "tempfail", "discard", "quarantine")
        except ValueError:
            good = False
        if not good:
            faults.append(f"{file}: status {done.returncode}: {done.stderr[-200:]!r}")
    for fault in faults:
        print(fault)
    print(f"{count} files, {len(faults)} faults; slowest {slowest[0]:.3f} s: {slowest[1]}")
    return 1 if faults or not count else 0


if __name__ == "__main__":
    sys.exit(main())
