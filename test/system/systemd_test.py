#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: sound, tight, and the daemon does all its work under what it restricts."""
import os
import pwd
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import confine, milter  # noqa: E402
from support.daemon import BIN  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import SOURCE  # noqa: E402
from support.world import scratch  # noqa: E402

UNIT = os.path.join(SOURCE, "contrib", "systemd", "posternd.service")
RULES = """
filters:
  - {name: regex, if: 'body-contains("(?i)n[ae]{2}dle\\s+\\d+") and header("Subject") == "^s$"', then: [{add-footer: "Found"}]}
  - {name: mark, if: 'true', then: [{insert-header: {name: X-Hit, value: "1"}}]}
"""


class Unit(unittest.TestCase):
    def copy(self):
        """The unit with the programs of this build in it."""
        with open(UNIT, encoding="utf-8") as file:
            text = file.read()
        text = text.replace("/usr/sbin/posternd", os.path.join(BIN, "posternd")).replace("/usr/bin/postern ", os.path.join(BIN, "postern") + " ")
        path = os.path.join(scratch(), "posternd.service")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_verify(self):
        run = subprocess.run(["systemd-analyze", "verify", "--man=no", self.copy()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        self.assertEqual(run.returncode, 0, run.stdout.decode())
        self.assertNotIn("posternd.service:", run.stdout.decode())

    def test_exposure(self):
        """systemd's own measure, from 0 (nothing is exposed) to 10."""
        run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", self.copy()],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        level = re.search(r"exposure level for \S+: ([\d.]+)", run.stdout.decode())
        self.assertEqual(run.returncode, 0, run.stdout.decode()[-400:])
        print("exposure " + level.group(1))

    def test_works_under_its_restrictions(self):
        """JIT-compiled patterns, a body in a file, edits, reload by the control socket, log reopening, drain: all with the unit's system
        calls, address families, user without capabilities and no new privileges."""
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), group="daemon", rules=RULES)
        self.addCleanup(daemon.discard)
        for name in ("", "spool"):
            os.chown(os.path.join(directory, name), pwd.getpwnam("nobody").pw_uid, -1)
        daemon.start(prefix=["/usr/bin/python3", confine.__file__, UNIT, "nobody", "daemon"],
                     environment={"ASAN_OPTIONS": "exitcode=99:detect_leaks=0"})  # the leak checker wants ptrace
        with open(f"/proc/{daemon.pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual((int(status["CapEff"], 16), int(status["CapPrm"], 16)), (0, 0))
        for body in (b"Naadle 42\r\n", b"filler line\r\n" * 300000 + b"naedle 7\r\n"):
            with milter.Mta(daemon.socket) as mta:
                mta.connect()
                _, result = mta.message([("Subject", " s")], body)
                letters = {letter for letter, _ in result.edits}
                self.assertIn(milter.REPLACE_BODY, letters, result.letter)
                self.assertTrue(letters & {milter.ADD_HEADER, milter.INSERT_HEADER})
        run = daemon.command("reload", "-c", daemon.config_file)
        self.assertEqual(run.returncode, 0)
        self.assertEqual(daemon.status()["generation"], 2)
        daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
