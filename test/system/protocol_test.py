#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile and odd peers on posternd's milter socket, without a mail server: broken packets, wrong orders, other protocols, a random walk,
a second instance, a stale socket. posternd must neither crash nor accept what it did not judge, and must go on serving others."""
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import milter  # noqa: E402
from support.daemon import BIN, SANITIZER_OPTIONS  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.world import scratch  # noqa: E402

RULES = """
filters:
  - {name: early, phase: rcpt, if: 'rcpt-to == "^nobody@"', then: [{reject: "no such user"}]}
  - {name: bad, if: 'subject == "bad"', then: [{reject: "bad subject"}]}
  - {name: text, if: 'body-contains("footer please")', then: [{add-footer: "Footer"}]}
  - {name: mark, if: 'true', then: [{insert-header: {name: X-Hit, value: "1"}}]}
"""
HEAD = [("From", " a@example.org"), ("Subject", " good")]


class Protocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = scratch()
        cls.daemon = Posternd(cls.directory, os.path.join(cls.directory, "milter.sock"), rules=RULES,
                              config={"limits": {"message-size": "4M"}})
        cls.daemon.start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.stop()
        finally:
            cls.daemon.discard()

    def tearDown(self):
        self.healthy()

    def healthy(self):
        """The daemon lives and judges a message as it should."""
        self.assertTrue(self.daemon.process.alive(), self.daemon.log_text()[-4000:])
        with milter.Mta(self.daemon.socket) as mta:
            mta.connect()
            mta.helo()
            step, result = mta.message(HEAD, b"Hello\r\n")
            self.assertEqual((step, result.letter), ("message", milter.CONTINUE) if result.letter == milter.CONTINUE else
                             ("message", milter.ACCEPT))
            added = [data for letter, data in result.edits if letter in (milter.ADD_HEADER, milter.INSERT_HEADER)]
            self.assertEqual(len(added), 1, result.edits)
            self.assertIn(b"X-Hit\0", added[0])
            step, result = mta.message([("Subject", " bad")], b"x\r\n")
            self.assertEqual((step, result.reply), ("message", "550 5.7.1 bad subject"))

    def closed(self, *chunks, negotiate=False):
        """Sends the chunks; the daemon must close the connection, or at least not crash, and say nothing that accepts."""
        mta = milter.Mta(self.daemon.socket, negotiate=negotiate, timeout=60)
        answers = []
        with mta:
            try:
                for chunk in chunks:
                    mta.send_raw(chunk)
                mta.connection.shutdown(socket.SHUT_WR)
                while True:
                    answers.append(milter.read_packet(mta.connection))
            except (milter.Closed, OSError):
                pass
        self.assertFalse([answer for answer in answers if answer[0] in (milter.ACCEPT,)], answers)
        return answers

    def test_broken_packets(self):
        full = struct.pack("!III", 6, milter.ALL_ACTIONS, milter.ALL_STEPS)
        for name, chunks in {
            "length 0": [b"\0\0\0\0"],
            "length 2^32-1": [b"\xff\xff\xff\xffO", b"x" * 1000],
            "length 2^31": [b"\x80\0\0\0O"],
            "a large length and nothing": [struct.pack("!I", 1 << 25) + b"O"],
            "half a length": [b"\0\0"],
            "nothing": [],
            "options too short": [milter.packet(milter.OPTIONS, b"\0\0\0\6")],
            "options of version 0": [milter.packet(milter.OPTIONS, struct.pack("!III", 0, 0, 0))],
            "options of version 1": [milter.packet(milter.OPTIONS, struct.pack("!III", 1, 1, 1))],
            "options of version 2^32-1": [milter.packet(milter.OPTIONS, struct.pack("!III", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))],
            "another protocol": [b"GET / HTTP/1.0\r\n\r\n"],
            "SMTP": [b"EHLO client.test\r\n"],
            "unknown command": [milter.packet(milter.OPTIONS, full), milter.packet(b"z", b"data")],
            "reply letters": [milter.packet(milter.OPTIONS, full), milter.packet(b"a"), milter.packet(b"y", b"250 ok\0")],
            "length 0 later": [milter.packet(milter.OPTIONS, full), b"\0\0\0\0"],
            "too long later": [milter.packet(milter.OPTIONS, full), b"\xff\xff\xff\xffC"],
        }.items():
            with self.subTest(name):
                self.closed(*chunks)
                self.healthy()

    def test_long_field(self):
        """Postfix passes fields of header_size_limit, 102400 octets by default."""
        with milter.Mta(self.daemon.socket) as mta:
            mta.connect()
            mta.helo()
            step, result = mta.message([("To", " a@example.com," * 6700), *HEAD], b"x\r\n")
            self.assertEqual((step, result.reply), ("message", "250 2.0.0"))

    def test_malformed_steps(self):
        """Steps whose data is not what it should be."""
        for name, packets in {
            "connect without anything": [(milter.CONNECT, b"")],
            "connect without end": [(milter.CONNECT, b"client.test")],
            "connect without family": [(milter.CONNECT, b"client.test\0")],
            "connect of an unknown family": [(milter.CONNECT, b"client.test\0Z\0\0addr\0")],
            "connect without port": [(milter.CONNECT, b"client.test\x004")],
            "connect with a bad address": [(milter.CONNECT, b"client.test\x004\x10\0not an address\0")],
            "connect with a bad IPv6 address": [(milter.CONNECT, b"client.test\x006\x10\0IPv6:zzz\0")],
            "connect with a long path": [(milter.CONNECT, b"client.test\0L\0\0" + b"p" * 60000 + b"\0")],
            "HELO without end": [(milter.HELO, b"no end")],
            "HELO empty": [(milter.HELO, b"")],
            "MAIL empty": [(milter.MAIL, b"")],
            "MAIL without end": [(milter.MAIL, b"<a@x.test>")],
            "MAIL with 1000 parameters": [(milter.MAIL, b"<a@x.test>\0" + b"X=1\0" * 1000)],
            "RCPT before MAIL": [(milter.RCPT, b"<b@y.test>\0")],
            "DATA before MAIL": [(milter.DATA, b"")],
            "header before MAIL": [(milter.HEADER, b"Subject\0 x\0")],
            "body before MAIL": [(milter.BODY, b"x")],
            "end before MAIL": [(milter.END, b"")],
            "end after MAIL": [(milter.MAIL, b"<a@x.test>\0"), (milter.END, b"")],
            "header without value": [(milter.MAIL, b"<a@x.test>\0"), (milter.RCPT, b"<b@y.test>\0"), (milter.HEADER, b"Subject\0")],
            "header without end": [(milter.MAIL, b"<a@x.test>\0"), (milter.RCPT, b"<b@y.test>\0"), (milter.HEADER, b"Subject")],
            "header empty": [(milter.MAIL, b"<a@x.test>\0"), (milter.RCPT, b"<b@y.test>\0"), (milter.HEADER, b"")],
            "macros without letter": [(milter.MACRO, b"")],
            "macros of odd number": [(milter.MACRO, b"Ci\0")],
            "macros without end": [(milter.MACRO, b"Ci\0value")],
            "macros of an unknown step": [(milter.MACRO, b"zi\0value\0")],
            "many macros": [(milter.MACRO, b"M" + b"{x}\0y\0" * 5000)] * 3,
            "two connects": [(milter.CONNECT, b"client.test\x004\x10\x00127.0.0.1\0")] * 2,
            "options again": [(milter.OPTIONS, struct.pack("!III", 6, milter.ALL_ACTIONS, milter.ALL_STEPS))],
            "abort and abort": [(milter.ABORT, b""), (milter.ABORT, b"")],
            "quit and go on": [(milter.QUIT, b""), (milter.MAIL, b"<a@x.test>\0")],
            "new connection": [(milter.QUIT_NEW, b""), (milter.CONNECT, b"client.test\x004\x10\x00127.0.0.1\0")],
        }.items():
            with self.subTest(name):
                answers = self.closed(*[milter.packet(letter, data) for letter, data in packets], negotiate=True)
                self.assertFalse([answer for answer in answers if answer[0] == milter.ADD_HEADER and b"X-Hit" not in answer[1]])
        self.healthy()

    def test_unpaired_macros(self):
        """A macro packet whose last name has no value, of every length: libmilter's look-up would run past its end."""
        for names in range(1, 80, 2):
            mta = milter.Mta(self.daemon.socket, timeout=60)
            with mta:
                macros = milter.packet(milter.MACRO, milter.MAIL + b"x\0" * names)
                mail = milter.packet(milter.MAIL, b"<a@x.test>\0")
                try:
                    # Also in pieces, as a slow peer sends them.
                    if names % 3 == 0:
                        for piece in (macros[:3], macros[3:7], macros[7:]):
                            mta.send_raw(piece)
                    else:
                        mta.send_raw(macros)
                    mta.send_raw(mail)
                    milter.read_packet(mta.connection)
                except (milter.Closed, OSError):
                    pass
            self.assertTrue(self.daemon.process.alive(), self.daemon.log_text()[-4000:])
        # Pairs are read as before.
        with milter.Mta(self.daemon.socket) as mta:
            mta.connect()
            self.assertTrue(mta.mail(macros={"i": "QUEUEID4711", "{auth_authen}": "ann"}).goes_on)
            mta.rcpt()
            mta.header("Subject", " good")
            mta.end()
        self.daemon.wait_log("queue-id=QUEUEID4711")

    def test_every_offer(self):
        """Whatever an MTA offers: what is negotiated is part of the offer, and what was not offered is not done."""
        generator = random.Random(20260101)
        for round_number in range(60):
            actions = generator.randrange(milter.ALL_ACTIONS + 1)
            steps = generator.randrange(milter.ALL_STEPS + 1)
            if round_number == 0:
                actions = steps = 0
            # libmilter takes an empty offer for one of version 1 of the protocol.
            steps_offered, actions_offered = steps or 0x3F, actions or 0x0F
            try:
                mta = milter.Mta(self.daemon.socket, steps, actions, timeout=60)
            except milter.Closed:
                continue
            with mta:
                self.assertEqual(mta.steps & ~steps_offered, 0, hex(steps))
                self.assertEqual(mta.actions & ~actions_offered, 0, hex(actions))
                try:
                    mta.connect()
                    mta.helo()
                    step, result = mta.message(HEAD, b"footer please\r\n")
                except milter.Closed:
                    continue
                if result.letter in (milter.CONTINUE, milter.ACCEPT):
                    done = {letter for letter, _ in result.edits}
                    self.assertTrue(done & {milter.ADD_HEADER, milter.INSERT_HEADER}, (hex(actions), hex(steps), result))
                    self.assertIn(milter.REPLACE_BODY, done, (hex(actions), hex(steps), result))
                else:
                    self.assertRegex(result.reply, "^4", (hex(actions), hex(steps), step, result))

    def test_random_walk(self):
        """Packets of every kind in any order, with sound and broken data: posternd lives, and a message it never saw is never accepted."""
        generator = random.Random(int(os.environ.get("POSTERN_SEED", "4711")))
        letters = [milter.CONNECT, milter.HELO, milter.MAIL, milter.RCPT, milter.DATA, milter.HEADER, milter.END_OF_HEADER, milter.BODY,
                   milter.END, milter.ABORT, milter.MACRO, milter.QUIT_NEW, milter.UNKNOWN]
        sound = {milter.CONNECT: b"client.test\x004\x10\x00127.0.0.1\0", milter.HELO: b"client.test\0", milter.MAIL: b"<a@x.test>\0",
                 milter.RCPT: b"<b@y.test>\0", milter.HEADER: b"Subject\0 good\0", milter.BODY: b"Hello\r\n",
                 milter.MACRO: b"Mi\0QUEUEID\0", milter.UNKNOWN: b"WHAT\0"}
        for _ in range(int(os.environ.get("POSTERN_WALKS", "600"))):
            packets = []
            for _ in range(generator.randrange(1, 40)):
                letter = generator.choice(letters)
                data = sound.get(letter, b"")
                if generator.random() < 0.15:
                    data = bytes(generator.randrange(256) for _ in range(generator.randrange(60)))
                packets.append(milter.packet(letter, data))
            mta = milter.Mta(self.daemon.socket, generator.randrange(milter.ALL_STEPS + 1) if generator.random() < 0.3 else
                             milter.ALL_STEPS, timeout=60)
            with mta:
                try:
                    mta.send_raw(b"".join(packets))
                    mta.connection.shutdown(socket.SHUT_WR)
                    while True:
                        milter.read_packet(mta.connection)
                except (milter.Closed, OSError):
                    pass
            self.assertTrue(self.daemon.process.alive(), self.daemon.log_text()[-4000:])

    def test_cut_everywhere(self):
        """The connection ends after every octet of a conversation in turn."""
        conversation = b"".join(milter.packet(letter, data) for letter, data in [
            (milter.OPTIONS, struct.pack("!III", 6, milter.ALL_ACTIONS, milter.ALL_STEPS)),
            (milter.MACRO, b"Cj\0mta.test\0"), (milter.CONNECT, b"client.test\x004\x10\x00127.0.0.1\0"), (milter.HELO, b"c\0"),
            (milter.MAIL, b"<a@x.test>\0"), (milter.RCPT, b"<b@y.test>\0"), (milter.DATA, b""), (milter.HEADER, b"Subject\0 x\0"),
            (milter.END_OF_HEADER, b""), (milter.BODY, b"footer please\r\n"), (milter.END, b"")])
        for size in range(len(conversation)):
            connection = milter.connect(self.daemon.socket)
            with connection:
                try:
                    connection.sendall(conversation[:size])
                except OSError:
                    pass
        wait_until(lambda: self.daemon.status()["sessions"] == 0, "all sessions to end")

    def test_many_connections(self):
        """200 idle connections do not keep others out."""
        idle = [milter.Mta(self.daemon.socket) for _ in range(200)]
        self.healthy()
        for mta in idle:
            mta.close()

    def test_second_instance(self):
        """A second posternd on the same sockets ends with a message; the first is not disturbed."""
        second = subprocess.run([os.path.join(BIN, "posternd"), "-c", self.daemon.config_file], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=60, env=dict(os.environ, **SANITIZER_OPTIONS))
        self.assertNotEqual(second.returncode, 0)
        self.assertTrue(second.stdout.strip(), "it says nothing")
        self.healthy()

    def test_stale_socket(self):
        """The socket a killed posternd left behind does not keep the next one from starting; another program's file does."""
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), rules=RULES)
        self.addCleanup(daemon.discard)
        daemon.start()
        daemon.kill()
        self.assertTrue(os.path.exists(daemon.socket))
        daemon.start()
        self.assertEqual(os.stat(daemon.socket).st_mode & 0o777, 0o660)
        daemon.stop()
        with open(daemon.socket, "w") as file:
            file.write("not a socket")
        run = subprocess.run([os.path.join(BIN, "posternd"), "-c", daemon.config_file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=60, env=dict(os.environ, **SANITIZER_OPTIONS))
        self.assertNotEqual(run.returncode, 0)
        with open(daemon.socket) as file:
            self.assertEqual(file.read(), "not a socket")

    def test_bad_configuration(self):
        """posternd refuses to start on a bad file, with status 78 and the place of the fault."""
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), rules="filters: [{name: a, if: 'subjekt == \"x\"', then: [drop]}]")
        run = subprocess.run([os.path.join(BIN, "posternd"), "-c", daemon.config_file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=60, env=dict(os.environ, **SANITIZER_OPTIONS))
        self.assertEqual(run.returncode, 78, run.stdout.decode())
        self.assertRegex(run.stdout.decode(), r"10-test\.yaml:1:\d+: .*subjekt")

    def test_signals(self):
        """SIGUSR1, SIGPIPE and their like do not end the daemon by surprise; SIGHUP reloads."""
        self.daemon.process.send_signal(signal.SIGPIPE)
        self.daemon.reload()

    def test_miltertest_scripts(self):
        """The scripts of test/system/miltertest, an implementation of the protocol that is not ours."""
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "miltertest")
        scripts = sorted(name for name in os.listdir(folder) if name.endswith(".lua"))
        self.assertGreaterEqual(len(scripts), 5)
        for name in scripts:
            with self.subTest(name):
                run = subprocess.run(["miltertest", "-D", "socket=unix:" + self.daemon.socket, "-s", os.path.join(folder, name)],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
                self.assertEqual(run.returncode, 0, run.stdout.decode())


if __name__ == "__main__":
    unittest.main(verbosity=2)
