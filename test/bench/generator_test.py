#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""generator_test.py MILTERLOAD NOOP: the load generator and the no-op filter work together at every negotiation the
runner uses, the generator sends the same bytes each time and what the filter declined it does not send, and a filter
that breaks the protocol makes it fail with the reason. Nothing here is timed."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

MILTERLOAD, NOOP = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
DEADLINE = 60

NO_BODY, NO_HEADERS, NO_DATA, SKIP = 0x10, 0x20, 0x200, 0x400
SILENT_ALL = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x40000 | 0x80000
SILENT_CONTENT = 0x80 | 0x40000 | 0x80000
LEADING_SPACE = 0x100000
ACTIONS = 0x1FF


def load(address, *options):
    return subprocess.run([MILTERLOAD, "--socket", address, "--timeout", "5", *options], capture_output=True, text=True,
                          timeout=DEADLINE)


class Filter:
    """One thread that speaks the filter's side of the protocol; `script` maps a command letter (or the number of the
    answer) to the raw bytes to answer with."""

    def __init__(self, directory, script=None, actions=0, steps=0, symbols=b"", negotiation=None):
        self.path = os.path.join(directory, "filter.sock")
        self.script, self.seen = script or {}, []
        body = struct.pack("!III", 6, actions, steps) + symbols
        self.negotiation = negotiation if negotiation is not None else packet(b"O", body)
        self.steps = steps
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)

    @property
    def address(self):
        return "unix:" + self.path

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self.session(connection)
                except OSError:
                    pass

    def session(self, connection):
        silent = {b"L": 0x80, b"C": 0x1000, b"H": 0x2000, b"M": 0x4000, b"R": 0x8000, b"T": 0x10000, b"N": 0x40000,
                  b"B": 0x80000}
        stream = connection.makefile("rb")
        while True:
            head = stream.read(4)
            if len(head) < 4:
                return
            data = stream.read(struct.unpack("!I", head)[0])
            letter = data[:1]
            self.seen.append(data)
            if letter == b"Q":
                connection.sendall(self.script.get("Q", b""))
                return
            if letter == b"O":
                connection.sendall(self.negotiation)
            elif letter.decode() in self.script:
                answer = self.script[letter.decode()]
                if answer is None:
                    return
                connection.sendall(answer)
            elif letter not in b"DA" and not self.steps & silent.get(letter, 0):
                connection.sendall(packet(b"c"))


def packet(letter, data=b""):
    return struct.pack("!I", len(data) + 1) + letter + data


DONE = packet(b"c")

# What a filter does wrong (or right, when `problem` is None): script, negotiated actions and steps, the reason given.
CASES = [
    ("plain", {}, 0, 0, None),
    ("changes in order", {"E": packet(b"h", b"X-A\0 b\0") + packet(b"i", b"\0\0\0\0X-B\0 c\n d\0") + packet(b"p") +
                          packet(b"m", b"\0\0\0\1X-C\0\0") + packet(b"b", b"one") + packet(b"b", b"two") +
                          packet(b"+", b"<a@example.org>\0") + packet(b"e", b"<b@example.org>\0") +
                          packet(b"q", b"held\0") + DONE}, ACTIONS, 0, "answered with quarantine"),
    ("reply", {"E": packet(b"y", b"451-4.3.0 100%% sure\r\n451 4.3.0 later\0")}, 0, 0, "answered with tempfail"),
    ("skip", {"B": packet(b"s")}, 0, SKIP, None),
    ("length nought", {"M": struct.pack("!I", 0)}, 0, 0, "packet length 0"),
    ("length of a web server", {"C": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, 0, 0, "packet length"),
    ("unknown answer", {"R": packet(b"Z")}, 0, 0, "unknown answer 'Z'"),
    ("data after continue", {"H": packet(b"c", b"x")}, 0, 0, "data after the answer"),
    ("two answers", {"M": DONE + DONE}, 0, 0, "nothing asked for"),
    ("answer to a silent step", {"L": DONE}, 0, SILENT_CONTENT, "nothing asked for"),
    ("answer after the end", {"E": DONE + DONE}, 0, 0, "nothing asked for"),
    ("answer to quit", {"Q": DONE}, 0, 0, "nothing asked for"),
    ("change too early", {"N": packet(b"h", b"X-A\0b\0") + DONE}, ACTIONS, 0, "before end of message"),
    ("progress too early", {"M": packet(b"p") + DONE}, 0, 0, "progress before"),
    ("change not agreed upon", {"E": packet(b"h", b"X-A\0b\0") + DONE}, 0x10, 0, "not agreed upon"),
    ("body not agreed upon", {"E": packet(b"b", b"x") + DONE}, 0x1, 0, "not agreed upon"),
    ("body chunks apart", {"E": packet(b"b", b"x") + packet(b"h", b"X-A\0b\0") + packet(b"b", b"y") + DONE}, ACTIONS, 0,
     "another change between"),
    ("CR in a header", {"E": packet(b"h", b"X-A\0a\r\n b\0") + DONE}, ACTIONS, 0, "holds a CR"),
    ("second header smuggled in", {"E": packet(b"h", b"X-A\0a\nX-B: c\0") + DONE}, ACTIONS, 0, "not a fold"),
    ("header name with a colon", {"E": packet(b"h", b"X:A\0a\0") + DONE}, ACTIONS, 0, "header name"),
    ("long header line", {"E": packet(b"h", b"X-A\0" + b"a" * 999 + b"\0") + DONE}, ACTIONS, 0, "998"),
    ("header without NUL", {"E": packet(b"h", b"X-A\0a") + DONE}, ACTIONS, 0, "number of strings"),
    ("change without index", {"E": packet(b"m", b"\0\0") + DONE}, ACTIONS, 0, "no index"),
    ("empty recipient", {"E": packet(b"+", b"\0") + DONE}, ACTIONS, 0, "empty"),
    ("quarantine reason with a line end", {"E": packet(b"q", b"a\nb\0") + DONE}, ACTIONS, 0, "line end"),
    ("reply code 250", {"R": packet(b"y", b"250 ok\0")}, 0, 0, "class 4 or 5"),
    ("reply with a single %", {"R": packet(b"y", b"550 5.7.1 100% no\0")}, 0, 0, "single '%'"),
    ("reply with a bare LF", {"R": packet(b"y", b"550 5.7.1 no\nway\0")}, 0, 0, "bare CR or LF"),
    ("skip not agreed upon", {"B": packet(b"s")}, 0, 0, "skip where"),
    ("discard before there is a message", {"H": packet(b"d")}, 0, 0, "discard before"),
    ("connection lost", {"E": None}, 0, 0, "closed the connection"),
    ("connection lost in the middle of an answer", {"E": None, "B": b"\0\0"}, 0, 0x80000 | NO_HEADERS,
     "closed the connection"),
    ("no answer", {"R": b""}, 0, 0, "no answer in time to 'R'"),
]

NEGOTIATIONS = [
    ("a negotiation cut short", packet(b"O", b"\0\0\0\6"), "not one"),
    ("version 9", packet(b"O", struct.pack("!III", 9, 0, 0)), "version 9"),
    ("a step nobody offered", packet(b"O", struct.pack("!III", 6, 0, 0x20000000)), "steps that were not offered"),
    ("an action nobody offered", packet(b"O", struct.pack("!III", 6, 0x800, 0)), "actions that were not offered"),
    ("macro lists without leave", packet(b"O", struct.pack("!III", 6, 0, 0) + b"\0\0\0\2i\0"), "macro lists without"),
    ("a macro list of stage 9", packet(b"O", struct.pack("!III", 6, 0x100, 0) + b"\0\0\0\x09i\0"), "malformed macro"),
]


class GeneratorTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="postern-bench-")
        self.addCleanup(self.directory.cleanup)

    def check(self, name, run, problem):
        with self.subTest(name):
            if problem is None:
                self.assertEqual((run.returncode, run.stderr), (0, ""))
            else:
                self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
                self.assertIn(problem, run.stderr)

    def test_violations(self):
        for name, script, actions, steps, problem in CASES:
            with Filter(tempfile.mkdtemp(dir=self.directory.name), script, actions, steps) as peer:
                timeout = ["--timeout", "3"] if name == "no answer" else []
                self.check(name, load(peer.address, "--messages", "1", *timeout), problem)

    def test_negotiation(self):
        for name, answer, problem in NEGOTIATIONS:
            with Filter(tempfile.mkdtemp(dir=self.directory.name), negotiation=answer) as peer:
                self.check(name, load(peer.address, "--negotiate"), problem)

    def test_nobody_listens(self):
        run = load("unix:" + self.directory.name + "/nobody.sock")
        self.assertEqual(run.returncode, 69)

    def test_expectations(self):
        script = {"E": packet(b"h", b"X-A\0b\0") + DONE}
        with Filter(self.directory.name, script, ACTIONS) as peer:
            self.assertEqual(load(peer.address, "--messages", "3", "--expect-header", "X-A").returncode, 0)
            self.assertEqual(load(peer.address, "--messages", "3", "--expect-header", "X-B").returncode, 1)
            self.assertEqual(load(peer.address, "--messages", "3", "--expect", "reject").returncode, 1)

    def received(self, *options, **negotiated):
        with Filter(tempfile.mkdtemp(dir=self.directory.name), **negotiated) as peer:
            run = load(peer.address, "--messages", "2", *options)
            self.assertEqual(run.returncode, 0, run.stderr)
        return peer.seen

    def test_steps_and_bytes(self):
        plain = self.received("--size", "100000")
        self.assertEqual(plain, self.received("--size", "100000"), "the same options, the same bytes")
        self.assertNotEqual(plain, self.received("--size", "100000", "--seed", "2"))
        letters = lambda seen: "".join(chr(data[0]) for data in seen if data[:1] not in b"D")
        first = letters(plain).partition("Q")[0]
        self.assertRegex(first, r"^OCHMRTL{18,}NB+E$")
        size = sum(len(data) - 1 for data in plain if data[:1] == b"B") + \
            sum(len(data) + 1 for data in plain if data[:1] == b"L") + 4
        self.assertAlmostEqual(size / 2, 100000, delta=200)
        self.assertTrue(all(len(data) <= 65536 for data in plain))
        few = self.received(steps=NO_BODY | NO_HEADERS | NO_DATA)
        self.assertRegex(letters(few), r"^(OCHMRNEQ){2}$")
        session = self.received("--per-session", "2")
        self.assertRegex(letters(session), r"^OCH(MRTL+NB+E)A(MRTL+NB+E)Q$")
        sendmail = self.received("--per-session", "2", "--each-packet")
        self.assertRegex(letters(sendmail), r"^OCH(MRTL+NB+E)(MRTL+NB+E)Q$")

    def test_leading_space_and_plants(self):
        options = ("--plant-header", "X-Planted: yes", "--plant-line", "find this line")
        seen = self.received(*options)
        self.assertIn(b"LX-Planted\0yes\0", seen)
        self.assertTrue(any(b"\r\nfind this line\r\n" in data for data in seen))
        self.assertIn(b"LX-Planted\0 yes\0", self.received(*options, steps=LEADING_SPACE))
        attachment = self.received("--shape", "attachment", "--size", "20000")
        body = b"".join(data[1:] for data in attachment if data[:1] == b"B")
        self.assertEqual(body.count(b'filename="figures.bin"'), 2)

    def test_mails_from_files(self):
        files = []
        for name, end in (("one", "\n"), ("two", "\r\n")):
            files += ["--mail", os.path.join(self.directory.name, name)]
            with open(files[-1], "w", newline="") as file:
                file.write(end.join(["From: a@x.test", "Subject: folded", " " + name, "", "text of " + name, ""]))
        seen = self.received(*files, steps=LEADING_SPACE)
        self.assertEqual([data for data in seen if data[:1] in b"LB"], [
            b"LFrom\0 a@x.test\0", b"LSubject\0 folded\n one\0", b"Btext of one\r\n",
            b"LFrom\0 a@x.test\0", b"LSubject\0 folded\n two\0", b"Btext of two\r\n"])
        self.assertEqual(load("unix:/nonexistent", "--mail", self.directory.name + "/none").returncode, 64)

    def test_macros(self):
        seen = self.received()
        sent = [data for data in seen if data[:1] == b"D"]
        self.assertTrue(any(data.startswith(b"DCj\0mx1.example.net\0") for data in sent))
        self.assertTrue(any(data.startswith(b"DM{mail_") for data in sent))
        asked = self.received(actions=0x100, symbols=b"\0\0\0\0v\0" + b"\0\0\0\5i\0")
        sent = [data for data in asked if data[:1] == b"D"]
        self.assertIn(b"DCv\0Postfix 3.7.11\0", sent)
        self.assertTrue(any(data.startswith(b"DEi\0") for data in sent))

    def test_noop(self):
        """Every negotiation gives the same messages, all accepted, from as many connections as asked for. libmilter
        takes seconds to end on SIGTERM, so all the filters run at once and end at once."""
        filters = []
        for steps in (0, SILENT_CONTENT, SILENT_ALL, SILENT_ALL | LEADING_SPACE, NO_BODY | SILENT_ALL,
                      NO_BODY | NO_HEADERS | 0x40 | SILENT_ALL, SKIP | SILENT_CONTENT):
            address = f"unix:{self.directory.name}/{steps:x}.sock"
            process = subprocess.Popen([NOOP, "--socket", address, "--steps", hex(steps), "--actions", hex(ACTIONS),
                                        "--symbols", "2=i {mail_addr}"])
            self.addCleanup(process.kill)
            filters.append((steps, address, process))
        for steps, address, process in filters:
            with self.subTest(steps=hex(steps)):
                self.wait_for(address, process)
                agreed = json.loads(load(address, "--negotiate").stdout)
                self.assertEqual(int(agreed["steps"], 0), steps)
                self.assertEqual(int(agreed["actions"], 0), ACTIONS)
                self.assertEqual(agreed["symbols"], {"2": "i {mail_addr}"})
                for extra in ([], ["--each-packet"], ["--per-session", "3"]):
                    run = load(address, "--messages", "60", "--connections", "10", "--size", "150000", *extra)
                    self.assertEqual(run.returncode, 0, run.stderr)
                    report = json.loads(run.stdout)
                    self.assertEqual(report["verdicts"], {"accept": 60})
                    self.assertLessEqual(report["p50_us"], report["p99_us"])
                self.hold(address)
        for _, _, process in filters:
            process.send_signal(signal.SIGTERM)
        for _, _, process in filters:
            self.assertEqual(process.wait(DEADLINE), 0)

    def hold(self, address):
        held = subprocess.Popen([MILTERLOAD, "--socket", address, "--connections", "20", "--hold", "helo"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        watchdog = threading.Timer(DEADLINE, held.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        self.assertEqual(held.stdout.readline(), "ready\n")
        held.communicate(timeout=DEADLINE)
        self.assertEqual(held.returncode, 0)

    def wait_for(self, address, process):
        path = address.removeprefix("unix:")
        while True:
            self.assertIsNone(process.poll(), "the filter ended")
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(path)
                return
            except OSError:
                threading.Event().wait(0.02)

    def test_usage(self):
        for arguments in ([], ["--socket", "/tmp/x"], ["--socket", "unix:/x", "--size", "-1"],
                          ["--socket", "unix:/x", "--shape", "square"], ["--socket", "unix:/x", "extra"]):
            run = subprocess.run([MILTERLOAD, *arguments], capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual(run.returncode, 64, arguments)
        self.assertEqual(subprocess.run([NOOP], capture_output=True, timeout=DEADLINE).returncode, 64)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
