#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The officer's password and what three wrong ones do, on a real fipsd with SoftHSM2: one after another, at the same time, across
restarts and kills; sessions and their ends; what is on record afterwards."""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.fipsd_client import EDDSA, NONE, PKCS1, SHA256, FipsdClient, secret_body, text  # noqa: E402
from support.process import temporary_directory, wait_until  # noqa: E402

WRONG = "not the right password"
DIGEST = bytes(range(32))


class Officer(unittest.TestCase):
    def setUp(self):
        self.directory = temporary_directory("postern-officer-")
        self.fipsd = Fipsd(os.path.join(self.directory, "fipsd")).start().initialise()

    def tearDown(self):
        self.fipsd.discard()
        shutil.rmtree(self.directory, ignore_errors=True)

    def officer(self):
        return FipsdClient(self.fipsd.officer_socket)

    def login(self, password=PASSWORD, client=None):
        client = client or self.officer()
        status, body = client.ask("login", secret_body(password))
        return client, status, body

    def records(self):
        done = self.fipsd.fipsconfig("audit", "show", "--json")
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def assert_zeroised(self):
        status = self.fipsd.status()
        self.assertEqual(status["state"], "zeroised")
        self.assertEqual(status["keys"], 0)
        client = FipsdClient(self.fipsd.milter_socket)
        answer, body = client.sign("dkim-a", PKCS1, SHA256, DIGEST)
        self.assertEqual(answer, "zeroised", body)
        self.assertIn(b"destroyed", body)
        client.close()
        for name in ("kek", "officer", "catalogue", "zeroising"):
            self.assertFalse(os.path.exists(os.path.join(self.fipsd.state, name)), name)

    def assert_attempts(self, count):
        """Exactly `count` passwords were looked at, by the audit log, whose chain holds."""
        self.assertEqual(sum(1 for record in self.records() if record["action"] == "login" and record["result"] == "refused"), count)
        self.fipsd.fipsconfig("audit", "verify")

    def test_three_in_a_row(self):
        self.fipsd.generate("dkim-a")
        milter = FipsdClient(self.fipsd.milter_socket)
        self.assertEqual(milter.sign("dkim-a", PKCS1, SHA256, DIGEST)[0], "ok")
        waiting = self.officer()
        begun = time.monotonic()
        _, status, body = self.login(WRONG)
        self.assertEqual(status, "wrong-password")
        self.assertIn(b"2 attempts left", body)
        self.assertGreaterEqual(time.monotonic() - begun, 1.0)  # the delay is a promise, not a measurement
        _, status, body = self.login(WRONG)
        self.assertEqual(status, "wrong-password")
        self.assertIn(b"1 attempt left", body)
        self.assertEqual(self.fipsd.status()["attempts_left"], 1)
        _, status, body = self.login(WRONG)
        self.assertEqual(status, "zeroised")
        self.assertIn(b"third wrong officer password", body)
        # Others that were connected hear of it and are let go; the mail side keeps its connection and is told at each request.
        self.assertEqual(waiting.receive()[:2], (0, "zeroised"))
        self.assertIsNone(waiting.receive())
        self.assertEqual(milter.sign("dkim-a", PKCS1, SHA256, DIGEST)[0], "zeroised")
        self.assert_zeroised()
        self.assert_attempts(3)
        # A fourth is not looked at, and without a restart everything can begin again.
        self.assertEqual(self.login(PASSWORD)[1], "zeroised")
        self.assert_attempts(3)
        self.fipsd.initialise("another long password")
        self.fipsd.generate("dkim-b", "ed25519", password="another long password")
        self.assertEqual(milter.sign("dkim-b", EDDSA, NONE, DIGEST)[0], "ok")

    def test_right_password_starts_the_count_again(self):
        for _ in range(2):
            self.login(WRONG)
            self.login(WRONG)
            client, status, body = self.login()
            self.assertEqual(status, "ok")
            self.assertIn("2 wrong passwords", " ".join(json.loads(body)["warnings"]))
            client.close()
            wait_until(lambda: not self.fipsd.status()["officer_session"], "the session to end")
        self.assertEqual(self.fipsd.status()["failures"], 0)

    def test_three_processes_at_once(self):
        script = ("import sys; sys.path.insert(0, sys.argv[1]); from support.fipsd_client import *\n"
                  "client = FipsdClient(sys.argv[2]); sys.stdin.read(1)\n"
                  "for _ in range(3): print(client.ask('login', secret_body('wrong wrong wrong'))[0], flush=True)\n")
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        guessers = [subprocess.Popen([sys.executable, "-c", script, root, self.fipsd.officer_socket], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(3)]
        for guesser in guessers:
            guesser.stdin.write(b"x")
            guesser.stdin.flush()
        answers = [guesser.communicate(timeout=120)[0].decode().split() for guesser in guessers]
        self.assertEqual(sum(words.count("wrong-password") for words in answers), 2, answers)
        self.assert_zeroised()
        self.assert_attempts(3)

    def test_across_restart_and_kill(self):
        self.login(WRONG)
        self.fipsd.stop()
        self.fipsd.start()
        self.assertEqual(self.fipsd.status()["failures"], 1)
        # Killed while it holds back the answer to the second: counted.
        client = self.officer()
        before = len(self.fipsd.log_text())
        client.send("login", secret_body(WRONG))
        self.fipsd.wait_log("Officer login refused", before)
        self.fipsd.kill()
        self.fipsd.start()
        self.assertEqual(self.fipsd.status()["failures"], 2)
        _, status, _ = self.login(WRONG)
        self.assertEqual(status, "zeroised")
        self.assert_zeroised()
        self.fipsd.kill()
        self.fipsd.start()
        self.assert_zeroised()
        self.assert_attempts(3)

    def test_lost_counter_is_one_attempt_left(self):
        self.fipsd.stop()
        os.unlink(os.path.join(self.fipsd.state, "failures"))
        self.fipsd.start()
        self.assertEqual(self.fipsd.status()["attempts_left"], 1)

    def test_consumers_cannot_be_counted(self):
        for path in (self.fipsd.milter_socket, self.fipsd.postfix_socket):
            client = FipsdClient(path)
            for verb in ("login", "zeroise", "initialise", "backup"):
                status, _ = client.ask(verb, secret_body(WRONG))
                self.assertIn(status, ("denied", "closed"), verb)
                if status == "closed":
                    client = FipsdClient(path)
            client.close()
        self.assertEqual(self.fipsd.status()["failures"], 0)
        self.assertEqual(self.fipsd.status()["state"], "operational")

    def test_without_login(self):
        client = self.officer()
        for verb, body in (("logout", b""), ("destroy", text("a")), ("backup", secret_body("x" * 12)), ("zeroise", secret_body(PASSWORD)),
                           ("self-test", b"")):
            self.assertEqual(client.ask(verb, body)[0], "login-required", verb)

    def test_one_session_that_ends_with_its_client(self):
        first, status, _ = self.login()
        self.assertEqual(status, "ok")
        self.assertEqual(self.fipsd.status()["state"], "officer")
        _, status, body = self.login(WRONG)
        self.assertEqual(status, "busy", body)
        self.assertEqual(self.fipsd.status()["failures"], 0)
        first.close()
        wait_until(lambda: self.fipsd.status()["state"] == "operational", "the session to end")
        second, status, _ = self.login()
        self.assertEqual(status, "ok")
        self.assertEqual(second.ask("logout")[0], "ok")
        self.assertEqual(second.ask("self-test")[0], "login-required")

    def test_idle_session_ends(self):
        self.fipsd.write({"officer-idle": "1s"})
        before = len(self.fipsd.log_text())
        self.fipsd.process.send_signal(signal.SIGHUP)
        self.fipsd.wait_log("[fipsd-reload-done]", before)
        client, status, _ = self.login()
        self.assertEqual(status, "ok")
        self.assertEqual(client.receive()[:2], (0, "login-required"))
        self.assertIsNone(client.receive())
        self.assertEqual(self.fipsd.status()["state"], "operational")

    def test_zeroise_asks_again(self):
        client, _, _ = self.login()
        self.assertEqual(client.ask("zeroise", secret_body(WRONG))[0], "wrong-password")
        self.assertEqual(self.fipsd.status()["failures"], 1)
        client, _, _ = self.login(client=self.officer())
        status, body = client.ask("zeroise", secret_body(PASSWORD))
        self.assertEqual((status, json.loads(body)["state"]), ("ok", "zeroised"))
        self.assert_zeroised()

    def test_every_attempt_is_on_record(self):
        environment = dict(os.environ, SSH_CONNECTION="192.0.2.7 50000 192.0.2.1 22")
        previous = os.environ.get("SSH_CONNECTION")
        os.environ.update(environment)
        try:
            self.fipsd.fipsconfig("selftest", password=PASSWORD)
            self.fipsd.fipsconfig("selftest", password=WRONG, check=False)
        finally:
            if previous is None:
                del os.environ["SSH_CONNECTION"]
            else:
                os.environ["SSH_CONNECTION"] = previous
        rows = [record for record in self.records() if record["action"] == "login"]
        self.assertEqual([row["result"] for row in rows][-2:], ["accepted", "refused"])
        for row in rows[-2:]:
            self.assertEqual(row["uid"], str(os.getuid()))
            self.assertIn("192.0.2.7", row["address"])
            self.assertIn("reported", row["address"])
        everything = self.fipsd.log_text() + json.dumps(self.records())
        for secret in (PASSWORD, WRONG):
            self.assertNotIn(secret, everything)

    def test_password_change(self):
        new = "an even longer password"
        self.fipsd.fipsconfig("passwd", password=PASSWORD, more=(new,))
        self.assertEqual(self.login(PASSWORD)[1], "wrong-password")
        self.assertEqual(self.login(new)[1], "ok")

    def test_password_policy(self):
        for bad in ("short", "x" * 20, "the-officer-is-here"):
            done = self.fipsd.fipsconfig("passwd", password=PASSWORD, more=(bad,), check=False)
            self.assertNotEqual(done.returncode, 0, bad)
        self.assertEqual(self.login(PASSWORD)[1], "ok")

    def test_mail_goes_on_during_delays(self):
        self.fipsd.generate("dkim-a")
        self.login(WRONG)
        answers = []
        guess = threading.Thread(target=lambda: answers.append(self.login(WRONG)[1]))  # held back for five seconds
        before = len(self.fipsd.log_text())
        guess.start()
        self.fipsd.wait_log("Officer login refused", before)
        client = FipsdClient(self.fipsd.milter_socket)
        for _ in range(5):
            self.assertEqual(client.sign("dkim-a", PKCS1, SHA256, DIGEST)[0], "ok")
        self.assertTrue(guess.is_alive())
        guess.join(60)
        self.assertEqual(answers, ["wrong-password"])


if __name__ == "__main__":
    unittest.main()
