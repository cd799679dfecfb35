# SPDX-License-Identifier: Apache-2.0
"""posternd as a child process: configuration written, started, waited for, reloaded, stopped, and its end checked."""
import json
import os
import shutil
import signal
import subprocess

import yaml

from support.daemon import BIN, SANITIZER_OPTIONS, Daemon, merge
from support.process import Process


def sanitized():
    """Whether the daemon under test was built with a sanitizer: its memory use then says nothing."""
    with open(os.path.join(BIN, "posternd"), "rb") as file:
        content = file.read()
    return b"__asan_init" in content or b"__tsan_init" in content


class Posternd(Daemon):
    """One daemon with a directory of its own. `config` is laid over a small working configuration; `rules` is the text of its one
    rule file, or a list of filters."""

    name = "posternd"

    def __init__(self, directory, socket, group=None, mta="postfix", config=None, rules=None):
        self.directory = directory
        self.socket = socket.removeprefix("unix:")
        self.control = os.path.join(directory, "control.sock")
        self.config_file = os.path.join(directory, "postern.yaml")
        self.output = self.log = os.path.join(directory, "posternd.log")
        self.base = {
            "hostname": "gateway.test",
            "mta": mta,
            "listen": {"socket": socket if ":" in socket else "unix:" + socket, "mode": "0660"},
            "control": {"socket": self.control},
            "spool-directory": os.path.join(directory, "spool"),
            "rules": ["rules.d/*.yaml"],
            "flows": [{"name": "inbound"}],
            "quarantines": {"Policy": {}},
            "log": {"to": "stderr", "level": "debug"},
        }
        if group:
            self.base["listen"]["group"] = group
        self.process = None
        os.makedirs(os.path.join(directory, "rules.d"), exist_ok=True)
        os.makedirs(os.path.join(directory, "spool"), exist_ok=True)
        self.write(config, rules)

    def write(self, config=None, rules=None):
        """Writes the configuration; a running daemon goes on with the old one until reload()."""
        with open(self.config_file, "w") as file:
            yaml.safe_dump(merge(self.base, config), file, allow_unicode=True, sort_keys=False)
        if isinstance(rules, list):
            rules = yaml.safe_dump({"filters": rules}, allow_unicode=True, sort_keys=False, width=1000)
        with open(os.path.join(self.directory, "rules.d", "10-test.yaml"), "w") as file:
            file.write(rules or "filters: []\n")

    def start(self, prefix=(), environment=None):
        """`prefix`: a program with arguments that starts the daemon in its own place."""
        before = len(self.log_text())
        self.process = Process([*prefix, os.path.join(BIN, "posternd"), "-c", self.config_file], "posternd", self.output,
                               env={**os.environ, **SANITIZER_OPTIONS, **(environment or {})})
        self.wait_started(" started, generation ", before)
        return self

    def reload(self, expect="done"):
        """SIGHUP; waits for "done" or "failed" in the log."""
        after = len(self.log_text())
        self.process.send_signal(signal.SIGHUP)
        return self.wait_log("Reload " + expect, after)

    def command(self, *arguments, check=True):
        """Runs `postern` against this daemon; returns the completed process."""
        return subprocess.run([os.path.join(BIN, "postern"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=check,
                              timeout=60, env=dict(os.environ, **SANITIZER_OPTIONS))

    def status(self):
        return json.loads(self.command("status", "-c", self.config_file, "--json").stdout)

    def stop(self, deadline=None):
        super().stop(deadline)
        if os.path.exists(self.socket):
            raise AssertionError("posternd left its socket behind")

    def discard(self):
        """Ends the daemon whatever its state and removes its files; for clearing up after a failed test."""
        if self.process:
            self.process.kill()
        for path in (self.socket, self.control):
            if os.path.exists(path):
                os.unlink(path)
        shutil.rmtree(self.directory, ignore_errors=True)
