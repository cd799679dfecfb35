#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Attachments scanned by posternd's workers, through Postfix: what is in archives and documents counts, the original is kept, what could not be
read is never taken for clean, and workers that die cost no mail."""
import contextlib
import email.message
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.daemon import BIN  # noqa: E402
from support.process import free_port, wait_until  # noqa: E402
from support.world import World  # noqa: E402

# A program of 64 bytes: DOS header and nothing else, which is a program to whoever opens it by double click.
PROGRAM = b"MZ" + b"\0" * 58 + b"\x40\0\0\0" + b"PE\0\0\x4c\x01" + b"\0" * 250
WORD = ("<?xml version='1.0' encoding='UTF-8'?><w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'><w:body>"
        "<w:p><w:r><w:t>Project Wander</w:t></w:r><w:r><w:t>falke starts</w:t></w:r></w:p></w:body></w:document>")
TYPES = ("<?xml version='1.0' encoding='UTF-8'?><Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'>"
         "<Default Extension='rels' ContentType='application/vnd.openxmlformats-package.relationships+xml'/>"
         "<Override PartName='/word/document.xml' ContentType='application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml'/></Types>")
RELS = ("<?xml version='1.0' encoding='UTF-8'?><Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'><Relationship Id='r1' "
        "Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument' Target='word/document.xml'/></Relationships>")
RULES = [
    {"name": "locked", "if": "attachment-protected", "then": [{"quarantine": "Locked"}]},
    {"name": "programs", "if": 'attachment-filetype == "Executable"', "then": [
        {"keep-original": "Originals"}, {"drop-attachments-by-filetype": {"type": "Executable", "comment": "gone: $dropped_filename"}}]},
    {"name": "project", "if": 'attachment-contains("Wanderfalke")', "then": [{"insert-header": {"name": "X-Project", "value": "yes"}}]},
    {"name": "broken", "if": "attachment-unscannable and not attachment-protected", "on-unknown": "skip", "then": [{"insert-header": {"name": "X-Unscannable", "value": "yes"}}]},
]


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def mail(subject, *attachments):
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <ann@x.test>", "b@y.test", subject
    message["Message-ID"], message["Date"] = f"<{subject.replace(' ', '.')}@x.test>", "Thu, 01 Jan 2026 00:00:00 +0000"
    message.set_content("Hello.\n")
    for name, content in attachments:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


def children_of(parent, name):
    """Process ids of the children of `parent` that run a program called so."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/stat") as file:
                head, _, rest = file.read().rpartition(")")
            if int(rest.split()[1]) == parent and head.partition("(")[2].startswith(name):
                found.append(int(entry))
    return found


DOCX = zipped({"[Content_Types].xml": TYPES, "_rels/.rels": RELS, "word/document.xml": WORD})


class Scan(unittest.TestCase):
    def make(self, config=None, rules=None, start=True):
        world = self.world = World(start=False)
        self.addCleanup(world.close)
        world.mta.reinject_port = free_port()
        state = os.path.join(world.daemon.directory, "state")
        os.makedirs(state)
        world.daemon.base.update({
            "state-directory": state, "store": "sqlite:" + os.path.join(state, "postern.db"),
            "quarantines": {"Policy": {}, "Originals": {}, "Locked": {}},
            "reinject": {"server": f"127.0.0.1:{world.mta.reinject_port}", "retry-first": "1s", "retry-longest": "1s"}})
        world.daemon.write(config, rules or RULES)
        if start:
            world.daemon.start()
            world.mta.start()
        return world

    def send(self, *arguments, code=250):
        replies, queue_id = self.world.send(mail(*arguments))
        self.assertEqual(replies["message"].code, code, str(replies["message"]))
        return queue_id

    def wait_arrived(self, subject, count=1):
        def found():
            return [d for d in self.world.sink.all() if d.values("Subject") == [" " + subject]]
        wait_until(lambda: len(found()) >= count, lambda: f"mail '{subject}'\n" + self.world.daemon.log_text()[-4000:])
        return found()[-1]

    def quarantine(self, *arguments):
        return self.world.daemon.command("quarantine", *arguments, "-c", self.world.daemon.config_file).stdout

    def workers(self):
        return children_of(self.world.daemon.process.pid, "postern-scan")

    def test_stripped_kept_delivered_and_released(self):
        world = self.make()
        inner = zipped({"notes.txt": PROGRAM})
        self.send("one program", ("plans.docx", DOCX), ("photos.zip", zipped({"a/holiday.jpg": b"\xff\xd8\xff\xe0 no picture", "b/more.zip": inner})))
        cut = self.wait_arrived("one program")
        self.assertIn(b"gone: photos.zip", cut.body)
        self.assertIn(b"plans.docx", cut.body)
        self.assertEqual(cut.values("X-Project"), [" yes"])
        (entry,) = json.loads(self.quarantine("list", "--json"))
        self.assertEqual(entry["holds"][0]["quarantine"], "Originals")
        self.quarantine("release", str(entry["id"]))
        whole = self.wait_arrived("one program", 2)
        self.assertIn(b"photos.zip", whole.body)
        status = json.loads(world.daemon.command("status", "-c", world.daemon.config_file, "--json").stdout)
        self.assertGreaterEqual(status["scan"]["jobs"], 3)
        self.assertEqual(status["scan"]["crashes"], 0)

    def test_what_cannot_be_read_is_not_clean(self):
        world = self.make()
        locked = os.path.join(world.daemon.directory, "locked.zip")
        plain = os.path.join(world.daemon.directory, "plain.txt")
        with open(plain, "w") as file:
            file.write("Wanderfalke\n")
        subprocess.run(["7z", "a", "-tzip", "-psecret", locked, plain], check=True, capture_output=True)
        with open(locked, "rb") as file:
            self.send("behind a password", ("plain.zip", file.read()))
        (entry,) = json.loads(self.quarantine("list", "--json"))
        self.assertEqual(entry["holds"][0]["quarantine"], "Locked")
        world.daemon.wait_log(r"MID \d+ attachment '2/plain\.zip!plain\.txt' unscannable \(password\): .*\[message-unscannable\]")
        # An archive that breaks off: what it may hold is unknown, and a filter that would drop holds it.
        self.send("broken", ("broken.zip", zipped({"a.txt": os.urandom(4000)})[:2000]))
        world.daemon.wait_log(r"attachment '2/broken\.zip[^']*' unscannable \(corrupt\)")
        self.assertEqual(len(json.loads(self.quarantine("list", "--json"))), 2)
        self.send("clean", ("a.txt", b"nothing\n"))
        self.assertEqual(self.wait_arrived("clean").values("X-Unscannable"), [])

    def test_workers_that_are_killed_cost_no_mail(self):
        world = self.make({"scan": {"workers": 2}})
        stop = threading.Event()
        killed = []

        def kill():
            while not stop.wait(0.05):
                for pid in self.workers()[:1]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            for n in range(30):
                self.send(f"under fire {n}", ("run.zip", zipped({"run.exe": PROGRAM})))
        finally:
            stop.set()
            thread.join()
        self.assertTrue(killed)
        # Each was stripped, or held because nobody could tell; none came through as it was.
        kept = json.loads(self.quarantine("list", "--json"))
        held = {entry["subject"] for entry in kept if any(hold["quarantine"] == "Policy" for hold in entry["holds"])}
        for n in range(30):
            if f"under fire {n}" not in held:
                self.assertIn(b"gone: run.zip", self.wait_arrived(f"under fire {n}").body)
        def ready():
            scan = world.daemon.status()["scan"]
            return scan["trouble"] == "" and scan["idle"] > 0

        # Starts that failed while templates were killed are tried again, later each time.
        wait_until(ready, lambda: f"workers to be back: {world.daemon.status()['scan']}")
        self.send("after", ("run.zip", zipped({"run.exe": PROGRAM})))
        self.assertIn(b"gone: run.zip", self.wait_arrived("after").body)
        self.assertEqual(json.loads(world.daemon.command("status", "-c", world.daemon.config_file, "--json").stdout)["scan"]["trouble"], "")

    def test_a_scanner_that_dies_of_it(self):
        """A worker with a hole in it: the content is tried twice, then remembered; the message is held; where the list cannot be written mail goes on."""
        world = self.make({"scan": {"program": os.path.join(BIN, "faulty-scan"), "workers": 1}})
        self.send("poison", ("poison.bin", b"abort\n"))
        world.daemon.wait_log(r"A scan worker was lost, crash, content [0-9a-f]{64}: .*\[scan-worker-lost\]")
        world.daemon.wait_log(r"Content [0-9a-f]{64} crashed the scanner twice .*\[scan-poison\]")
        world.daemon.wait_log(r"attachment '2/poison\.bin' unscannable \(crash\)")
        (entry,) = json.loads(self.quarantine("list", "--json"))
        self.assertEqual(entry["holds"][0]["quarantine"], "Policy")
        path = os.path.join(world.daemon.directory, "state", "scan-crashes")
        with open(path) as file:
            self.assertRegex(file.read(), "[0-9a-f]{64}")
        os.unlink(path)
        os.mkdir(path)
        self.send("other poison", ("poison.bin", b"abort \n"))
        world.daemon.wait_log(r"\[scan-list-failed\]")
        self.assertEqual(len(json.loads(self.quarantine("list", "--json"))), 2)

    def test_a_program_that_goes_away(self):
        world = self.make(start=False)
        program = os.path.join(world.daemon.directory, "postern-scan")
        shutil.copy(os.path.join(BIN, "postern-scan"), program)
        world.daemon.write({"scan": {"program": program, "workers": 1}}, RULES)
        world.daemon.start()
        world.mta.start()
        os.unlink(program)

        def lost():
            for pid in self.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.send("lost", ("run.zip", zipped({"run.exe": PROGRAM})))
            return world.daemon.lines(r"Attachments are not scanned: .*\[scan-failed\]")

        wait_until(lost, lambda: "scan-failed\n" + world.daemon.log_text()[-3000:])
        # Nothing that was not scanned went through as it was.
        for delivery in world.sink.all():
            self.assertIn(b"gone: run.zip", delivery.body)

    def test_reload_and_a_program_that_is_not_there(self):
        workers = {"scan": {"workers": 2}}
        world = self.make(workers)
        # posternd is ready with the first of them.
        wait_until(lambda: world.daemon.status()["scan"]["idle"] == 2, "two workers")
        before = set(self.workers())
        world.daemon.write(workers, RULES + [{"name": "more", "then": ["no-op"]}])
        world.daemon.reload()
        self.assertEqual(set(self.workers()), before)
        world.daemon.write({"scan": {"program": "/nonexistent/postern-scan"}}, RULES)
        world.daemon.reload(expect="failed")
        self.send("still here", ("run.zip", zipped({"run.exe": PROGRAM})))
        self.assertIn(b"gone: run.zip", self.wait_arrived("still here").body)
        world.daemon.write(None, [{"name": "nothing", "then": ["no-op"]}])
        world.daemon.reload()
        self.send("unscanned", ("a.zip", zipped({"a.txt": b"a"})))
        self.wait_arrived("unscanned")

    def test_no_start_without_workers(self):
        world = self.make({"scan": {"program": "/nonexistent/postern-scan"}}, start=False)
        done = subprocess.run([os.path.join(BIN, "posternd"), "-c", world.daemon.config_file], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/nonexistent/postern-scan", done.stderr)

    def test_trace_and_scan_say_the_same(self):
        world = self.make(start=False)
        path = os.path.join(world.daemon.directory, "mail.eml")
        with open(path, "wb") as file:
            file.write(mail("traced", ("plans.docx", DOCX), ("photos.zip", zipped({"holiday.exe": PROGRAM}))))
        traced = json.loads(world.daemon.command("trace", "-c", world.daemon.config_file, "--json", path).stdout)
        by_path = {row["path"]: row for row in traced["attachments"]}
        scanned = {row["path"]: row for row in json.loads(world.daemon.command("scan", "--json", path).stdout)}
        for path in ("2/plans.docx", "3/photos.zip", "3/photos.zip!holiday.exe"):
            self.assertEqual({k: v for k, v in by_path[path].items()}, {k: v for k, v in scanned[path].items() if k != "file"})
        self.assertEqual(by_path["3/photos.zip!holiday.exe"]["group"], ["Executable"])
        self.assertEqual(by_path["2/plans.docx"]["type"], "docx")
        text = world.daemon.command("scan", "--text", os.path.join(world.daemon.directory, "mail.eml")).stdout
        self.assertIn(b"Project Wanderfalke starts", text)
        self.assertEqual(world.daemon.command("scan", "/nonexistent", check=False).returncode, 65)


if __name__ == "__main__":
    unittest.main()
