#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The store encrypted with a key that lies under one of fipsd's: nothing of a message is in any file of the store; it is seen, released and
delivered; while fipsd is away, refuses or has been zeroised nothing is stored plain and nothing is sent; what was changed on the disk stays
where it is. Real Postfix, real fipsd, real token.

    store_encryption_test.py [Class.test]
"""
import json
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.process import free_port, wait_until  # noqa: E402
from support.world import World, last_code, scratch  # noqa: E402

RULES = [{"name": "hold", "if": 'subject == "^hold"', "then": [{"quarantine": "Policy"}]},
         {"name": "tell", "if": 'subject == "^tell"', "then": [{"notify-copy": "watch@y.test"}]}]
MARKER = b"the-words-that-nobody-may-find"
HEAD = b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <%d@x.test>\r\nFrom: a@x.test\r\nTo: b@y.test\r\nSubject: %s\r\n\r\n"


def message(number, subject=b"hold"):
    return HEAD % (number, subject) + (MARKER + b" and more of them\r\n") * 3000  # several chunks


class StoreEncryption(unittest.TestCase):
    """One mail server and one fipsd for all tests, of which the last one zeroises it; a store and a posternd for each."""

    @classmethod
    def setUpClass(cls):
        cls.fipsd = Fipsd(scratch("postern-fipsd-"))
        cls.addClassCleanup(shutil.rmtree, cls.fipsd.directory, ignore_errors=True)
        cls.addClassCleanup(cls.fipsd.discard)
        cls.fipsd.start().initialise()
        cls.fipsd.generate("store", "rsa", "smime")
        cls.world = World(start=False)
        cls.addClassCleanup(cls.world.close)
        cls.world.mta.reinject_port = free_port()
        cls.world.mta.start()

    def setUp(self):
        if not self.fipsd.process.alive():
            self.fipsd.start()
        world = self.world
        self.before = len(world.sink.all())
        self.log_before = len(world.daemon.log_text())
        self.state = os.path.join(world.daemon.directory, self._testMethodName)
        os.makedirs(self.state)
        world.daemon.base.update({
            "state-directory": self.state, "store": "sqlite:" + os.path.join(self.state, "postern.db"), "store-encryption": {"key": "store"},
            "keys": {"socket": self.fipsd.milter_socket, "timeout": "3s"},
            "reinject": {"server": f"127.0.0.1:{world.mta.reinject_port}", "retry-first": "1s", "retry-longest": "1s"}})
        world.daemon.write(None, RULES)
        world.daemon.start()
        self.addCleanup(world.daemon.stop)

    def quarantine(self, *arguments, status=0):
        done = self.world.daemon.command("quarantine", *arguments, "-c", self.world.daemon.config_file, check=False)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return done

    def held(self):
        return [entry["id"] for entry in json.loads(self.quarantine("list", "--json").stdout)]

    def keep(self, number):
        """Sends a message that is to be held; returns its number in quarantine."""
        self.assertEqual(last_code(self.world.send(message(number))[0]), 250, self.world.daemon.log_text()[-2000:])
        return self.held()[-1]

    def outbox(self):
        return json.loads(self.world.daemon.command("outbox", "list", "-c", self.world.daemon.config_file, "--json").stdout)["mails"]

    def arrived(self, recipient="b@y.test"):
        return [delivery for delivery in self.world.sink.all()[self.before:] if recipient in delivery.recipients]

    def wait_arrived(self, count, recipient="b@y.test"):
        wait_until(lambda: len(self.arrived(recipient)) >= count, lambda: f"mail for {recipient}\n" + self.world.daemon.log_text()[-4000:])
        return self.arrived(recipient)[-1]

    def files(self):
        for folder, _, names in os.walk(self.state):
            for name in names:
                yield os.path.join(folder, name)

    def assert_nothing_plain(self):
        count = 0
        for path in self.files():
            with open(path, "rb") as file:
                content = file.read()
            self.assertNotIn(MARKER, content, path)
            count += content.startswith(b"PSTNENC")
        return count

    def flip(self):
        """Changes one byte of the newest content; returns its path."""
        path = max((path for path in self.files() if "/messages/" in path), key=lambda path: os.stat(path).st_mtime_ns)
        with open(path, "r+b") as file:
            file.seek(70_000)
            byte = file.read(1)
            file.seek(70_000)
            file.write(bytes([byte[0] ^ 1]))
        return path

    def test_the_way_of_a_message(self):
        world = self.world
        world.daemon.wait_log("store-key-good", self.log_before)
        first = self.keep(1)
        second = self.keep(2)
        self.assertEqual(self.assert_nothing_plain(), 2)
        self.assertEqual(self.quarantine("view", str(first)).stdout, message(1))
        self.quarantine("release", str(first))
        self.assertTrue(self.wait_arrived(1).body.startswith(MARKER))
        # A copy that waits in the outbox is encrypted, too.
        world.daemon.stop()
        world.daemon.write({"reinject": {"server": "127.0.0.1:1"}}, RULES)
        world.daemon.start()
        self.assertEqual(last_code(world.send(message(3, b"tell"))[0]), 250)
        wait_until(self.outbox, "a mail in the outbox")
        self.assertEqual(self.assert_nothing_plain(), 2)
        world.daemon.stop()
        world.daemon.write({"store-encryption": None}, RULES)
        world.daemon.start()
        self.assertIn(MARKER, self.wait_arrived(1, "watch@y.test").body)
        # Without the option new messages are stored as they are, and old ones are read.
        plain = self.keep(4)
        self.assertEqual(self.quarantine("view", str(second)).stdout, message(2))
        self.assertEqual(self.quarantine("view", str(plain)).stdout, message(4))
        with self.assertRaises(AssertionError):
            self.assert_nothing_plain()

    def test_fipsd_away_and_back(self):
        world = self.world
        first = self.keep(1)
        self.fipsd.stop()
        # posternd has the store's key; a command has not.
        second = self.keep(2)
        done = self.quarantine("view", str(first), status=69)
        self.assertEqual(done.stdout, b"")
        self.assertIn(b"fipsd", done.stderr)
        self.quarantine("release", str(first), str(second), status=69)
        self.quarantine("forward", str(first), "--to", "c@y.test", status=69)
        self.assertEqual(self.held(), [first, second])
        self.assertEqual(self.outbox(), [])
        # Started without fipsd: what is to be kept waits at its sender, other mail goes on.
        world.daemon.stop()
        world.daemon.start()
        world.daemon.wait_log("store-key-failed", self.log_before)
        self.assertEqual(last_code(world.send(message(3))[0]), 451)
        world.daemon.wait_log(r"\[keep-failed\]", self.log_before)
        world.deliver(message(4, b"other"))
        self.assertEqual(self.assert_nothing_plain(), 2)
        self.assertEqual(self.held(), [first, second])
        self.fipsd.start()
        wait_until(lambda: last_code(world.send(message(3))[0]) == 250, "the message to be kept")
        self.assertEqual(len(self.held()), 3)
        self.quarantine("release", str(first))
        self.assertTrue(self.wait_arrived(2).body.startswith(MARKER))

    def test_zz_refused_changed_zeroised(self):
        world = self.world
        first = self.keep(1)
        self.keep(2)
        # No right to decrypt.
        self.fipsd.stop()
        self.fipsd.write({"rights": [{"socket": "milter", "uses": ["smime"], "allow": ["describe"]}]})
        self.fipsd.start()
        self.assertIn(b"no right", self.quarantine("view", str(first), status=77).stderr)
        self.fipsd.stop()
        self.fipsd.write()
        self.fipsd.start()
        # Changed in quarantine: it stays there.
        third = self.keep(3)
        self.flip()
        self.assertIn(b"is not what was stored", self.quarantine("view", str(third), status=69).stderr)
        self.quarantine("release", str(third), status=69)
        self.assertIn(third, self.held())
        self.quarantine("delete", str(third))
        # Changed on its way out: it is not sent, in no part, and an administrator hears of it.
        world.daemon.stop()
        fourth = self.held()[-1]
        self.quarantine("release", str(fourth))
        self.flip()
        world.daemon.start()
        world.daemon.wait_log(r"kept as failed: content .* is not what was stored.*\[mail-failed\]")
        self.assertEqual([mail["state"] for mail in self.outbox()], ["failed"])
        self.assertFalse(self.arrived())
        # Zeroised: said so, and nothing more is kept.
        self.fipsd.fipsconfig("zeroise", "--yes", password=PASSWORD)
        self.assertIn(b"is lost", self.quarantine("view", str(first), status=69).stderr)
        self.quarantine("release", str(first), status=69)
        world.daemon.stop()
        before = len(world.daemon.log_text())
        world.daemon.start()
        world.daemon.wait_log(r"zeroised.*\[store-key-failed\]", before)
        self.assertEqual(last_code(world.send(message(5))[0]), 451)
        self.assertEqual(self.held(), [first])
        self.assert_nothing_plain()
        self.assertFalse(self.arrived())


if __name__ == "__main__":
    unittest.main(verbosity=2)
