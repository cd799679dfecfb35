#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posternd at saturation for POSTERN_SATURATION_SECONDS (half an hour by default): POSTERN_SATURATION_SENDERS connections (20) send messages of 25 MB
each with a document or archive, no two alike, faster than they can be scanned, under a bound of memory that an administrator would set. Each is
accepted after it was scanned, refused for what is in it, or deferred; memory does not grow; commands answer; afterwards all is as before.

The senders speak the milter protocol themselves: Postfix writes each message to its queue and synchronises it before it asks, and takes more time
for that than posternd for the rest, so that little would be in flight. Some messages go through a real Postfix to their recipient all the same."""
import base64
import collections
import contextlib
import functools
import io
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
import traceback
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import documents, milter  # noqa: E402
from support.daemon import BIN  # noqa: E402
from support.posternd import sanitized  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.world import World, last_code  # noqa: E402

SECONDS = float(os.environ.get("POSTERN_SATURATION_SECONDS", "1800"))
SENDERS = int(os.environ.get("POSTERN_SATURATION_SENDERS", "20"))
SIZE = int(os.environ.get("POSTERN_SATURATION_SIZE", "25000000"))  # of a message
DOCUMENTS = int(os.environ.get("POSTERN_SATURATION_DOCUMENTS", "20"))
QUICK = SECONDS < 300  # beside other tests, and too short for a slope
MEBIBYTE = 1 << 20
# What an administrator gives: room for the attachments of half the senders, a few workers, what posternd needs itself, a stack for each thread.
MEMORY = max(2, SENDERS * SIZE // 2 // MEBIBYTE) * MEBIBYTE
WORKERS, WORKER_MEMORY, ARENA, OWN, STACK = 6, 512 * MEBIBYTE, 4 * MEBIBYTE, 96 * MEBIBYTE, 8 * MEBIBYTE
LIMIT = MEMORY + OWN + WORKERS * ARENA + (SENDERS + 40) * STACK
GROWTH = (48 if QUICK else 16) * MEBIBYTE  # that is none: caches, and what the C library keeps; after a short run by chance more
FOUND, SECRET = "Wanderfalke", "Geheimsache"
RULES = [
    {"name": "secret", "if": f'attachment-contains("{SECRET}")', "then": [{"reject": {"code": 550, "text": "not this"}}], "on-unknown": "tempfail"},
    {"name": "scanned", "if": f'attachment-contains("{FOUND}")', "then": [{"insert-header": {"name": "X-Scanned", "value": "yes"}}], "on-unknown": "tempfail"},
    {"name": "held", "if": 'subject == "held"', "then": [{"quarantine": "Policy"}]},
]
# The first one asks nobody: what the machine takes to start a program.
COMMANDS = (["--version"], ["status", "--json"], ["quarantine", "list"], ["trace", "MESSAGE"], ["findevent", "--limit", "5"], ["status"], ["quarantine", "stats"], ["check"])


def lines(content):
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


class Document:
    """An attachment, encoded but for its last lines, which are made anew for each message: the comment that an archive and a PDF may end with."""

    def __init__(self, number):
        chance = random.Random(number)
        self.kind = ("docx", "pdf", "zip", "xlsx")[number % 4]
        self.verdict = ("accept", "accept", "reject", "accept", "held")[number % 5]
        wanted = SIZE * 57 // 78 - 100_000
        content = self.make(chance, wanted)
        mark = b"#" * 64
        if self.kind == "pdf":
            content += b"%" + mark
        else:  # the end of a zip's directory says how long its comment is
            content = content[:-2] + len(mark).to_bytes(2, "little") + mark
        cut = (len(content) - len(mark)) // 57 * 57
        self.head = lines(content[:cut])
        self.tail = content[cut:-len(mark)]

    def make(self, chance, wanted):
        """A few megabytes of text with the word that is looked for at its end, the rest pictures."""
        source, letters = documents.paragraphs(chance), SIZE // 12 if self.kind != "pdf" else SIZE // 40
        texts = []
        while letters > 0:
            texts.append(next(source))
            letters -= sum(len(word) + 1 for word in texts[-1])
        texts.append([FOUND, SECRET] if self.verdict == "reject" else [FOUND])
        out, rest = io.BytesIO(), max(1000, wanted - SIZE // 20)
        if self.kind == "zip":
            inner = io.BytesIO()
            documents.docx(inner, texts[len(texts) // 2:])
            listed = "\n".join(" ".join(words) for words in texts[:len(texts) // 2]).encode()
            documents.archive(out, [("list.txt", listed), ("plan.docx", inner.getvalue()), ("picture.jpg", b"\xff\xd8\xff\xe0" + chance.randbytes(rest))], depth=3)
        else:
            names = {"docx": "word/media/image", "xlsx": "xl/media/image", "pdf": ""}[self.kind]
            pictures = [(f"{names}{n}.png", b"\x89PNG\r\n\x1a\n" + chance.randbytes(rest // 4)) for n in range(4)]
            getattr(documents, self.kind)(out, texts, pictures)
        return out.getvalue()

    def subject(self):
        return "held" if self.verdict == "held" else "document"

    def fields(self, number):
        """Its header fields as a milter hears of them."""
        return [("From", " Ann <ann@x.test>"), ("To", " b@y.test"), ("Subject", " " + self.subject()), ("Message-ID", f" <{number}@x.test>"),
                ("Date", " Thu, 01 Jan 2026 00:00:00 +0000"), ("MIME-Version", " 1.0"), ("Content-Type", ' multipart/mixed; boundary="=_b"')]

    def pieces(self, number):
        """The body of message `number`, in pieces."""
        yield (f"--=_b\r\nContent-Type: text/plain\r\n\r\nDocument {number}.\r\n--=_b\r\nContent-Type: {documents.TYPES[self.kind]}\r\n"
               f'Content-Disposition: attachment; filename="{number}.{self.kind}"\r\nContent-Transfer-Encoding: base64\r\n\r\n').encode()
        yield self.head
        yield lines(self.tail + b"%064d" % number) + b"\r\n--=_b--\r\n"


def answer_of(result):
    """In a word, what a milter's last answer means for the message."""
    if result.reply.startswith("4"):
        return "defer " + result.reply[:9]
    if result.reply.startswith("5"):
        return "reject"
    if result.letter == milter.DISCARD:
        return "held"
    scanned = any(letter == milter.INSERT_HEADER and data[4:].split(b"\0")[0] == b"X-Scanned" for letter, data in result.edits)
    return "accept" if scanned else "accept unscanned"


def children_of(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(child) for child in file.read().split()]
    return found


def memory_of(pid):
    """Octets that a process has for itself, and its share of what it has with others; without mapped files, which the kernel drops when it likes."""
    total = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def slope(samples):
    """Growth by the hour of [(seconds, value)], and its standard error, by the means of half minutes: samples by the second are not independent."""
    means = collections.defaultdict(list)
    for at, value in samples:
        means[int(at // 30)].append((at, value))
    points = [tuple(statistics.mean(column) for column in zip(*each)) for each in means.values()]
    line = statistics.linear_regression(*zip(*points))
    middle = statistics.mean(at for at, _ in points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    rest = sum((value - line.intercept - line.slope * at) ** 2 for at, value in points)
    return line.slope * 3600, (rest / (len(points) - 2) / spread) ** 0.5 * 3600


class Saturation(unittest.TestCase):
    def setUp(self):
        self.world = world = World(start=False)
        self.addCleanup(world.close)
        self.daemon = daemon = world.daemon
        state = os.path.join(daemon.directory, "state")
        os.makedirs(state)
        daemon.base.update({
            "state-directory": state, "store": "sqlite:" + os.path.join(state, "postern.db"),
            "quarantines": {"Policy": {"size": "200M", "default-action": "delete"}}, "log": {"to": "stderr", "level": "info"},
            "limits": {"memory": f"{MEMORY // MEBIBYTE}M"}, "scan": {"max-workers": WORKERS, "memory": f"{WORKER_MEMORY // MEBIBYTE}M"}})
        daemon.write(None, RULES)
        daemon.start(prefix=() if sanitized() else ["prlimit", f"--data={LIMIT}"])
        world.mta.start()
        self.small = os.path.join(daemon.directory, "small.eml")
        with open(self.small, "w") as file:
            file.write("From: a@x.test\r\nTo: b@y.test\r\nSubject: small\r\n\r\nhello\r\n")
        self.documents = [Document(number) for number in range(DOCUMENTS)]
        self.stop, self.numbers = threading.Event(), itertools.count()
        self.addCleanup(self.stop.set)
        self.answers, self.through, self.wrong, self.problems = collections.Counter(), collections.Counter(), [], []
        self.samples, self.times = [], collections.defaultdict(list)

    def repeat(self, work):
        """Does `work` again and again in a thread until the end."""
        def run():
            try:
                while not self.stop.is_set():
                    work()
            except Exception:  # noqa: BLE001
                self.problems.append(traceback.format_exc())
                self.stop.set()
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def next_document(self):
        number = next(self.numbers)
        return number, self.documents[number % len(self.documents)]

    def send(self):
        """A message by the milter protocol; returns the answer in a word."""
        number, document = self.next_document()
        with milter.Mta(self.daemon.socket, timeout=400) as mta:
            steps = [mta.connect, mta.helo, mta.mail, mta.rcpt, mta.data, *(functools.partial(mta.header, *field) for field in document.fields(number)),
                     mta.end_of_header, *(functools.partial(mta.body, piece) for piece in document.pieces(number)), mta.end]
            for step in steps:
                result = step()
                if not result.goes_on:
                    break
        answer = answer_of(result)
        self.answers[answer] += 1
        if answer != document.verdict and not answer.startswith("defer"):
            self.wrong.append((document.kind, document.verdict, answer))
        return answer

    def keep_sending(self):
        if self.send().startswith("defer"):
            self.stop.wait(1)  # who is deferred comes again later

    def send_through_postfix(self):
        number, document = self.next_document()
        head = "".join(f"{name}:{value}\r\n" for name, value in document.fields(number)).encode()
        replies, queue_id = self.world.send(itertools.chain([head + b"\r\n"], document.pieces(number)))
        code = last_code(replies) // 100
        answer = {2: document.verdict, 4: "defer", 5: "reject"}[code]
        if answer == "accept":
            self.world.mta.wait_settled(queue_id, 400)
            (delivery,) = self.world.sink.with_queue_id(queue_id)
            self.assertEqual(delivery.values("X-Scanned"), [" yes"])
            self.assertEqual(delivery.body, b"".join(document.pieces(number)))
            self.world.sink.deliveries.remove(delivery)
        self.assertTrue(answer in ("defer", document.verdict) and (code, answer) != (2, "reject"), (document.verdict, code))
        self.through[answer] += 1
        self.stop.wait(0.1 if QUICK else 15)

    def watch(self):
        self.samples.append((time.monotonic(), memory_of(self.daemon.pid), sum(memory_of(pid) for pid in children_of(self.daemon.pid))))
        self.stop.wait(0.2 if QUICK else 1)

    def ask(self):
        """Commands as an administrator would type them."""
        for words in COMMANDS:
            command = [os.path.join(BIN, "postern"), *(self.small if word == "MESSAGE" else word for word in words)]
            begin = time.monotonic()
            done = subprocess.run(command if words == ["--version"] else [*command, "-c", self.daemon.config_file], capture_output=True, timeout=60, check=False)
            self.times[" ".join(words)].append(time.monotonic() - begin)
            self.assertEqual(done.returncode, 0, (words, done.stderr[-2000:]))
            self.stop.wait(0.05 if QUICK else 0.5)

    def wait_idle(self):
        def idle():
            status = self.daemon.status()
            # Workers beyond the usual number, and what they share with the daemon, go after a while.
            return status["in_flight"] == 0 and status["memory"]["used"] == 0 and status["scan"]["idle"] <= os.cpu_count() + 1
        wait_until(idle, "messages in flight to end")
        return memory_of(self.daemon.pid)

    def test_saturation(self):
        for _ in range(min(5, DOCUMENTS)):
            self.assertFalse(self.send().startswith("defer"))
        before = self.wait_idle()
        begin = time.monotonic()
        threads = [self.repeat(self.keep_sending) for _ in range(SENDERS)] + [self.repeat(work) for work in (self.watch, self.ask, self.send_through_postfix)]
        self.stop.wait(SECONDS)
        # Where that is short, until each thing has happened once.
        wait_until(lambda: self.stop.is_set() or (self.through["accept"] and self.times["check"] and self.daemon.status()["over_memory"]),
                   lambda: f"all that should happen: {self.answers}, {self.through}")
        self.stop.set()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begin
        after = self.wait_idle()
        for _ in range(min(5, DOCUMENTS)):  # the next ones are judged at once
            self.assertFalse(self.send().startswith("defer"))
        status = self.daemon.status()
        self.report(begin, took, before, after, status)
        self.assertEqual(self.problems, [])
        self.assertEqual(self.wrong, [])
        self.assertTrue(self.daemon.process.alive())
        self.assertEqual(status["failed"], 0)
        self.assertEqual((status["scan"]["crashes"], status["scan"]["trouble"]), (0, ""))
        self.assertEqual([status["scan"]["unscannable"][reason] for reason in ("crash", "memory")], [0, 0])
        if sanitized():
            return
        self.assertLessEqual(max(own for _, own, _ in self.samples), MEMORY + OWN)
        if QUICK:
            return self.assertLessEqual(after, before + GROWTH)
        for name, which in (("posternd", lambda own, others: own), ("together", lambda own, others: own + others)):
            grown, error = slope([(at - begin, which(own, others)) for at, own, others in self.samples if at - begin > took / 10])
            print(f"{name} grows by {grown / MEBIBYTE:.1f} MiB/h, standard error {error / MEBIBYTE:.1f}")
            self.assertLessEqual(grown, 2 * error + GROWTH, name)
        self.assertLessEqual(after, before + GROWTH)
        start = max(self.times.pop("--version"))
        self.assertLess(max(max(times) for times in self.times.values()), 1 + start)

    def report(self, begin, took, before, after, status):
        own, others = [[sample[column] / MEBIBYTE for sample in self.samples] for column in (1, 2)]
        print(f"\n{took:.0f} s, {SENDERS} senders, messages of {SIZE / 1e6:.0f} MB; limits.memory {MEMORY // MEBIBYTE} MiB, RLIMIT_DATA {LIMIT // MEBIBYTE} MiB\n"
              f"{sum(self.answers.values())} messages: {dict(self.answers)}; through Postfix {dict(self.through)}\n"
              f"memory: posternd {before / MEBIBYTE:.0f} MiB before, {statistics.mean(own):.0f} in the mean, {max(own):.0f} at most, {after / MEBIBYTE:.0f} after; "
              f"workers {statistics.mean(others):.0f} in the mean, {max(others):.0f} at most; together {max(map(sum, zip(own, others))):.0f} at most")
        for name, times in self.times.items():
            print(f"postern {name}: {len(times)} times, {statistics.median(times):.3f} s in the median, {max(times):.3f} s at most")
        print(json.dumps({key: status[key] for key in ("memory", "over_memory", "failed", "scan")}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
