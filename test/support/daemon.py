# SPDX-License-Identifier: Apache-2.0
"""What posternd and fipsd have in common as child processes: a log to look at, an end to check, sanitizers to believe."""
import os
import re
import signal

from support.process import SOURCE, wait_until

BIN = os.environ.get("POSTERN_BIN", os.path.join(SOURCE, "build", "release", "bin"))
# A sanitizer that finds something ends the daemon with this status and its report in the log.
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "exitcode=99:detect_leaks=1:detect_stack_use_after_return=0", "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
                     "TSAN_OPTIONS": "exitcode=99:halt_on_error=1", "LSAN_OPTIONS": "exitcode=99"}
REPORT = re.compile(r"ERROR: (?:Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer")


def merge(base, extra):
    """`extra` laid over `base`, mapping by mapping; lists and scalars replace."""
    result = dict(base)
    for key, value in (extra or {}).items():
        result[key] = merge(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


class Daemon:
    """A subclass sets `name`, `log` (a file) and, when started, `process`."""

    name = "daemon"
    log = None
    process = None

    @property
    def pid(self):
        return self.process.pid

    def wait_started(self, mark, before):
        """Waits until the log says `mark` after the offset `before`; a daemon that ends instead is an error with its words."""
        wait_until(lambda: mark in self.log_text()[before:] or not self.process.alive(), self.name + " to start")
        if not self.process.alive():
            raise RuntimeError(f"{self.name} does not start:\n" + self.log_text()[before:])

    def log_text(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def lines(self, pattern, after=0):
        """Log lines that match, from the text offset `after` on."""
        return [line for line in self.log_text()[after:].splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, after=0, deadline=None):
        return wait_until(lambda: self.lines(pattern, after), lambda: f"{self.name} to log {pattern}\n{self.log_text()[after:]}", deadline)[0]

    def rss(self):
        return self.process.rss()

    def kill(self):
        """SIGKILL, as a crash would be."""
        self.process.kill()

    def check_log(self):
        match = REPORT.search(self.log_text())
        if match:
            raise AssertionError("a sanitizer reported:\n" + self.log_text()[match.start():][:20000])

    def stop(self, deadline=None):
        """SIGTERM; the daemon must end with status 0, and no sanitizer may have complained."""
        status = self.process.stop(signal.SIGTERM, deadline)
        self.check_log()
        if status != 0:
            raise AssertionError(f"{self.name} ended with status {status}:\n{self.log_text()[-4000:]}")
