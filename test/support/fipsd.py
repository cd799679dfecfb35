# SPDX-License-Identifier: Apache-2.0
"""fipsd as a child process with a directory of its own: configuration, token (SoftHSM2), sockets; and fipsconfig run against it."""
import json
import os
import re
import subprocess

import yaml

from support.daemon import BIN, SANITIZER_OPTIONS, Daemon, merge
from support.process import Process

PASSWORD = "correct horse battery"
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


class Fipsd(Daemon):
    """`config` is laid over a small working configuration with the socket classes milter, postfix and officer. `postfix_sockets` are
    further paths of the class postfix, such as one inside a queue directory."""

    name = "fipsd"

    def __init__(self, directory, config=None, postfix_sockets=(), group=None, module=SOFTHSM):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)
        self.state = os.path.join(directory, "state")
        self.tokens = os.path.join(directory, "tokens")
        self.milter_socket = os.path.join(directory, "milter.sock")
        self.postfix_socket = os.path.join(directory, "postfix.sock")
        self.officer_socket = os.path.join(directory, "officer.sock")
        self.audit_directory = os.path.join(directory, "audit")
        for path in (self.state, self.tokens, self.audit_directory):
            os.makedirs(path, mode=0o700, exist_ok=True)
        self.config_file = os.path.join(directory, "fipsd.yaml")
        self.output = self.log = os.path.join(directory, "fipsd.log")
        postfix = {"paths": [self.postfix_socket, *postfix_sockets], "mode": "0660", "group": group or "root"}
        self.base = {
            "state-directory": self.state,
            "token": {"module": module, "softhsm-directory": self.tokens},
            "sockets": {"milter": {"paths": [self.milter_socket], "mode": "0660", "group": "root"}, "postfix": postfix,
                        "officer": {"paths": [self.officer_socket], "mode": "0600"}},
            "audit": {"directory": self.audit_directory},
            "log": {"to": "stderr", "level": "debug"},
        }
        self.process = None
        self.write(config)

    def write(self, config=None):
        with open(self.config_file, "w") as file:
            yaml.safe_dump(merge(self.base, config), file, sort_keys=False)

    def command(self, prefix=(), options=()):
        return [*prefix, os.path.join(BIN, "fipsd"), "-c", self.config_file, *options]

    def start(self, prefix=(), options=(), environment=None, wait=True):
        before = len(self.log_text())
        self.process = Process(self.command(prefix, options), "fipsd", self.output,
                               env={**os.environ, **SANITIZER_OPTIONS, **(environment or {})})
        if wait:
            self.wait_started("[fipsd-started]", before)
        return self

    def wait_log(self, text, after=0, deadline=None):
        return super().wait_log(re.escape(text), after, deadline)

    def fipsconfig(self, *arguments, password=None, more=(), check=True, timeout=120):
        """Runs fipsconfig; `password` (and further secrets, one a line) go in by --password-fd. Returns the completed process."""
        command = [os.path.join(BIN, "fipsconfig"), "-c", self.config_file, *arguments]
        environment = {**os.environ, **SANITIZER_OPTIONS}
        if password is None:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                                  env=environment)
        else:
            reading, writing = os.pipe()
            try:
                os.write(writing, "".join(line + "\n" for line in (password, *more)).encode())
                os.close(writing)
                done = subprocess.run([*command, "--password-fd", str(reading)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, timeout=timeout, env=environment, pass_fds=(reading,))
            finally:
                os.close(reading)
        if check and done.returncode != 0:
            raise AssertionError(f"fipsconfig {' '.join(arguments)} ended with {done.returncode}:\n"
                                 f"{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}")
        return done

    def initialise(self, password=PASSWORD):
        self.fipsconfig("init", password=password)
        return self

    def generate(self, name, kind="rsa", use="dkim", *options, password=PASSWORD):
        self.fipsconfig("key", "generate", name, "--type", kind, "--use", use, *options, password=password)

    def status(self):
        return json.loads(self.fipsconfig("status", "--json").stdout)

    def discard(self):
        if self.process:
            self.process.kill()
