#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Large and many messages against the limits: 200 MB against limits.message-size under Postfix, and the bound on memory in flight."""
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import smtp  # noqa: E402
from support.posternd import sanitized  # noqa: E402
from support.world import World  # noqa: E402

MEGA = 1 << 20
RULES = "filters: [{name: text, if: 'body-contains(\"no such text\")', then: [{reject: 'no'}]}]"
HEAD = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: large\r\n\r\n"
BLOCK = (b"x" * 70 + b"\r\n") * (MEGA // 72)


def blocks(count):
    yield HEAD
    for _ in range(count):
        yield BLOCK


def peak_rss(pid):
    """The largest resident size since the last reset, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


class Size(unittest.TestCase):
    def test_200_megabytes(self):
        """552 5.3.4, one log line, less than 10 MB more memory; the next message is judged as usual."""
        world = World(rules=RULES)
        self.addCleanup(world.close)
        world.deliver(HEAD + b"small\r\n")
        reset_peak(world.daemon.pid)
        before = world.daemon.rss()
        replies, queue_id = world.send(blocks(203))
        growth = peak_rss(world.daemon.pid) - before
        self.assertTrue(str(replies["message"]).startswith("552 5.3.4"), str(replies["message"]))
        self.assertIsNone(queue_id)
        if not sanitized():
            self.assertLess(growth, 10 * 10**6)
        world.deliver(HEAD + b"small again\r\n")
        spool = os.listdir(os.path.join(world.daemon.directory, "spool"))
        self.assertEqual(spool, [])
        world.daemon.stop()
        # All is written now.
        lines = world.daemon.lines(r"MID.*(\b552\b|larger|5\.3\.4)")
        self.assertEqual(len(lines), 1, lines)
        print(f"200 MB: 552, one log line, {growth / 10**6:.1f} MB more memory at the peak")

    def test_declared_size(self):
        world = World(rules=RULES, config={"limits": {"message-size": "10M"}})
        self.addCleanup(world.close)
        replies, _ = world.send(HEAD, parameters="SIZE=20000000")
        self.assertTrue(str(replies["mail"]).startswith("552 5.3.4"), str(replies["mail"]))
        world.daemon.stop()

    def test_memory_bound(self):
        """Messages that would together pass limits.memory are answered 451 4.3.2 while others are finished; afterwards all fit again."""
        world = World(rules=RULES, config={"limits": {"memory": "8M", "spool-memory": "4M", "message-size": "20M"}})
        self.addCleanup(world.close)
        started, go_on = threading.Barrier(5), threading.Event()
        answers = []

        def hold():
            def parts():
                yield from blocks(3)
                started.wait(60)
                go_on.wait(60)
                yield b"end\r\n"
            answers.append(world.send(parts())[0]["message"])

        threads = [threading.Thread(target=hold) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait(60)
        go_on.set()
        for thread in threads:
            thread.join()
        codes = sorted(reply.code for reply in answers)
        self.assertLessEqual(set(codes), {250, 451}, [str(reply) for reply in answers])
        self.assertGreaterEqual(codes.count(451), 1, [str(reply) for reply in answers])
        for reply in answers:
            if reply.code == 451:
                self.assertTrue(str(reply).startswith("451 4.3.2"), str(reply))
        world.daemon.wait_log("bytes for messages in flight")
        # What was held is given back: one of the same size fits now.
        _, queue_id = world.send(blocks(3))
        self.assertIsNotNone(queue_id)
        world.daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
