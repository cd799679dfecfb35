# SPDX-License-Identifier: Apache-2.0
"""Processes, ports and waiting for the system tests.

Every process is started so that the kernel ends it when the test that started it dies, is known by its pid, and is stopped by
that pid. Nothing sleeps for a fixed time: wait_until() looks again and again until a condition holds or its deadline passes.
"""
import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DEADLINE = float(os.environ.get("POSTERN_TEST_DEADLINE", "180"))

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_running = []


class Timeout(AssertionError):
    """What was waited for did not come about before the deadline."""


def wait_until(condition, what, deadline=None):
    """Returns the first true value of condition(); raises Timeout naming `what` after `deadline` seconds."""
    end = time.monotonic() + (DEADLINE if deadline is None else deadline)
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout("waited too long for " + (what() if callable(what) else what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _claim(port):
    """Whether the port is this process's until it ends, by a name that only one process can have at a time."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0postern-test-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # open until the process ends
    return True


def free_port(address="127.0.0.1"):
    """A TCP port that nothing listens on. Until this process ends no other test gets it, and the kernel gives it to nobody who does not
    ask for it: it is below those that it chooses from."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        end = int(limits.read().split()[0])
    ports = range(end - 12000, end) if end > 13024 else range(20000, 32000)
    for turn in range(len(ports)):
        port = ports[(os.getpid() * 37 + turn) % len(ports)]
        if _claim(port):
            with socket.socket() as probe:
                try:
                    probe.bind((address, port))
                    return port
                except OSError:
                    pass  # the claim stays: not to be tried again
    raise RuntimeError(f"no port of {ports} is free")


def listening(port):
    """Whether some process listens on this IPv4 TCP port; looks at the kernel's table instead of connecting."""
    with open("/proc/net/tcp") as table:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in table.readlines()[1:])


def temporary_directory(prefix, parent=None):
    """A directory that daemons of other users may pass through; removed when the test ends, unless POSTERN_TEST_KEEP is set."""
    path = tempfile.mkdtemp(prefix=prefix, dir=parent or os.environ.get("POSTERN_TEST_TMP"))
    os.chmod(path, 0o755)
    if not os.environ.get("POSTERN_TEST_KEEP"):
        atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


class Process:
    """One child process. The child leads a process group of its own, which dies with it."""

    def __init__(self, command, name, log=None, death_signal=signal.SIGKILL, group=True, **options):
        parent = os.getpid()

        def bind_to_parent():
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:
                os._exit(1)

        self.name = name
        self.log = log
        output = open(log, "ab") if log else subprocess.DEVNULL
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=bind_to_parent,
                                      start_new_session=group, **options)
        if log:
            output.close()
        self.pid = self.popen.pid
        self.group = group
        _running.append(self)

    def alive(self):
        return self.popen.poll() is None

    def send_signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, deadline=None):
        """Waits for the end; returns the exit status (negative: the signal that ended it)."""
        try:
            return self.popen.wait(DEADLINE if deadline is None else deadline)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.name} (pid {self.pid}) did not end") from None

    def kill(self):
        """Ends the process and what is left of its group, at once."""
        if self.group:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        else:
            self.send_signal(signal.SIGKILL)
        status = self.popen.wait()
        if self in _running:
            _running.remove(self)
        return status

    def stop(self, number=signal.SIGTERM, deadline=None):
        """Asks the process to end and waits; returns the exit status."""
        self.send_signal(number)
        status = self.wait(deadline)
        self.kill()
        return status

    def rss(self):
        """Resident bytes now, or 0 when the process is gone."""
        try:
            with open(f"/proc/{self.pid}/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def log_text(self):
        if not self.log or not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


@atexit.register
def _end_all():
    for process in list(_running):
        try:
            process.kill()
        except OSError:
            pass
