#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vault_test.py VAULT-STEPS: kill -9 at every system call of every step that changes fipsd's files, and what the next start makes of it.

Wrong passwords are counted however the process ends: exactly three are ever looked at. A marker is never passed over. The catalogue is the
old or the new one. An audit record that was reported is there, and the chain verifies."""
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.process import temporary_directory  # noqa: E402
from support.strace import STATE_CHANGING, count_calls, kill_at_every_call, trace  # noqa: E402

RIGHT = "correct horse battery"
WRONG = "correct horse buttery"
STEPS = sys.argv.pop(1)
# scrypt takes 32 MiB at once: the sign that a password is being looked at.
LOOK = re.compile(r"\bmmap\(NULL, (\d+),")


def looked_at(traced):
    return any(int(match[1]) > 30 << 20 for match in map(LOOK.search, traced.lines) if match)


def run(*arguments):
    done = subprocess.run([STEPS, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.returncode} {done.stderr}")
    return done.stdout.splitlines()


class Vault(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # In memory where there is such a place: nothing here depends on the disk, and every step syncs many times.
        cls.scratch = temporary_directory("vault-", parent="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        cls.number = 0
        cls.template = cls.empty()
        run("init", cls.template, RIGHT)
        # The cheapest hash that is taken: hundreds of passwords are tried.
        salt = os.urandom(16)
        digest = hashlib.scrypt(RIGHT.encode(), salt=salt, n=1 << 15, r=8, p=1, maxmem=64 << 20, dklen=32)
        with open(os.path.join(cls.template, "officer"), "w") as line:
            line.write("$scrypt$ln=15,r=8,p=1$" + "$".join(base64.b64encode(part).decode().rstrip("=") for part in (salt, digest)))

    @classmethod
    def empty(cls):
        cls.number += 1
        path = os.path.join(cls.scratch, str(cls.number))
        os.mkdir(path, 0o700)
        return path

    def copy(self):
        path = self.empty()
        os.rmdir(path)
        shutil.copytree(self.template, path)
        return path

    def show(self, path):
        """condition, failures, rest: after a start."""
        lines = dict(line.split(" ", 1) for line in run("show", path) if " " in line)
        return lines["condition"], int(lines["failures"]), lines

    def sweep(self, command, prepare, check, calls=STATE_CHANGING):
        def checked(path, outcome, where):
            with self.subTest(where):
                if not outcome.killed:
                    self.assertEqual(outcome.status, 0, outcome.errors)
                check(path, outcome)
            shutil.rmtree(path)

        kills = kill_at_every_call(lambda path: [STEPS, *command(path)], prepare, checked, calls)
        self.assertGreater(kills, 5)
        return kills

    def test_init(self):
        def check(path, outcome):
            condition, failures, lines = self.show(path)
            self.assertIn(condition, ("uninitialised", "operational"))
            if "operational" in outcome.output:
                self.assertEqual(condition, "operational")
            if condition == "uninitialised":
                self.assertEqual(run("init", path, RIGHT), ["operational"])
                condition, failures, lines = self.show(path)
            self.assertEqual((condition, failures, lines["catalogue"]), ("operational", 0, "1 1"))
            if not outcome.killed:
                self.assertEqual(run("attempt", path, RIGHT), ["accepted"])

        self.sweep(lambda path: ["init", path, RIGHT], self.empty, check)

    def test_save(self):
        def check(path, outcome):
            condition, failures, lines = self.show(path)
            self.assertEqual((condition, failures), ("operational", 0))
            generation, entries = map(int, lines["catalogue"].split())
            self.assertEqual(generation, entries)
            self.assertIn(generation, (2,) if "saved 2" in outcome.output else (1, 2))
            self.assertEqual(run("save", path), [f"saved {generation + 1}"])

        self.sweep(lambda path: ["save", path], self.copy, check)

    def test_attempts(self):
        """Whatever is killed when, three wrong passwords are looked at and no more, and the third zeroises."""
        calls = STATE_CHANGING + ("mmap",)
        killed_looking = 0

        def check(path, outcome):
            nonlocal killed_looking
            looks = int(looked_at(outcome))
            killed_looking += outcome.killed and looks
            condition, failures, _ = self.show(path)
            self.assertEqual(condition, "operational")
            self.assertGreaterEqual(failures, looks, "an attempt that is not on record")
            self.assertLessEqual(failures, 1)
            for _ in range(4):
                traced = trace([STEPS, "attempt", path, WRONG], calls)
                self.assertEqual(traced.status, 0, traced.errors)
                looks += looked_at(traced)
                if "zeroised" in traced.output:
                    break
            self.assertLessEqual(looks, 3)
            self.assertEqual(self.show(path)[0], "zeroised")

        # Killing at mmap too means killing between the count and the answer.
        self.sweep(lambda path: ["attempt", path, WRONG], self.copy, check, calls)
        self.assertGreater(killed_looking, 0)

    def test_last_attempt(self):
        """The third wrong password, killed anywhere: afterwards there is no fourth, not even with the right one."""
        def prepare():
            path = self.copy()
            run("attempt", path, WRONG)
            run("attempt", path, WRONG)
            return path

        def check(path, outcome):
            looked = looked_at(outcome)
            answer = run("attempt", path, RIGHT)
            if looked:
                self.assertNotIn("accepted", answer)
            if "accepted" in answer:
                self.assertEqual(self.show(path)[:2], ("operational", 0))
            else:
                condition, _, lines = self.show(path)
                self.assertEqual(condition, "zeroised")
                self.assertEqual(sorted(name for name in os.listdir(path) if not name.startswith("ballast-")), ["lock", "state"])
                self.assertNotIn("catalogue", lines)

        self.template, template = prepare(), self.template
        try:
            self.sweep(lambda path: ["attempt", path, WRONG], self.copy, check, STATE_CHANGING + ("mmap",))
        finally:
            self.template = template

    def test_right_password(self):
        def check(path, outcome):
            condition, failures, _ = self.show(path)
            self.assertEqual(condition, "operational")
            self.assertLessEqual(failures, 0 if "accepted" in outcome.output else 1)

        self.sweep(lambda path: ["attempt", path, RIGHT], self.copy, check)

    def test_zeroise(self):
        def check(path, outcome):
            marked = os.path.exists(os.path.join(path, "zeroising"))
            condition, _, lines = self.show(path)
            if marked or "zeroised" in outcome.output:
                self.assertEqual(condition, "zeroised")
            self.assertIn(condition, ("operational", "zeroised"))
            if condition == "operational":
                self.assertEqual(lines["catalogue"], "1 1", "nothing was destroyed before the marker")
            else:
                self.assertEqual(sorted(name for name in os.listdir(path) if not name.startswith("ballast-")), ["lock", "state"])
                self.assertEqual(run("init", path, RIGHT), ["operational"])

        self.sweep(lambda path: ["zeroise", path], self.copy, check)

    def test_killed_again_and_again_while_zeroising(self):
        """The next start is killed too, at each of its calls in turn, on the same directory."""
        for call in ("openat", "write", "fsync", "renameat", "unlinkat"):
            with self.subTest(call):
                path = self.copy()
                marked = trace([STEPS, "zeroise", path], kill_at=("unlinkat", 1))
                self.assertTrue(marked.killed and os.path.exists(os.path.join(path, "zeroising")))
                for number in range(1, 200):
                    outcome = trace([STEPS, "show", path], kill_at=(call, number))
                    if not outcome.killed:
                        break
                self.assertIn("condition zeroised", outcome.output)

    def test_audit(self):
        count = 45

        def check(path, outcome):
            reported = [line.split()[1] for line in outcome.output.splitlines() if line.startswith("recorded ")]
            self.assertNotIn("refused", outcome.output)
            if not outcome.killed:
                self.assertEqual(len(reported), count)
            *held, last = run("audit-show", path)
            self.assertEqual(last, "verified")
            held = [line.split()[1] for line in held]
            self.assertEqual(held[:len(reported)], reported)
            self.assertLessEqual(len(held), len(reported) + 1)
            self.assertEqual(len(run("audit", path, "3")), 3)
            self.assertEqual(run("audit-show", path)[-1], "verified")

        self.sweep(lambda path: ["audit", path, str(count)], self.empty, check)

    def test_order_of_calls(self):
        """The new count is on disk, file and directory, before the password is looked at; and every rename follows the file's fsync
        and is followed by the directory's, in every step."""
        calls = STATE_CHANGING + ("mmap",)
        for command in (["init", self.empty(), RIGHT], ["attempt", self.copy(), WRONG], ["save", self.copy()], ["zeroise", self.copy()]):
            directory = command[1]
            traced = trace([STEPS, *command], calls)
            self.assertEqual(traced.status, 0, traced.errors)
            unsynced, renamed, renames = set(), None, 0
            for line in traced.lines:
                call = line.split(maxsplit=1)[-1]
                if match := re.match(r"write\(\d+<(.*?)>", call):
                    unsynced.add(match[1])
                elif match := re.match(r"fsync\(\d+<(.*?)>\)\s+= 0", call):
                    unsynced.discard(match[1])
                    if match[1] == directory:
                        renamed = None
                elif match := re.match(r'renameat\(\d+<.*?>, "(.*?)", \d+<.*?>, "(.*?)"\)\s+= 0', call):
                    self.assertNotIn(os.path.join(directory, match[1]), unsynced, command)
                    renamed = match[2]
                    renames += 1
                elif match := LOOK.search(line):
                    self.assertFalse(int(match[1]) > 30 << 20 and renamed, f"{renamed} was not synced before the password was looked at")
                elif match := re.match(r"unlinkat\(", call):
                    self.assertIsNone(renamed, command)
            self.assertIsNone(renamed, command)
            self.assertGreater(renames, 0)
        self.assertGreater(count_calls(traced.lines, "unlinkat"), 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
