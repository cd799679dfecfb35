#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""store_kill_test.py STORE-STEPS: a process that keeps or releases a message is killed at every system call of it, with both back ends.

After each kill the sender, which has no answer, sends the same message again. Then the message is there exactly once, whole, with
everything it leaves behind; and what had been said to be kept was there before the second time."""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from support import postgres, process, strace

STEPS = sys.argv.pop(1)
# What a client of PostgreSQL does to the world.
SOCKET_CALLS = ("connect", "sendto", "recvfrom", "poll")


def step(where, *command):
    done = subprocess.run([STEPS, where, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=process.DEADLINE)
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode().strip()


class Kill(unittest.TestCase):
    def must(self, where, *command):
        status, output, errors = step(where, *command)
        self.assertEqual(status, 0, errors)
        return output

    def keep_once(self, where, outcome, place):
        if "kept" in outcome.output:
            self.assertEqual(self.must(where, "count"), "held=1 copies=1 released=0 mails=1 bad=0", place + ": said to be kept and was not")
        self.must(where, "keep", "2")
        self.assertEqual(self.must(where, "count"), "held=1 copies=1 released=0 mails=1 bad=0", place)

    def release_once(self, where, outcome, place):
        # Neither lost nor twice: each is held, or released and in the outbox.
        held = self.must(where, "count")
        self.assertIn(held, [f"held={2 - n - (1 if n < 2 else 0)} copies={1 if n < 2 else 0} released={n} mails={n + 1} bad=0" for n in range(3)], place)
        self.must(where, "release")
        self.assertEqual(self.must(where, "count"), "held=0 copies=0 released=2 mails=3 bad=0", place)

    def sweep(self, prepare, command, check, calls):
        places = {}

        def fresh():
            path, where = prepare()
            places[path] = where
            self.must(where, "init")
            if command[0] == "release":
                self.must(where, "keep", "1")
            return path

        kills = strace.kill_at_every_call(lambda path: [STEPS, places[path], *command], fresh,
                                          lambda path, outcome, place: check(path, places[path], outcome, place), calls)
        print(f"{' '.join(command)}: {kills} kills")
        self.assertGreater(kills, 10)


class Sqlite(Kill):
    def setUp(self):
        self.directory = process.temporary_directory("store-kill-")
        self.number = 0

    def prepare(self):
        shutil.rmtree(os.path.join(self.directory, str(self.number)), ignore_errors=True)
        self.number += 1
        path = os.path.join(self.directory, str(self.number))
        os.mkdir(path)
        return path, f"sqlite:{path}/postern.db"

    def leftovers(self, path, where, expected):
        """Message files once what a kill left over has gone."""
        self.must(where, "tidy")
        found = [name for _, _, names in os.walk(os.path.join(path, "messages")) for name in names]
        self.assertEqual(len(found), expected, found)

    def test_keep(self):
        def check(path, where, outcome, place):
            self.keep_once(where, outcome, place)
            self.leftovers(path, where, 2)

        self.sweep(self.prepare, ("keep", "1"), check, strace.STATE_CHANGING)

    def test_release(self):
        def check(path, where, outcome, place):
            self.release_once(where, outcome, place)
            self.leftovers(path, where, 2)

        self.sweep(self.prepare, ("release",), check, strace.STATE_CHANGING)


class Postgresql(Kill):
    @classmethod
    def setUpClass(cls):
        cls.server = postgres.Postgres(os.path.join(process.temporary_directory("store-kill-"), "server"))

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.number = 0

    def prepare(self):
        self.number += 1
        schema = f"s{self.number}_{self._testMethodName}"
        self.server.sql(f"CREATE SCHEMA {schema}")
        # The calls before the first that names the server's socket are the loader's.
        return self.server.directory, f"postgresql:{self.server.connection()} options=-csearch_path={schema}"

    def test_keep(self):
        self.sweep(self.prepare, ("keep", "1"), lambda path, where, outcome, place: self.keep_once(where, outcome, place), SOCKET_CALLS)

    def test_release(self):
        self.sweep(self.prepare, ("release",), lambda path, where, outcome, place: self.release_once(where, outcome, place), SOCKET_CALLS)


if __name__ == "__main__":
    unittest.main()
