#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Quarantine under a real Postfix: an attachment is stripped, the original kept, the rest delivered, the original released; `postern quarantine`
with and without a running daemon; posternd killed at every packet of messages that are kept.

    quarantine_test.py [Class.test]
"""
import json
import os
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import smtp  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.world import World, last_code  # noqa: E402

RULES = """
filters:
  - {name: strip, if: 'true', then: [{keep-original: Originals}, {drop-attachments-by-name: {pattern: 'exe$', comment: "gone: $dropped_filename"}}]}
  - {name: hold, if: 'subject == "hold"', then: [{quarantine: Policy}, {quarantine: Legal}]}
"""
# With Date and Message-ID, as any server sends mail: what lacks them gets others from Postfix each time it is sent.
DATED = b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
STRIPPED = (DATED + b"Message-ID: <stripped@x.test>\r\nFrom: a@x.test\r\nTo: b@y.test\r\nSubject: with attachment\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/octet-stream; name=\"a.exe\"\r\n"
            b"Content-Disposition: attachment; filename=\"a.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAA=\r\n--b--\r\n")
HELD = DATED + b"Message-ID: <held@x.test>\r\nFrom: a@x.test\r\nTo: b@y.test\r\nSubject: hold\r\n\r\nkeep me\r\n"


class Quarantine(unittest.TestCase):
    def setUp(self):
        self.worlds = []

    def tearDown(self):
        for world in self.worlds:
            world.close()

    def world(self, **options):
        world = World("postfix", rules=RULES, start=False, **options)
        self.worlds.append(world)
        self.database = os.path.join(world.daemon.directory, "postern.db")
        world.daemon.write({"store": "sqlite:" + self.database,
                            "quarantines": {"Policy": {"retention": "7d"}, "Legal": {}, "Originals": {"default-action": "release"}}}, RULES)
        return world

    def run_command(self, world, *arguments, status=0):
        done = world.daemon.command("quarantine", *arguments, "-c", world.daemon.config_file, check=False)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return done.stdout

    def listed(self, world, *arguments):
        return json.loads(self.run_command(world, "list", "--json", *arguments))

    def outbox(self):
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            return database.execute("SELECT kind, sender, recipients, quarantine FROM outbox ORDER BY id").fetchall()

    def test_strip_keep_original_and_command(self):
        world = self.world()
        self.run_command(world, "list", status=69)  # no daemon has made the store yet
        world.daemon.start()
        world.mta.start()
        delivery = world.deliver(STRIPPED)
        self.assertIn(b"gone: a.exe", delivery.body)
        self.assertNotIn(b"TVqQ", delivery.body)
        replies, queue_id = world.send(HELD)
        self.assertEqual(last_code(replies), 250)
        world.mta.wait_settled(queue_id)
        self.assertFalse(world.sink.with_queue_id(queue_id))

        original, held = self.listed(world)
        self.assertEqual((original["copy"], original["subject"], original["holds"][0]["quarantine"]), ("original", "with attachment", "Originals"))
        self.assertEqual((held["copy"], held["from"], held["to"]), ("message", "a@x.test", ["b@y.test"]))
        self.assertEqual([hold["quarantine"] for hold in held["holds"]], ["Legal", "Policy"])
        self.assertEqual(held["queue_id"], queue_id)
        self.assertEqual(self.run_command(world, "view", str(original["id"])), STRIPPED)

        # The daemon is not needed for any of it.
        world.daemon.stop()
        for arguments, ids in ((("--quarantine", "Policy"), [held["id"]]), (("--from", "A@X"), [original["id"], held["id"]]), (("--to", "nobody"), []),
                               (("--subject", "HOLD"), [held["id"]]), (("--filter", "strip"), [original["id"]]), (("--mid", str(held["mid"])), [held["id"]]),
                               (("--older-than", "1h"), []), (("--newer-than", "1h"), [original["id"], held["id"]]), (("--limit", "1"), [original["id"]]),
                               (("--after", str(original["id"])), [held["id"]]), (("--message-id", "HELD@"), [held["id"]])):
            self.assertEqual([entry["id"] for entry in self.listed(world, *arguments)], ids, arguments)
        self.assertIn(b"with attachment", self.run_command(world, "list"))
        shown = json.loads(self.run_command(world, "show", str(held["id"]), "--json"))
        self.assertEqual(shown["holds"][1]["filter"], "hold")
        self.assertIn(b"Policy: held, filter 'hold'", self.run_command(world, "show", str(held["id"])))
        copy = os.path.join(world.daemon.directory, "copy.eml")
        self.run_command(world, "view", str(held["id"]), "--out", copy)
        with open(copy, "rb") as file:
            self.assertEqual(file.read(), HELD)
        self.run_command(world, "hold", str(held["id"]))
        self.assertTrue(self.listed(world, "--quarantine", "Policy")[0]["on_hold"])
        self.run_command(world, "unhold", str(held["id"]))
        stats = {row["quarantine"]: row for row in json.loads(self.run_command(world, "stats", "--json"))}
        self.assertEqual((stats["Policy"]["messages"], stats["Policy"]["bytes"], stats["Policy"]["retention"]), (1, len(HELD), 7 * 86400))
        self.assertEqual((stats["Originals"]["messages"], stats["Originals"]["default_action"]), (1, "release"))
        self.assertIn(b"Policy", self.run_command(world, "stats"))

        self.assertIn(b"others hold it still", self.run_command(world, "release", str(held["id"]), "--quarantine", "Policy"))
        self.assertEqual(self.outbox(), [])
        self.run_command(world, "release", str(held["id"]), str(original["id"]))
        released = [("release", "a@x.test", "b@y.test\n", "Legal"), ("release", "a@x.test", "b@y.test\n", "Originals")]
        self.assertEqual(self.outbox(), released)
        self.run_command(world, "release", str(held["id"]), status=1)
        self.run_command(world, "forward", str(held["id"]), "--to", "c@y.test", status=1)
        self.run_command(world, "delete", "999", status=1)
        self.run_command(world, "show", "999", status=1)
        self.assertEqual(self.listed(world), [])
        self.assertEqual([entry["state"] for entry in self.listed(world, "--all")], ["released", "released"])

        world.daemon.start()
        self.assertEqual(last_code(world.send(HELD)[0]), 250)
        third = self.listed(world)[0]["id"]
        self.run_command(world, "forward", str(third), "--to", "c@y.test", "--from", "admin@y.test")
        self.run_command(world, "delete", str(third))
        self.assertEqual(self.outbox(), released + [("forward", "admin@y.test", "c@y.test\n", "")])
        world.daemon.stop()

    def test_errors(self):
        world = self.world()
        self.run_command(world, "forward", "1", status=64)
        self.run_command(world, "list", "--older-than", "soon", status=69)
        world.daemon.write()
        self.run_command(world, "list", status=78)
        world.daemon.write({"store": "sqlite:postern.db"})
        self.run_command(world, "list", status=78)

    def test_killed_at_every_packet(self):
        """After each death the sender, which saw a 4xx, sends again; after each 250 the message is in quarantine. Always once."""
        world = self.world(behind=True)
        world.daemon.start()
        proxy = Proxy(world.mta.milter_socket, world.daemon.socket)
        world.mta.start()

        def message(number):
            return HELD.replace(b"<held@", b"<%d@" % number)

        def strike():
            world.daemon.kill()
            return False

        try:
            proxy.arm(None, None)
            world.send(message(0))
            wait_until(proxy.idle, "the last packets")
            packets = len(proxy.trace)
            again = 0
            for at in range(1, packets + 1):
                proxy.arm(at, strike)
                try:
                    code = last_code(world.send(message(at))[0])
                except smtp.Lost:
                    code = 421
                wait_until(proxy.idle, "the last packets")
                if not world.daemon.process.alive():
                    world.daemon.start()
                proxy.arm(None, None)
                found = self.listed(world, "--message-id", f"<{at}@")
                if code == 250:
                    self.assertEqual(len(found), 1, f"packet {at}: answered 250")
                else:
                    self.assertTrue(400 <= code < 500, f"packet {at}: {code}")
                    again += len(found)
                    self.assertEqual(last_code(world.send(message(at))[0]), 250)
                self.assertEqual(len(self.listed(world, "--message-id", f"<{at}@")), 1, f"packet {at}: answered {code}, before the second try {len(found)}")
            self.assertEqual(len(self.listed(world)), packets + 1)
            self.assertGreater(again, 0, "no kill came between the store and the answer")
            self.assertFalse(world.sink.all())
            world.daemon.stop()
            print(f"killed at {packets} packets, {again} times between the store and the answer: 0 lost, 0 twice")
        finally:
            proxy.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
