# SPDX-License-Identifier: Apache-2.0
"""Running a program under strace: what it asked of the kernel, and how it ends when it is killed at one of its system calls.

A call at which the program is killed is not carried out, so killing at the first, second, … call of each kind walks through every state
that a sudden end can leave in the file system."""
import os
import subprocess
import tempfile

from support.process import DEADLINE

# What changes files. Names that this architecture does not have are passed over.
STATE_CHANGING = ("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate",
                  "fallocate", "mkdir", "mkdirat", "fchmod")


class Traced:
    """The outcome: exit status (negative: the signal), standard output and error, and the lines of strace, descriptors with their paths."""

    def __init__(self, status, output, errors, lines):
        self.status = status
        self.output = output
        self.errors = errors
        self.lines = lines
        self.killed = status == -9


def trace(command, calls=STATE_CHANGING, kill_at=None, environment=None):
    """Runs `command` and follows its `calls`; kill_at=("fsync", 3) kills it when it begins its third fsync."""
    with tempfile.NamedTemporaryFile(prefix="strace-", suffix=".log") as log:
        # Not --seccomp-bpf: with it nothing is injected.
        options = ["strace", "-f", "-qq", "-y", "-s", "200", "-o", log.name]
        options += ["-e", "trace=" + ",".join("?" + call for call in calls), "-e", "signal=none"]
        if kill_at:
            options += ["-e", f"inject={kill_at[0]}:signal=KILL:when={kill_at[1]}"]
        # A leak check cannot run under a tracer.
        settings = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", ""))
        settings.update(environment or {})
        done = subprocess.run(options + list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=DEADLINE, env=settings)
        with open(log.name, errors="replace") as lines:
            return Traced(done.returncode, done.stdout.decode(), done.stderr.decode(), lines.read().splitlines())


def count_calls(lines, call):
    """How often `call` was begun."""
    return sum(1 for line in lines if line.split(maxsplit=1)[-1].startswith(call + "("))


def kill_at_every_call(command, prepare, check, calls=STATE_CHANGING):
    """Runs `command` once to its end, then once for each of its `calls`, killed there. prepare() gives the path of what it works on and
    command(path) the command; check(path, outcome, where) judges. Calls made before that path is first named (the loader's) are passed
    over. Returns how many kills there were. With POSTERN_KILL_STEP=N only every N-th call of each kind is taken."""
    step = int(os.environ.get("POSTERN_KILL_STEP", "1"))
    path = prepare()
    whole = trace(command(path), calls)
    if whole.status != 0:
        raise AssertionError(f"without a kill it ended with {whole.status}: {whole.errors}")
    check(path, whole, "not killed")
    beginning = next(number for number, line in enumerate(whole.lines) if path in line)
    kills = 0
    for call in calls:
        for number in range(count_calls(whole.lines[:beginning], call) + 1, count_calls(whole.lines, call) + 1, step):
            path = prepare()
            outcome = trace(command(path), calls, kill_at=(call, number))
            check(path, outcome, f"killed at {call} number {number}")
            kills += outcome.killed
    return kills
