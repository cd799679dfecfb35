# SPDX-License-Identifier: Apache-2.0
"""Filters as child processes, what they cost by /proc, and the load generator."""
import json
import os
import pathlib
import signal
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """Something that makes the run worthless; its text is for the person who started it."""


def process_tree(roots):
    """The processes `roots` and everything below them."""
    parents = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = pathlib.Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        parents[int(entry)] = int(text.rpartition(")")[2].split()[1])
    found, grown = {pid for pid in roots if pid in parents}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def cpu_seconds(roots):
    """User and system time of the trees, ended and reaped children included."""
    ticks = 0
    for pid in process_tree(roots):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICK


def memory_kib(roots):
    """(RSS, PSS) of the trees."""
    rss = pss = 0
    for pid in process_tree(roots):
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif line.startswith("Pss:"):
                pss += int(line.split()[1])
    return rss, pss


def settled_memory(roots):
    """memory_kib once it stands still."""
    deadline, last = time.monotonic() + 20, None
    while time.monotonic() < deadline:
        now = memory_kib(roots)
        if now == last:
            return now
        last = now
        time.sleep(0.25)
    return last


def settled_cpu(roots):
    """Waits until the trees have stopped working: what a filter does after its start is not the cost of a message."""
    deadline, last, quiet = time.monotonic() + 120, None, 0
    while time.monotonic() < deadline and quiet < 3:
        now = cpu_seconds(roots)
        quiet = quiet + 1 if now == last else 0
        last = now
        time.sleep(0.2)


class Filter:
    """A filter under test: its processes and its milter address. `ready` is the socket to wait for."""

    def __init__(self, name, address, log):
        self.name, self.address, self.log = name, address, log
        self.processes = []

    def start(self, *commands, environment=None):
        for command in commands:
            with open(self.log, "ab") as log:
                self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                       env={**os.environ, **(environment or {})}))
        return self

    def wait(self, seconds=60):
        path = self.address.removeprefix("unix:")
        deadline = time.monotonic() + seconds
        while not os.path.exists(path):
            self.check_alive()
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} did not open {path}; see {self.log}")
            time.sleep(0.02)
        return self

    def check_alive(self):
        for process in self.processes:
            if process.poll() is not None:
                tail = pathlib.Path(self.log).read_text(errors="replace")[-2000:]
                raise Failure(f"{self.name} ended with status {process.returncode}:\n{tail}")

    @property
    def roots(self):
        return [process.pid for process in self.processes]

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Generator:
    """milterload."""

    def __init__(self, program):
        self.program = program

    def call(self, address, *options):
        run = subprocess.run([self.program, "--socket", address, *options], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failure(f"milterload {' '.join(options)} on {address}: {run.stderr.strip()}")
        return json.loads(run.stdout)

    def negotiation(self, address):
        return self.call(address, "--negotiate")

    def hold(self, address, connections, until):
        process = subprocess.Popen([self.program, "--socket", address, "--connections", str(connections), "--hold", until],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if process.stdout.readline() != "ready\n":
            raise Failure(f"milterload --hold: {process.stderr.read()}")
        return process

    def measure(self, peer, options):
        """One measurement: what the generator saw, and what it cost the filter per message."""
        at = options.index("--seconds")
        for load in (options, [*options[:at], *options[at + 2:]]):
            before = cpu_seconds(peer.roots)
            report = self.call(peer.address, *load)
            cost = cpu_seconds(peer.roots) - before
            if report["messages"]:
                break  # otherwise the time was over before a connection was set up, and a number of messages is measured
        peer.check_alive()
        rss, pss = memory_kib(peer.roots)
        return {"cpu_us": cost / report["messages"] * 1e6, "messages": report["messages"],
                "per_second": report["per_second"], "p50_us": report["p50_us"], "p99_us": report["p99_us"],
                "rss_kib": rss, "pss_kib": pss}
