# SPDX-License-Identifier: Apache-2.0
"""fake-fipsd (fake_fipsd.cc) as a child process, and what independent verifiers say of mail signed with its keys."""
import os
import signal
import subprocess

from support import dkim_verify
from support.daemon import BIN, SANITIZER_OPTIONS
from support.process import Process, wait_until


class FakeFipsd:
    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.socket = os.path.join(directory, "milter.sock")
        self.keys_file = os.path.join(directory, "keys")
        self.output = os.path.join(directory, "output")
        self.process = None

    def start(self):
        before = self.text().count("ready")
        self.process = Process([os.path.join(BIN, "fake-fipsd"), self.directory], "fake-fipsd", self.output,
                               env={**os.environ, **SANITIZER_OPTIONS})
        wait_until(lambda: self.text().count("ready") > before or not self.process.alive(), "fake-fipsd to start")
        if not self.process.alive():
            raise RuntimeError("fake-fipsd does not start:\n" + self.text())

    def text(self):
        try:
            with open(self.output, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def answer(self, status="ok"):
        """From now on requests get this status."""
        temporary = os.path.join(self.directory, "answer.new")
        with open(temporary, "w", encoding="ascii") as file:
            file.write(status + "\n")
        os.rename(temporary, os.path.join(self.directory, "answer"))

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process is not None and self.process.alive():
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()

    def config(self, **profile):
        """What a postern.yaml needs to sign mail of example.org with both keys in its one flow; `profile` is laid over the profile."""
        keys = [{"selector": "r2026", "key": "dkim-rsa"}, {"selector": "e2026", "key": "dkim-ed25519"}]
        return {"keys": {"socket": self.socket}, "flows": [{"name": "outbound", "sign": ["example.org"]}],
                "dkim": {"example.org": {"domain": "example.org", "keys": keys, **profile}}}

    def verify(self, message):
        """Each signature of example.org or example.net in `message` as "DOMAIN SELECTOR OUTCOME", from the top; both verifiers must agree."""
        run = subprocess.run([os.path.join(BIN, "dkim-verify"), self.keys_file, "-"], input=message, capture_output=True, check=True)
        theirs = [line.split(" ")[2:5] for line in run.stdout.decode().splitlines()]
        found = [list(result[:3]) for result in dkim_verify.results(message, dkim_verify.read_keys(self.keys_file))]
        if sorted(theirs) != sorted(found):
            raise AssertionError(f"libopendkim says {theirs}, python3-dkim {found}")
        return [" ".join(result) for result in found if result[0] != "-"]
