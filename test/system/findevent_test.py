#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""postern findevent under a real Postfix: a filter fires, a message goes into quarantine and out again, another has a copy made; each is found by
every key, in the store and in the log, with the names of the filters and what they did; --follow shows what comes."""
import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.daemon import BIN, SANITIZER_OPTIONS  # noqa: E402
from support.process import free_port, wait_until  # noqa: E402
from support.world import World, last_code  # noqa: E402

RULES = [
    {"name": "stamp", "if": 'subject == "^stamp"', "then": [{"insert-header": {"name": "X-Stamp", "value": "yes"}}]},
    {"name": "hold", "if": 'subject == "^hold"', "then": [{"log-entry": "held: $Subject"}, {"quarantine": "Policy"}]},
    {"name": "copy", "if": 'subject == "^copy"', "then": [{"bcc": {"to": "copy@y.test"}}]},
    {"name": "refuse", "if": 'subject == "^refuse"', "then": [{"reject": "not wanted"}]},
]


def data(subject, ident):
    return (f"From: Ann <ann@x.test>\r\nTo: b@y.test\r\nSubject: {subject}\r\nMessage-ID: <{ident}@x.test>\r\n"
            "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nHello.\r\n").encode()


class FindEvent(unittest.TestCase):
    def setUp(self):
        self.world = World(start=False)
        world = self.world
        self.addCleanup(world.close)
        world.mta.reinject_port = free_port()
        state = os.path.join(world.daemon.directory, "state")
        os.makedirs(state)
        world.daemon.base.update({"state-directory": state, "store": "sqlite:" + os.path.join(state, "postern.db"), "tracking": {"keep": "7d"},
                                  "reinject": {"server": f"127.0.0.1:{world.mta.reinject_port}", "retry-first": "1s"}})
        world.daemon.write(None, RULES)

    def find(self, *arguments, status=None):
        done = self.world.daemon.command("findevent", "-c", self.world.daemon.config_file, *arguments, check=False)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stderr.decode())
        return done

    def found(self, *arguments):
        return json.loads(self.find("--json", *arguments).stdout or b"[]")

    def wait_line(self, event, *arguments):
        """Waits until a message found by `arguments` has such a line; returns it."""
        def look():
            for message in self.found(*arguments):
                if any(line["event"] == event for line in message["lines"]):
                    return message
            return None
        return wait_until(look, f"{event} of {arguments}")

    def test_every_key_and_what_comes_later(self):
        world = self.world
        self.find("--mid", "1", status=69)  # no daemon has made the store yet
        world.daemon.start()
        world.mta.start()
        world.deliver(data("stamp it", "one"), sender="Ann@x.test")
        replies, queue_id = world.send(data("hold me", "two"))
        self.assertEqual(last_code(replies), 250)
        world.send(data("copy that", "three"), recipients=("b@y.test", "c@y.test"))
        self.assertEqual(last_code(world.send(data("refuse this", "four"))[0]), 550)
        log = world.daemon.log

        stamped = self.wait_line("message-done", "--message-id", "<one@x.test>")
        self.assertEqual((stamped["filters"], stamped["verdict"], stamped["subject"], stamped["from"]), (["stamp"], "accept", "stamp it", "Ann@x.test"))
        fired = [line["text"] for line in stamped["lines"] if line["event"] == "filter-match"]
        self.assertRegex(fired[0], r"filter 'stamp' matched: insert-header X-Stamp.*10-test\.yaml:\d+\)$")
        held = self.wait_line("message-quarantined", "--queue-id", queue_id)
        self.assertEqual((held["filters"], held["verdict"]), (["hold"], "quarantine"))
        self.assertTrue(any("log-entry held: hold me" in line["text"] for line in held["lines"]))
        refused = self.wait_line("message-refused", "--verdict", "reject")
        self.assertEqual((refused["filters"], refused["reply"][:3]), (["refuse"], "550"))

        # The same by every key, in the store and in the log.
        keys = [(["--from", "Ann@x.test"], [stamped]), (["--from", "ann@x.test", "-i"], None), (["--from", "An", "--subject", "stamp"], [stamped]),
                (["--subject", "old m"], [held]), (["--subject", "OLD M", "-i"], [held]), (["--subject", "OLD M"], []), (["--message-id", "<two@x.test>"], [held]),
                (["--mid", str(held["mid"])], [held]), (["--queue-id", queue_id], [held]), (["--filter", "hold"], [held]), (["--verdict", "reject"], [refused]),
                (["--filter", "stamp", "--since", "1h"], [stamped]), (["--filter", "stamp", "--until", "2020-01-01 00:00"], []), (["--to", "nobody@y.test"], [])]
        for where in ([], ["--log", log]):
            for arguments, expected in keys:
                found = [message["mid"] for message in self.found(*arguments, *where)]
                if expected is None:
                    self.assertIn(stamped["mid"], found)
                else:
                    self.assertEqual(found, [message["mid"] for message in expected], (arguments, where))
        text = self.find("--mid", str(held["mid"]), status=0).stdout.decode()
        self.assertRegex(text, r"(?m)^\w{3} \w{3} .\d \d\d:\d\d:\d\d \d{4} Info: New SMTP ICID \d+ interface .* address 127\.0\.0\.1 ")
        self.assertRegex(text, rf"(?m) Info: MID {held['mid']} filter 'hold' matched: ")
        self.find("--mid", "1", status=1)
        self.find("--since", "soon", status=64)
        with open(log, "rb") as file:
            done = subprocess.run([os.path.join(BIN, "postern"), "findevent", "--log", "-", "--mid", str(held["mid"])], stdin=file, stdout=subprocess.PIPE, check=True,
                                  env=dict(os.environ, **SANITIZER_OPTIONS))
        self.assertIn(b"quarantined by", done.stdout)

        # The copy: under the message, and as a mail of its own.
        copied = self.wait_line("mail-submitted", "--message-id", "<three@x.test>")
        generated = next(line["text"] for line in copied["lines"] if line["event"] == "mail-generated")
        self.assertRegex(generated, rf"^MID \d+ generated based on MID {copied['mid']} by bcc filter 'copy' to <copy@y.test>")
        own = self.wait_line("mail-returned", "--mid", generated.split()[1])
        self.assertEqual((own["verdict"], own["to"]), ("submitted", ["copy@y.test"]))

        # What an administrator does, and what comes of it.
        listed = json.loads(world.daemon.command("quarantine", "list", "--json", "-c", world.daemon.config_file).stdout)
        world.daemon.command("quarantine", "release", str(listed[0]["id"]), "-c", world.daemon.config_file)
        released = self.wait_line("mail-submitted", "--mid", str(held["mid"]))
        self.assertTrue(any('released from quarantine "Policy" (by ' in line["text"] for line in released["lines"]))
        self.assertEqual(released["verdict"], "quarantine")
        world.daemon.stop()
        self.assertEqual(len(self.found("--mid", str(held["mid"]))), 1, "the daemon is not needed")

    def test_follow(self):
        world = self.world
        world.daemon.start()
        world.mta.start()
        world.deliver(data("stamp", "earlier"))
        self.wait_line("message-done", "--message-id", "<earlier@x.test>")
        for number, where in enumerate(([], ["--log", world.daemon.log])):
            path = os.path.join(world.daemon.directory, f"followed{number}")
            with open(path, "wb") as output:
                process = subprocess.Popen([os.path.join(BIN, "postern"), "findevent", "-c", world.daemon.config_file, "--follow", "--filter", "stamp", *where],
                                           stdout=output, env=dict(os.environ, **SANITIZER_OPTIONS))
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)

            def reads(text, file=path):
                with open(file, encoding="utf-8") as output:
                    return text in output.read()
            wait_until(lambda: reads("<earlier@x.test>"), "what was there before")
            world.deliver(data("stamp", f"m{number}"))
            world.deliver(data("plain", f"n{number}"))
            wait_until(lambda: reads(f"<m{number}@x.test>"), "the lines of the message")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 0)
            self.assertTrue(reads("filter 'stamp' matched"))
            self.assertFalse(reads(f"<n{number}@x.test>"))
        world.daemon.stop()

    def test_without_a_store(self):
        del self.world.daemon.base["store"], self.world.daemon.base["tracking"]
        self.world.daemon.base.pop("reinject")
        self.world.daemon.write(None, "filters: []\n")
        self.find("--mid", "1", status=78)
        self.find("--mid", "1", "--log", "/nonexistent", status=69)
        self.find("--verdict", "nonsense", status=64)


if __name__ == "__main__":
    unittest.main(verbosity=2)
