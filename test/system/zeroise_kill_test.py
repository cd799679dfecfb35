#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fipsd with its token, killed at every system call of zeroising, and again at every one of the start that finishes it.

Either nothing was destroyed and the key signs, or fipsd is zeroised after the next start: then no file holds anything of the key, and it
can be initialised anew. The files that fipsd keeps itself are looked at step by step by vault_test.py."""
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.fipsd_client import EDDSA, NONE, FipsdClient, secret_body  # noqa: E402
from support.process import Process, temporary_directory, wait_until  # noqa: E402
from support.strace import STATE_CHANGING  # noqa: E402

CALLS = (*STATE_CHANGING, "fcntl", "lseek", "read", "close", "sendmsg", "sendto", "munmap")
STEP = int(os.environ.get("POSTERN_KILL_STEP", "1"))  # every how manyth call
LOG = "strace.log"


def beginnings(path):
    """How often the busiest thread began each of the calls."""
    counts = {}
    with open(path, errors="replace") as lines:
        for line in lines:
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match:
                counts[match[2], match[1]] = counts.get((match[2], match[1]), 0) + 1
    return {call: max((count for (name, _), count in counts.items() if name == call), default=0) for call in CALLS}


class Zeroise(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # In memory where there is such a place: nothing here depends on the disk.
        cls.scratch = temporary_directory("zeroise-", parent="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        cls.place, cls.template = os.path.join(cls.scratch, "fipsd"), os.path.join(cls.scratch, "template")
        cls.fipsd = Fipsd(cls.place)
        cls.addClassCleanup(cls.fipsd.discard)
        cls.fipsd.start().initialise()
        cls.fipsd.generate("mail", "ed25519")
        cls.fipsd.stop()
        # The cheapest hash that is taken: the password is asked for many times.
        salt = os.urandom(16)
        digest = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1 << 15, r=8, p=1, maxmem=64 << 20, dklen=32)
        with open(os.path.join(cls.fipsd.state, "officer"), "w") as line:
            line.write("$scrypt$ln=15,r=8,p=1$" + "$".join(base64.b64encode(part).decode().rstrip("=") for part in (salt, digest)))
        os.rename(cls.place, cls.template)

    def fresh(self, template=None):
        self.fipsd.discard()
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(template or self.template, self.place, ignore=shutil.ignore_patterns("*.sock"))

    def strace(self, *options, kill=None):
        inject = ["-e", f"inject={kill[0]}:signal=KILL:when={kill[1]}"] if kill else []
        return ["strace", "-f", "-o", os.path.join(self.place, LOG), "-e", "trace=" + ",".join("?" + call for call in CALLS), "-e", "signal=none",
                *inject, *options]

    def traced(self):
        """Whether every thread of fipsd is followed."""
        tasks = f"/proc/{self.fipsd.process.pid}/task"
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "status")) as lines:
                if "TracerPid:\t0\n" in lines.readlines():
                    return False
        return True

    def zeroise(self, kill=None):
        """Asks fipsd, followed from here on, to zeroise; returns its answer."""
        self.fipsd.start()
        client = FipsdClient(self.fipsd.officer_socket)
        self.assertEqual(client.ask("login", secret_body(PASSWORD))[0], "ok")
        tracer = Process(self.strace("-p", str(self.fipsd.process.pid), kill=kill), "strace", os.path.join(self.place, "strace.out"))
        try:
            wait_until(self.traced, "strace")
            return client.ask("zeroise", secret_body(PASSWORD))[0]
        except OSError:
            return "closed"
        finally:
            client.close()
            self.fipsd.process.kill()
            tracer.wait()

    def marked(self):
        return os.path.exists(os.path.join(self.fipsd.state, "zeroising"))

    def check(self, gone):
        """What the next start makes of it; `gone`: it must be zeroised. Returns whether it is."""
        self.fipsd.start()
        state = wait_until(lambda: (lambda now: now if now != "zeroising" else None)(self.fipsd.status()["state"]), "zeroising to end")
        answer = FipsdClient(self.fipsd.milter_socket).sign("mail", EDDSA, NONE, bytes(32))[0]
        if state == "operational":
            self.assertFalse(gone)
            self.assertEqual(answer, "ok")
            return False
        self.assertEqual((state, answer), ("zeroised", "zeroised"))
        # The PIN opens an empty token.
        kept = {name for name in os.listdir(self.fipsd.state) if not name.startswith("ballast-")}
        self.assertEqual(kept, {"lock", "so-pin", "softhsm2.conf", "state"})
        objects = [name for _, _, files in os.walk(self.fipsd.tokens) for name in files if name.endswith(".object") and name != "token.object"]
        self.assertEqual(objects, [])
        self.fipsd.initialise()
        self.assertEqual(FipsdClient(self.fipsd.milter_socket).sign("mail", EDDSA, NONE, bytes(32))[0], "not-found")
        return True

    def sweep(self, counts, once):
        kills = 0
        for call, count in counts.items():
            for number in range(1, count + 1, STEP):
                with self.subTest(call=call, number=number):
                    kills += once(call, number)
        print(f"{self.id().rpartition('.')[2]}: {kills} kills", file=sys.stderr)
        self.assertGreater(kills, 20)

    def test_asked(self):
        """The officer asks for it, and fipsd is killed on the way."""
        self.fresh()
        self.assertEqual(self.zeroise(), "ok")
        counts = beginnings(os.path.join(self.place, LOG))
        self.assertTrue(self.check(True))

        def once(call, number):
            self.fresh()
            answer = self.zeroise((call, number))
            self.check(answer == "ok" or self.marked())
            return answer != "ok"

        self.sweep(counts, once)

    def test_finished_by_the_next_start(self):
        """Only the marker was written; the start that has to do the rest is killed, too."""
        self.fresh()
        half = os.path.join(self.scratch, "half")
        self.zeroise(("unlinkat", 1))
        self.assertTrue(self.marked())
        shutil.rmtree(half, ignore_errors=True)
        os.rename(self.place, half)

        def start(kill=None):
            self.fresh(half)
            self.fipsd.start(prefix=self.strace(kill=kill), wait=False)
            wait_until(lambda: not self.fipsd.process.alive() or "[fipsd-started]" in self.fipsd.log_text()[begun:], "the start or the kill")
            killed = not self.fipsd.process.alive()
            self.fipsd.discard()
            return killed

        with open(os.path.join(half, "fipsd.log")) as log:
            begun = len(log.read())
        self.assertFalse(start())
        counts = beginnings(os.path.join(self.place, LOG))

        def once(call, number):
            killed = start((call, number))
            self.check(True)
            return killed

        self.sweep(counts, once)


if __name__ == "__main__":
    unittest.main(verbosity=2)
