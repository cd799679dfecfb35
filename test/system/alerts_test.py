#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Alerts, by mail and webhook: told at once, then with growing waits, and once when it is over; nothing waits for them."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.process import free_port, wait_until  # noqa: E402
from support.scripted_smtp import ScriptedSmtp  # noqa: E402
from support.webhook import Webhook  # noqa: E402
from support.world import World  # noqa: E402

DATA = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: notice\r\n\r\nx\r\n"


class Alerts(unittest.TestCase):
    def make(self, port, profile):
        self.world = world = World(start=False)
        self.addCleanup(world.close)
        state = os.path.join(world.daemon.directory, "state")
        os.makedirs(state)
        world.daemon.base.update({"state-directory": state, "store": f"sqlite:{state}/postern.db", "alerts": {"ops": profile},
                                  "reinject": {"server": f"127.0.0.1:{port}", "retry-first": "1s", "retry-longest": "1s"}})
        world.daemon.write(None, [{"name": "notice", "if": 'subject == "^notice"', "then": [{"notify": "watch@y.test"}]}])
        world.daemon.start()
        world.mta.start()
        return world

    def test_webhook(self):
        hook = Webhook()
        self.addCleanup(hook.close)
        hook.status = 500
        port = free_port()
        world = self.make(port, {"webhook": hook.url, "first-wait": "1s"})
        replies, _ = world.send(DATA)
        self.assertEqual(replies["message"].code, 250)
        # What is not taken is tried again, and mail goes on meanwhile.
        world.daemon.wait_log("Alert 'ops' not sent by webhook, tried again in 5 s: HTTP status 500 .alert-failed.")
        hook.status = 204
        raised = wait_until(lambda: hook.seen("submit-down", "raised"), lambda: f"an alert: {hook.posted}")[0]
        self.assertEqual((raised["severity"], raised["class"], raised["profile"], raised["host"]), ("critical", "Mail", "ops", "gateway.test"))
        self.assertIn(f"127.0.0.1:{port}", raised["text"])
        # Reload errors are another event, which ends with the next good reload.
        with open(world.daemon.config_file, "a") as file:
            file.write("nonsense: 1\n")
        for _ in range(3):
            world.daemon.reload("failed")
        wait_until(lambda: hook.seen("reload-failed", "raised"), "reload-failed")
        # How many are told of together is a matter of time.
        wait_until(lambda: sum(alert["count"] for alert in hook.seen("reload-failed", "repeated")) == 2, lambda: f"two more: {hook.posted}")
        world.daemon.write(None, [{"name": "notice", "then": ["no-op"]}])
        world.daemon.reload()
        wait_until(lambda: hook.seen("reload-failed", "cleared"), "the end of it")
        taken = ScriptedSmtp(port=port)
        self.addCleanup(taken.close)
        cleared = wait_until(lambda: hook.seen("submit-down", "cleared"), lambda: f"the end of it: {hook.posted}")
        self.assertEqual(cleared[0]["severity"], "information")
        self.assertEqual(len(hook.seen("submit-down", "raised")), 1)
        wait_until(lambda: taken.taken, "the notice")
        world.daemon.wait_log("Alert 'ops' sent by webhook.*alert-sent")

    def test_mail(self):
        taken = ScriptedSmtp(".", "554 5.7.1 never")
        self.addCleanup(taken.close)
        world = self.make(taken.port, {"mail": ["ops@y.test"], "events": ["mail-failed", "outbox-failed", "keep-failed"]})
        world.send(DATA)
        world.daemon.wait_log("kept as failed")
        world.daemon.wait_log("Alert 'ops' sent by mail")
        taken.at = None
        done = world.daemon.command("outbox", "list", "-c", world.daemon.config_file, "--json")
        self.assertIn("notify", [mail["kind"] for mail in json.loads(done.stdout)["mails"]])
        world.daemon.command("outbox", "retry", "--failed", "-c", world.daemon.config_file)
        wait_until(lambda: [mail for mail in taken.taken if mail[1] == ["watch@y.test"]], "the notice")
        alert = wait_until(lambda: [mail for mail in taken.taken if mail[1] == ["ops@y.test"]], lambda: f"the alert {taken.taken}")[0]
        # An alert that the server refuses is no reason for an alert.
        self.assertEqual(len([mail for mail in taken.taken if mail[1] == ["ops@y.test"]]), 1)
        self.assertEqual(alert[0], "")
        self.assertIn(b"\r\nSubject: [Critical]-[gateway.test]: (Mail) mail-failed notify\r\n", alert[2])
        self.assertIn(b"kept as failed: ", alert[2])


if __name__ == "__main__":
    unittest.main(verbosity=2)
