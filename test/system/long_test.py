#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What takes minutes: libmilter out of file descriptors, a thousand reloads under load, a hundred thousand odd packets. Label "long"."""
import os
import resource
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import milter  # noqa: E402
from support.posternd import Posternd, sanitized  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.world import scratch  # noqa: E402


def rules(generation):
    return [{"name": "first", "if": "true", "then": [{"insert-header": {"name": "X-First", "value": str(generation)}}]},
            {"name": "second", "if": "header(\"X-First\")", "then": [{"insert-header": {"name": "X-Second", "value": str(generation)}}]}]


class Long(unittest.TestCase):
    def daemon(self, **options):
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), **options)
        self.addCleanup(daemon.discard)
        return daemon.start()

    def test_no_descriptors_left(self):
        """Out of file descriptors libmilter gives up after a while; posternd then ends with a status that has it started again."""
        daemon = self.daemon(rules=rules(0))
        used = len(os.listdir(f"/proc/{daemon.pid}/fd"))
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 4, resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]))
        connections = []
        try:
            while daemon.process.alive() and len(connections) < 64:
                connections.append(milter.connect(daemon.socket))
            wait_until(lambda: daemon.lines(r"\[milter-ended\]$") or not daemon.process.alive(), "libmilter to end", 900)
            daemon.wait_log(r"\[milter-ended\]$")
            self.assertNotEqual(daemon.process.wait(), 0)
        finally:
            for connection in connections:
                connection.close()

    def test_thousand_reloads(self):
        """A thousand reloads while 10 connections send: no error, one generation in each message, and no growth."""
        daemon = self.daemon(rules=rules(0), config={"log": {"level": "info"}})
        stop, problems, counts = threading.Event(), [], [0] * 10

        def sender(number):
            try:
                while not stop.is_set():
                    with milter.Mta(daemon.socket) as mta:
                        mta.connect()
                        for _ in range(20):
                            step, result = mta.message([("Subject", " s")], b"text\r\n")
                            values = [data.split(b"\0")[-2] for letter, data in result.edits]
                            if step != "message" or not result.goes_on or len(values) != 2 or values[0] != values[1]:
                                problems.append((step, result))
                                return
                            counts[number] += 1
            except Exception as error:
                problems.append(repr(error))

        threads = [threading.Thread(target=sender, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        sizes = []
        for generation in range(1, 1001):
            daemon.write(rules=rules(generation), config={"log": {"level": "info"}})
            self.assertEqual(daemon.command("reload", "-c", daemon.config_file).returncode, 0)
            if generation % 100 == 0:
                sizes.append(daemon.rss())
            if problems:
                break
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        if not sanitized():
            self.assertLess(sizes[-1] - sizes[1], 4 << 20, sizes)
        print(f"{sum(counts)} messages, 1000 reloads, resident {sizes[0] >> 20} to {sizes[-1] >> 20} MB")
        daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
