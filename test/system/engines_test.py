#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posternd with real external engines (ClamAV, c-icap, rspamd, SpamAssassin), and with one that hangs in every way and comes back."""
import json
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support import engines, milter, process  # noqa: E402
from support.posternd import Posternd  # noqa: E402

PLAIN = b"hello\r\n"
INFECTED = b"look: " + engines.SIGNATURE + b"\r\n"
# What each engine says stands in a header field of the message; a virus is refused.
FILTERS = [
    {"name": "skip", "phase": "mail", "if": 'mail-from == "^trusted@"', "then": ["skip-viruscheck", "skip-spamcheck"]},
    {"name": "virus", "if": 'virus-verdict == "infected"', "then": [{"reject": {"text": "Found $Virus"}}]},
    *[{"name": verdict, "if": f'virus-verdict == "{verdict}"', "then": [{"insert-header": {"name": "X-Virus", "value": verdict}}]}
      for verdict in ("clean", "encrypted", "unscannable", "skipped")],
    {"name": "spam", "if": "spam-score >= 4.25", "then": [{"insert-header": {"name": "X-Spam", "value": "$SpamScore"}}]},
    {"name": "ham", "if": "spam-score < 4.25", "then": [{"insert-header": {"name": "X-Ham", "value": "$SpamScore"}}]}]


class Base(unittest.TestCase):
    """`setup(engines, flows)` starts a daemon; `say` sends it one message."""

    def setup(self, all_engines, flows, rules=None, **config):
        directory = process.temporary_directory("postern-engines-")
        self.daemon = Posternd(directory, os.path.join(directory, "milter.sock"), rules=rules or FILTERS,
                               config={"engines": all_engines, "flows": flows, "on-unknown": {"engine": "tempfail", "unscannable": "tempfail"}, **config})
        self.daemon.start()
        self.addCleanup(self.daemon.discard)

    def say(self, body=PLAIN, subject="x", sender="a@x.test", listener="smtpd", head=()):
        """The reply's code, its text, and the header fields that were added."""
        with milter.Mta("unix:" + self.daemon.socket, timeout=90) as mta:
            mta.connect(macros={"j": "mta.test", "{daemon_name}": listener})
            mta.helo()
            _, result = mta.message([("From", " a@x.test"), ("Subject", " " + subject), *head], body, sender=sender)
        added = {}
        for letter, data in result.edits:
            if letter in (milter.ADD_HEADER, milter.INSERT_HEADER):
                name, value = milter.split(data[4:] if letter == milter.INSERT_HEADER else data)
                added[name] = value.strip()
        return result.reply.split()[0], result.reply, added

    def engines(self, *arguments, status=0):
        done = self.daemon.command("engines", "-c", self.daemon.config_file, *arguments, check=False)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return done.stdout.decode()


class Real(Base):
    @classmethod
    def setUpClass(cls):
        directory = process.temporary_directory("postern-engines-")
        cls.clamd = engines.Clamd(directory)
        cls.spamd = engines.Spamd(directory)
        cls.servers = [cls.clamd, cls.spamd, engines.Rspamd(directory), engines.Icap(directory, cls.clamd)]
        for server in cls.servers:
            cls.addClassCleanup(server.kill)
        starting = threading.Thread(target=cls.spamd.start)
        starting.start()
        for server in cls.servers:
            if server is not cls.spamd:
                server.start()
        starting.join()

    def setUp(self):
        clamd, spamd, rspamd, icap = [server.place for server in self.servers]
        self.setup({"clam": {"type": "clamd", "servers": [clamd]}, "small": {"type": "clamd", "servers": [clamd], "max-size": "10k"},
                    "icap": {"type": "icap", "servers": [icap]}, "request": {"type": "icap", "servers": [icap], "method": "reqmod", "service": "avscan"},
                    "rspamd": {"type": "rspamd", "servers": [rspamd], "max-size": "10k", "too-large": "skip"},
                    "spamd": {"type": "spamd", "servers": [spamd]}},
                   [{"name": name, "when": {"daemon-name": [name]}, "inspect": [name]} for name in ("clam", "small", "icap", "request", "rspamd", "spamd")] +
                   [{"name": "two", "when": {"daemon-name": ["two"]}, "inspect": ["icap", "clam", "spamd", "rspamd"]}, {"name": "none"}])

    def archive(self, encrypted):
        """A zip in base64, as a body of type application/zip."""
        name = os.path.join(self.daemon.directory, "a.zip")
        plain = os.path.join(self.daemon.directory, "a.txt")
        with open(plain, "wb") as file:
            file.write(INFECTED)
        subprocess.run(["7z", "a", "-tzip", *(["-psecret"] if encrypted else []), name, plain], check=True, stdout=subprocess.DEVNULL)
        with open(name, "rb") as file:
            content = file.read()
        os.unlink(name)
        encoded = subprocess.run(["base64"], input=content, capture_output=True, check=True).stdout.replace(b"\n", b"\r\n")
        return {"body": encoded, "head": [("MIME-Version", " 1.0"), ("Content-Type", " application/zip"), ("Content-Transfer-Encoding", " base64")]}

    def test_clamd(self):
        self.assertEqual(self.say(listener="clam"), ("250", "250 2.0.0", {"X-Virus": "clean"}))
        self.daemon.wait_log("engine clam verdict clean.*virus-clean")
        code, reply, _ = self.say(INFECTED, listener="clam")
        self.assertEqual((code, engines.VIRUS in reply), ("550", True), reply)
        self.daemon.wait_log(f"engine clam found {engines.VIRUS}.*virus-found")
        self.assertEqual(self.say(listener="clam", **self.archive(False))[0], "550")
        self.assertEqual(self.say(listener="clam", **self.archive(True))[2], {"X-Virus": "encrypted"})
        # More than clamd takes: it says so in the middle of the stream, and hangs up.
        self.assertEqual(self.say(b"x" * 70 * 100_000 + b"\r\n", listener="clam")[2], {"X-Virus": "unscannable"})
        self.daemon.wait_log("engine clam verdict unscannable: larger than clamd's StreamMaxLength.*virus-doubt")
        self.assertEqual(self.say(b"x" * 20_000 + b"\r\n", listener="small")[2], {"X-Virus": "unscannable"})
        self.daemon.wait_log("engine small not asked: larger than max-size.*engine-not-asked")

    def test_icap(self):
        for name in ("icap", "request"):
            self.assertEqual(self.say(listener=name), ("250", "250 2.0.0", {"X-Virus": "clean"}), name)
            code, reply, _ = self.say(INFECTED, listener=name)
            self.assertEqual((code, engines.VIRUS in reply), ("550", True), reply)
            self.assertEqual(self.say(listener=name, **self.archive(False))[0], "550")
            self.assertEqual(self.say(b"some text\r\n" * 50_000, listener=name)[2], {"X-Virus": "clean"})

    def test_rspamd(self):
        self.assertEqual(self.say(listener="rspamd")[2], {"X-Virus": "skipped", "X-Ham": "0"})
        self.assertEqual(self.say(subject="scored", listener="rspamd")[2], {"X-Virus": "skipped", "X-Spam": "4.25"})
        self.assertEqual(self.say(engines.GTUBE + b"\r\n", listener="rspamd")[2], {"X-Virus": "skipped", "X-Spam": "15"})
        self.daemon.wait_log("engine rspamd spam score 4.25 of 15: POSTERN_TEST.*spam-scored")
        # Larger than max-size, with too-large: skip.
        self.assertEqual(self.say(engines.GTUBE + b"\r\n" + b"x" * 20_000, listener="rspamd")[2], {"X-Virus": "skipped"})

    def test_spamd(self):
        # 1.5: spamd reads the client's HELO out of the field we put above the message.
        self.assertEqual(self.say(listener="spamd")[2], {"X-Virus": "skipped", "X-Ham": "1.5"})
        self.assertEqual(self.say(engines.GTUBE + b"\r\n", listener="spamd")[2], {"X-Virus": "skipped", "X-Spam": "1001.5"})
        self.daemon.wait_log("engine spamd spam score 1001.5 of 5: GTUBE,POSTERN_HELO")

    def test_several(self):
        self.assertEqual(self.say(subject="scored", listener="two")[2], {"X-Virus": "clean", "X-Spam": "4.25"})
        self.assertEqual(self.say(INFECTED, listener="two")[0], "550")
        self.daemon.wait_log("Refused by filter 'virus'")
        # In a flow without engines, and after the skip actions, nobody is asked.
        before = len(self.daemon.log_text())
        self.assertEqual(self.say(INFECTED + engines.GTUBE)[2], {"X-Virus": "skipped"})
        self.assertEqual(self.say(INFECTED + engines.GTUBE, listener="two", sender="trusted@x.test")[2], {"X-Virus": "skipped"})
        process.wait_until(lambda: len(self.daemon.lines("filter 'skipped' matched", before)) == 2, "both messages to be logged")
        self.assertEqual(self.daemon.lines(" engine ", before), [])
        everything = json.loads(self.engines("--json"))
        self.assertEqual([(one["name"], one["outage"]) for one in everything], [(name, False) for name in ("clam", "small", "icap", "request", "rspamd", "spamd")])
        self.assertIn("clam (clamd): good; 2 messages answered, 0 without an answer", self.engines())

    def test_trace(self):
        path = os.path.join(self.daemon.directory, "message.eml")
        with open(path, "wb") as file:
            file.write(b"From: a@x.test\r\nTo: b@y.test\r\nSubject: scored\r\n\r\n" + INFECTED)
        done = self.daemon.command("trace", "-c", self.daemon.config_file, "--json", "--daemon-name", "two", "--client-ip", "192.0.2.1", "--helo", "client.test", path)
        traced = json.loads(done.stdout)
        found = {one["engine"]: one for one in traced["engines"]}
        self.assertEqual(traced["verdict"], "reject")
        self.assertEqual({name: (one["outcome"], one["verdict"], one["found"]) for name, one in found.items()},
                         {name: ("answered", "infected", engines.VIRUS) for name in ("icap", "clam")})
        text = self.daemon.command("trace", "-c", self.daemon.config_file, "--daemon-name", "spamd", path).stdout.decode()
        self.assertRegex(text, r"engine    spamd +score 0 of 5")

    def test_outage(self):
        """clamd is killed and started again: mail waits, one line says that it is away, one that it is back."""
        self.clamd.kill()
        before = len(self.daemon.log_text())
        try:
            for _ in range(3):
                self.assertEqual(self.say(listener="clam")[0], "451")
            self.daemon.wait_log("Engine clam has no server that answers.*engine-down", before)
            self.daemon.wait_log("gave no answer.*engine-no-answer", before)
            self.assertEqual(self.say(listener="two")[0], "451")
            # What another engine found settles it.
            self.assertIn("NO SERVER ANSWERS", self.engines("--probe", "clam", status=1))
        finally:
            self.clamd.start()
        self.assertIn("clam (clamd): good", self.engines("--probe"))
        self.daemon.wait_log("Engine clam is answered again.*engine-up", before)
        self.daemon.wait_log("server .* answers again.*engine-server-up", before)
        self.assertEqual(self.say(listener="clam")[2], {"X-Virus": "clean"})
        self.assertEqual(len(self.daemon.lines("Engine clam has no server", before)), 1)
        self.assertEqual(len(self.daemon.lines("Engine clam is answered again", before)), 1)


class Faults(Base):
    def setUp(self):
        self.fake = engines.FakeClamd()
        self.addCleanup(self.fake.close)
        self.setup({"clam": {"type": "clamd", "servers": [self.fake.place], "connect-timeout": "3s", "timeout": "3s", "retry": "1s"}},
                   [{"name": "inbound", "inspect": ["clam"]}], rules=FILTERS[1:3])

    def clean(self):
        return self.say()[2] == {"X-Virus": "clean"}

    def hang(self, mode):
        """Three messages at a server that hangs, each while it is not left alone; then it is good, and used without a restart."""
        process.wait_until(self.clean, "the engine to answer")
        before = len(self.daemon.log_text())
        self.fake.set(mode)
        for count in range(1, 4):
            self.assertEqual(self.say()[0], "451")
            process.wait_until(lambda: json.loads(self.engines("--json", status=1))[0]["servers"][0]["failures"] >= count, "a failure to be counted")
        self.fake.set("good")
        process.wait_until(self.clean, "the engine to be used again")
        self.assertEqual(self.say(INFECTED)[0], "550")
        self.daemon.wait_log("engine clam found", before)
        self.assertEqual(len(self.daemon.lines("Engine clam has no server", before)), 1)
        self.assertEqual(len(self.daemon.lines("Engine clam is answered again", before)), 1)

    def test_hang_at_connect(self):
        self.hang("connect")

    def test_hang_before_answer(self):
        self.hang("silent")

    def test_hang_in_answer(self):
        self.hang("mid-answer")

    def test_forced_refresh_while_one_message_hangs(self):
        self.daemon.write(rules=FILTERS[1:3], config={"engines": {"clam": {"type": "clamd", "servers": [self.fake.place], "timeout": "60s"}},
                                                      "flows": [{"name": "inbound", "inspect": ["clam"]}], "on-unknown": {"engine": "tempfail"}})
        self.daemon.reload()
        self.fake.set("message")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(self.say()[0]))
        waiting.start()
        process.wait_until(lambda: self.fake.hanging == 1, "a message to hang")
        self.assertIn("clam (clamd): good", self.engines("--probe", "clam"))
        self.assertTrue(json.loads(self.engines("--json"))[0]["servers"][0]["up"])
        self.assertEqual(answers, [])
        self.fake.set("good")
        waiting.join()
        # It was cut off, but the server answers: one message does not switch it off for the others.
        self.assertEqual(answers, ["451"])
        self.assertTrue(self.clean())

    def test_commands(self):
        self.engines("--probe", "nobody", status=69)
        self.assertIn("up; ", self.engines("--probe"))
        self.fake.set("silent")
        # The daemon answers other commands while servers are being tried.
        probing = threading.Thread(target=lambda: self.engines("--probe", "clam", status=1))
        probing.start()
        process.wait_until(lambda: self.fake.hanging > 0, "the probe to hang")
        self.assertEqual(self.daemon.status()["engines"][0]["name"], "clam")
        probing.join()

    def test_failover(self):
        second = engines.FakeClamd()
        self.addCleanup(second.close)
        self.daemon.write(rules=FILTERS[1:3], config={"engines": {"clam": {"type": "clamd", "servers": ["unix:/nowhere", second.place]}},
                                                      "flows": [{"name": "inbound", "inspect": ["clam"]}]})
        self.daemon.reload()
        before = len(self.daemon.log_text())
        self.assertTrue(self.clean())
        self.assertEqual(self.say(INFECTED)[0], "550")
        self.assertEqual(self.daemon.lines("Engine clam has no server", before), [])
        self.daemon.wait_log("Engine clam server unix:/nowhere does not answer.*engine-server-down")


if __name__ == "__main__":
    unittest.main(verbosity=2)
