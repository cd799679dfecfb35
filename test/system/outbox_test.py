#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Mail that filters make, end to end through Postfix: each kind arrives, marked so that only ours is known as ours; a listener that is
down, refuses or dies delays it and loses none; what is refused for good is kept; posternd may be killed at any point."""
import json
import mailbox
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.process import free_port, wait_until  # noqa: E402
from support.scripted_smtp import ScriptedSmtp  # noqa: E402
from support.world import World  # noqa: E402

DATA = b"From: Ann <ann@x.test>\r\nTo: b@y.test\r\nSubject: %s\r\nMessage-ID: <%s@x.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nHello.\r\n"
RULES = [
    {"name": "copies", "if": 'subject == "^all" and not header("X-Before")', "then": [
        {"notify": {"to": "watch@y.test", "subject": "Seen: $Subject", "template": "seen"}},
        {"notify-copy": {"to": "full@y.test", "return-path": "$EnvelopeFrom"}},
        {"insert-header": {"name": "X-Before", "value": "yes"}},
        {"bcc": {"to": "$EnvelopeRecipients, copy@y.test", "subject": "[copy] $Subject", "alt-mailhost": "127.0.0.8"}},
        {"bcc-scan": {"to": "scan@y.test", "return-path": "robot@y.test"}},
        {"insert-header": {"name": "X-After", "value": "yes"}},
        {"archive": "all-mail"}]},
    {"name": "stamp", "then": [{"insert-header": {"name": "X-Filtered", "value": "$Group"}}]},
    {"name": "notice", "if": 'subject == "^notice"', "then": [{"notify": "watch@y.test"}]},
    {"name": "many", "if": 'subject == "^many"', "then": [{"notify": "one@y.test, bad@y.test, two@y.test"}]},
    {"name": "deferred", "if": 'subject == "^deferred"', "then": [{"notify": "watch@y.test"}, {"defer": "later"}]},
    {"name": "refused", "if": 'subject == "^refused"', "then": [{"notify": "watch@y.test"}, "bounce"]},
    {"name": "dropped", "if": 'subject == "^dropped"', "then": [{"bcc": "watch@y.test"}, "drop"]},
    {"name": "looked-at", "if": 'subject == "^looked"', "mode": "observe", "then": [{"notify": "watch@y.test"}]},
    {"name": "early", "phase": "rcpt", "if": 'rcpt-to == "^full@"', "then": [{"reject": "not here"}]},
]


def data(subject, ident="m"):
    return DATA % (subject.encode(), ident.encode())


class Outbox(unittest.TestCase):
    def make(self, listener=None, config=None, rules=None):
        """A world whose posternd submits to `listener`, a port, or to Postfix's own listener."""
        self.world = World(start=False)
        world = self.world
        self.addCleanup(world.close)
        world.mta.reinject_port = free_port()
        state = os.path.join(world.daemon.directory, "state")
        os.makedirs(state)
        os.makedirs(os.path.join(world.daemon.directory, "templates.d"))
        with open(os.path.join(world.daemon.directory, "templates.d", "seen.txt"), "w") as file:
            file.write("Filter $FilterName saw mail from $EnvelopeFrom.\n")
        world.daemon.base.update({
            "state-directory": state, "store": "sqlite:" + os.path.join(state, "postern.db"), "archives": {"all-mail": {}},
            "reinject": {"server": f"127.0.0.1:{listener or world.mta.reinject_port}", "retry-first": "1s", "retry-longest": "1s"},
            "flows": [{"name": "elsewhere", "when": {"client": ["127.0.0.9"]}}, {"name": "inbound"}]})
        world.daemon.write(config, rules or RULES)
        world.daemon.start()
        world.mta.start()
        return world

    def send(self, subject, code=250, **options):
        replies, queue_id = self.world.send(data(subject, subject), **options)
        self.assertEqual(replies["message"].code, code, str(replies["message"]))
        return queue_id

    def arrived(self, recipient):
        return [d for d in self.world.sink.all() if recipient in d.recipients]

    def wait_arrived(self, recipient, count=1):
        wait_until(lambda: len(self.arrived(recipient)) >= count, lambda: f"mail for {recipient}\n" + self.world.daemon.log_text()[-4000:])
        return self.arrived(recipient)[-1]

    def outbox(self, *arguments, check=True):
        action = arguments or ("list",)
        done = self.world.daemon.command("outbox", *action, "-c", self.world.daemon.config_file, "--json", check=check)
        return json.loads(done.stdout)

    def wait_outbox(self, condition, what):
        return wait_until(lambda: condition(self.outbox()["mails"]), lambda: f"{what}: {self.outbox()}\n" + self.world.daemon.log_text()[-3000:])

    def wait_empty(self):
        self.wait_outbox(lambda mails: not mails, "the outbox to be empty")

    def test_every_kind_arrives(self):
        world = self.make()
        self.send("all of it", source="127.0.0.9")
        original = self.wait_arrived("b@y.test")
        notice = self.wait_arrived("watch@y.test")
        full = self.wait_arrived("full@y.test")  # the filter of the rcpt phase is not asked about our own mail
        copy = self.wait_arrived("copy@y.test")
        scan = self.wait_arrived("scan@y.test")
        self.wait_empty()
        self.assertEqual(notice.sender, "")
        self.assertEqual(notice.values("Subject"), [" Seen: all of it"])
        self.assertEqual(notice.values("Auto-Submitted"), [" auto-generated"])
        self.assertEqual(notice.body, b"Filter copies saw mail from a@x.test.\r\n")
        self.assertEqual(full.sender, "a@x.test")
        self.assertIn(b"Content-Type: message/rfc822", full.data)
        self.assertIn(b"Subject: all of it\r\n", full.body)
        self.assertEqual((copy.sender, sorted(copy.recipients)), ("a@x.test", ["b@y.test", "copy@y.test"]))
        self.assertEqual(copy.values("Subject"), [" [copy] all of it"])
        self.assertEqual((copy.values("X-Before"), copy.values("X-After"), copy.values("X-Filtered")), ([" yes"], [], []))
        self.assertEqual(copy.host, "127.0.0.8")
        self.assertEqual((scan.sender, scan.host), ("robot@y.test", "127.0.0.1"))
        # Filtered once more, in the flow of the message it was made of and not in that of the client, which is posternd; and no copy of it.
        self.assertEqual(scan.values("X-Filtered"), [" elsewhere"])
        self.assertEqual(len(self.arrived("scan@y.test")), 1)
        for delivery in world.sink.all():
            self.assertNotIn(b"X-Postern", delivery.data.replace(b"X-Postern-Archived", b""))
        box = mailbox.mbox(os.path.join(world.daemon.directory, "state", "archive", "all-mail.mbox"))
        self.assertEqual([m["Subject"] for m in box], ["all of it"])
        self.assertEqual(box[0]["X-After"], "yes")
        box.close()
        generated = r"MID (\d+) generated based on MID (\d+) by (\S+) filter 'copies' .*\[mail-generated\]"
        wait_until(lambda: len(world.daemon.lines(generated)) >= 5, "five log lines")
        mids = re.findall(generated, world.daemon.log_text())
        self.assertEqual([kind for _, _, kind in mids], ["notify", "notify-copy", "bcc", "bcc-scan", "archive"])
        self.assertEqual(len({own for own, _, _ in mids} | {cause for _, cause, _ in mids}), 6)
        for own, _, kind in mids[:4]:
            world.daemon.wait_log(rf"MID \d+ is MID {own}, made by {kind} .*\[mail-returned\]")
            world.daemon.wait_log(rf"MID {own} submitted, {kind} based on MID \d+: 250 .*\[mail-submitted\]")
        world.daemon.wait_log(r"archived in 'all-mail' \[mail-archived\]")
        self.assertEqual(original.values("X-After"), [" yes"])
        self.assertEqual(os.stat(os.path.join(world.daemon.directory, "state", "mark.key")).st_mode & 0o7777, 0o600)

    def test_stripped_kept_delivered_and_released(self):
        """The executable is cut out and the rest delivered; the original, released later, arrives whole, once, and is not cut again."""
        strip = {"name": "strip", "then": [{"keep-original": "Originals"}, {"drop-attachments-by-name": {"pattern": "exe$", "comment": "gone: $dropped_filename"}}]}
        world = self.make(config={"quarantines": {"Originals": {}}}, rules=[strip])
        whole = (b"Message-ID: <whole@x.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: Ann <ann@x.test>\r\nTo: b@y.test\r\nSubject: program\r\n"
                 b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n"
                 b"--b\r\nContent-Type: application/octet-stream; name=\"a.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAA=\r\n--b--\r\n")
        self.assertEqual(world.send(whole)[0]["message"].code, 250)
        cut = self.wait_arrived("b@y.test")
        self.assertIn(b"gone: a.exe", cut.body)
        self.assertIn(b"hello", cut.body)
        self.assertNotIn(b"TVqQ", cut.body)

        def quarantine(*arguments):
            return world.daemon.command("quarantine", *arguments, "-c", world.daemon.config_file).stdout

        (entry,) = json.loads(quarantine("list", "--json"))
        self.assertEqual((entry["copy"], entry["holds"][0]["quarantine"]), ("original", "Originals"))
        quarantine("release", str(entry["id"]))
        released = self.wait_arrived("b@y.test", 2)
        self.wait_empty()
        self.assertEqual((released.sender, released.recipients), ("a@x.test", ["b@y.test"]))
        self.assertEqual(released.body, whole.partition(b"\r\n\r\n")[2])
        self.assertEqual(released.values("Message-ID"), [" <whole@x.test>"])
        self.assertEqual(released.values("X-Postern-Mark"), [])
        self.assertNotIn(b"X-Postern", released.data)
        line = world.daemon.wait_log(rf"MID \d+ submitted, release based on MID {entry['mid']}: 250 .*\[mail-submitted\]")
        self.assertNotIn(f"MID {entry['mid']} submitted", line)
        self.assertEqual(len(self.arrived("b@y.test")), 2)
        self.assertEqual(json.loads(quarantine("list", "--json")), [])

    def test_verdicts(self):
        self.make()
        self.send("dropped")
        self.send("refused", 550)
        self.send("deferred", 451)
        self.send("looked at")
        self.send("notice")
        self.wait_arrived("watch@y.test", 3)
        self.wait_empty()
        subjects = sorted(str(d.values("Subject")[0]) for d in self.arrived("watch@y.test"))
        self.assertEqual(subjects, [" Message notification", " Message notification", " dropped"])
        self.assertEqual({d.values("Subject")[0] for d in self.arrived("b@y.test")}, {" looked at", " notice"})

    def test_forged_marks(self):
        world = self.make()
        taken = ScriptedSmtp()
        self.addCleanup(taken.close)
        world.daemon.write({"reinject": {"server": f"127.0.0.1:{taken.port}"}}, RULES)
        world.daemon.reload()
        self.send("notice")
        wait_until(lambda: taken.taken, "a mail with a mark")
        mark = re.search(rb"^X-Postern-Mark: (.*)\r\n", taken.taken[0][2]).group(1)
        # A real one, on another envelope, and one that is made up; from anywhere and from the listener itself.
        for number, (value, port) in enumerate([(mark, world.mta.port), (b"v=1; k=bcc; b=00", world.mta.port), (mark, world.mta.reinject_port)]):
            after = len(world.daemon.log_text())
            main, world.mta.port = world.mta.port, port
            self.addCleanup(setattr, world.mta, "port", main)
            replies, _ = world.send(b"X-Postern-Mark: " + value + b"\r\n" + data("plain", f"forged-{number}"), recipients=["b@y.test"])
            world.mta.port = main
            self.assertEqual(replies["message"].code, 250)
            world.daemon.wait_log(r"carries a mark of our own mail that is not ours.*\[mark-refused\]", after)
            delivery = self.wait_arrived("b@y.test", number + 2)
            self.assertEqual(delivery.values("X-Filtered"), [" inbound"])
            self.assertEqual(delivery.values("X-Postern-Mark"), [])
        # By our listener but not ours: what its recipient's filter says holds for all of it.
        main, world.mta.port = world.mta.port, world.mta.reinject_port
        replies, _ = world.send(data("plain"), recipients=["full@y.test"])
        world.mta.port = main
        self.assertEqual(replies["message"].code, 550)

    def test_listener_down_then_up(self):
        port = free_port()
        world = self.make(port)
        for number in range(3):
            self.send(f"notice {number}")
        world.daemon.wait_log(r"Mail of our own waits: 127\.0\.0\.1:\d+ does not take it.*\[submit-down\]")
        self.wait_arrived("b@y.test", 3)
        status = world.daemon.status()["outbox"]
        self.assertEqual((status["waiting"], status["failed"]), (3, 0))
        self.assertGreater(status["oldest"], 0)
        self.assertIn(b"3 waiting, 0 failed", world.daemon.command("status", "-c", world.daemon.config_file).stdout)
        self.wait_outbox(lambda mails: all(m["next"] < m["created"] + 1800 for m in mails), "the MTA's confirmations")
        # Nothing is lost by a crash while it waits, and nothing comes twice.
        world.daemon.kill()
        after = len(world.daemon.log_text())
        world.daemon.start()
        world.daemon.wait_log(r"\[submit-down\]", after)
        taken = ScriptedSmtp(port=port)
        self.addCleanup(taken.close)
        wait_until(lambda: len(taken.taken) == 3, "three notices")
        world.daemon.wait_log(r"takes mail of our own again \[submit-up\]")
        self.wait_empty()
        self.assertEqual(len(taken.taken), 3)

    def submit_to(self, server):
        """The daemon, made now or running already, submits to this scripted server."""
        self.addCleanup(server.close)
        if not hasattr(self, "world"):
            self.make(server.port)
        else:
            self.world.daemon.write({"reinject": {"server": f"127.0.0.1:{server.port}"}}, RULES)
            self.world.daemon.reload()
        return server

    def test_temporary_failures(self):
        for at, answer in (("MAIL", "451 4.3.0 later"), ("RCPT", "450 4.2.0 busy"), ("DATA", "421 4.3.2 bye"), (".", "452 4.3.1 full"), (".", "drop"),
                           ("middle", "drop"), ("RCPT", "drop"), ("MAIL", "530 5.7.0 STARTTLS first")):
            with self.subTest(at=at, answer=answer):
                taken = self.submit_to(ScriptedSmtp(at, answer))
                self.send("notice")
                wait_until(lambda: taken.attempts >= 2, lambda: "a second attempt\n" + self.world.daemon.log_text()[-2000:])
                self.assertEqual([m["state"] for m in self.outbox()["mails"]], ["waiting"])
                self.world.daemon.wait_log(r"not submitted, tried again in 1 s: .*\[mail-delayed\]")
                taken.at = None
                wait_until(lambda: len(taken.taken) == 1, "the notice")
                self.wait_empty()
                self.assertEqual(len(taken.taken), 1)

    def test_refused_for_good(self):
        taken = ScriptedSmtp(".", "554 5.7.1 never")
        self.addCleanup(taken.close)
        world = self.make(taken.port)
        self.send("notice one")
        self.send("notice two")
        world.daemon.wait_log(r"kept as failed: .*554 5\.7\.1 never.*\[mail-failed\]")
        mails = self.wait_outbox(lambda mails: len(mails) == 2 and all(m["state"] == "failed" for m in mails) and mails, "two to have failed")
        self.assertEqual(world.daemon.status()["outbox"]["failed"], 2)
        self.assertIn(b"554 5.7.1 never", world.daemon.command("outbox", "list", "-c", world.daemon.config_file).stdout)
        taken.at = None
        first, second = (m["id"] for m in mails)
        self.assertEqual(self.outbox("retry", str(first))["changed"], [first])
        wait_until(lambda: len(taken.taken) == 1, "the first one")
        self.assertEqual(self.outbox("drop", "--failed")["changed"], [second])
        self.wait_empty()
        self.assertEqual(self.outbox("drop", str(second), check=False)["missing"], [second])
        wait_until(lambda: len(world.daemon.lines("outbox-changed")) >= 2, "two changes to be logged")
        self.assertEqual(len(world.daemon.lines("outbox-changed")), 2)
        self.assertEqual(world.daemon.command("outbox", "retry", "-c", world.daemon.config_file, check=False).returncode, 64)

    def test_one_bad_recipient(self):
        taken = ScriptedSmtp("RCPT", "550 5.1.1 unknown")
        self.addCleanup(taken.close)
        original = taken._session

        def session(connection, lines):
            def picky():
                for line in lines:
                    taken.at = "RCPT" if b"<bad@" in line else None
                    yield line
            original(connection, picky())
        taken._session = session
        self.make(taken.port)
        self.send("many")
        mails = self.wait_outbox(lambda mails: [m for m in mails if m["state"] == "failed"], "one to have failed")
        self.assertEqual(mails[0]["to"], ["bad@y.test"])
        self.assertEqual(sorted(recipient for _, to, _ in taken.taken for recipient in to), ["one@y.test", "two@y.test"])

    def test_killed_while_submitting(self):
        # Before the listener has all of it: it comes once. After the listener took it and before we know: twice, the same message.
        for at, answer, times in (("middle", "drop", 1), (".", "silent", 2)):
            with self.subTest(at=at):
                taken = self.submit_to(ScriptedSmtp(at, answer))
                self.send("notice")
                wait_until(lambda: taken.taken if answer == "silent" else taken.attempts, "an attempt")
                self.world.daemon.kill()
                taken.at = None
                self.world.daemon.start()
                wait_until(lambda: len(taken.taken) == times, "the notice after the crash")
                self.wait_empty()
                idents = [re.search(rb"Message-ID: (.*)", content).group(1) for _, _, content in taken.taken]
                self.assertEqual((len(idents), len(set(idents))), (times, 1))

    def test_store_away(self):
        self.world = world = World(start=False)
        self.addCleanup(world.close)
        folder = os.path.join(world.daemon.directory, "later")
        world.daemon.base.update({"state-directory": world.daemon.directory, "store": f"sqlite:{folder}/postern.db", "archives": {"all-mail": {}},
                                  "reinject": {"server": "127.0.0.1:9"}, "flows": [{"name": "inbound"}]})
        world.daemon.write(None, [{"name": "kept", "if": 'subject == "^kept"', "then": [{"archive": "all-mail"}]}])
        world.daemon.start()
        world.mta.start()
        world.daemon.wait_log(r"\[outbox-failed\]")
        self.send("kept", 451)
        self.send("other")
        os.makedirs(folder)
        world.daemon.wait_log(r"\[outbox-good\]")
        self.send("kept")
        world.daemon.wait_log(r"archived in 'all-mail'")

    def test_doctor(self):
        world = self.make()

        def findings():
            done = world.daemon.command("doctor", "-c", world.daemon.config_file, "--postfix-config", world.mta.config, "--json", check=False)
            return {f["id"] for f in json.loads(done.stdout)["findings"] if f["id"].startswith("reinject-")}

        self.assertEqual(findings(), set())
        master = os.path.join(world.mta.config, "master.cf")
        with open(master) as file:
            good = file.read()
        listener = f"127.0.0.1:{world.mta.reinject_port} "
        for bad, found in ((good.replace(listener, "127.0.0.1:1 "), {"reinject-missing"}),
                           (good.replace(listener, f"{world.mta.reinject_port} "), {"reinject-exposed"}),
                           (good.replace("=postern-reinject\n  -o mynet", "=other\n  -o mynet"), {"reinject-daemon-name"}),
                           (good.replace("  -o content_filter=\n", "  -o smtpd_milters=\n"), {"reinject-unmarked"})):
            self.assertNotEqual(bad, good)
            with open(master, "w") as file:
                file.write(bad)
            self.assertEqual(findings(), found)


if __name__ == "__main__":
    unittest.main(verbosity=2)
