#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each log identifier of posternd is provoked by what it stands for, over the milter socket, signals, the control socket and the service
manager's protocol. No mail server takes part. (What needs SMTP is looked for by the case files; what cannot be provoked from outside,
an exception in a callback and four minutes of work on one message, by unit tests.)"""
import contextlib
import os
import pathlib
import resource
import signal
import socket
import sqlite3
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import milter  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.world import scratch  # noqa: E402

RULES = """
filters:
  - {name: early, phase: connect, if: 'remote-ip == "192.0.2.66"', then: [{reject: "not welcome"}]}
  - {name: gone, phase: rcpt, if: 'rcpt-to == "^gone@"', then: [{reject: "no such user"}]}
  - {name: drop, if: 'subject == "drop"', then: [drop]}
  - {name: refuse, if: 'subject == "refuse"', then: [{reject: "refused"}]}
  - {name: defer, if: 'subject == "defer"', then: [{defer: "later"}]}
  - {name: hold, if: 'subject == "hold"', then: [{quarantine: Policy}]}
  - {name: trial, mode: observe, if: 'subject == "trial"', then: [drop]}
  - {name: marks, if: 'subject == "marks"', then: [{tag-message: marked}, {log-entry: "entry"}]}
  - {name: poison, on-unknown: skip, if: 'subject == "^(a+)+$"', then: [no-op]}
  - {name: footer, if: 'subject == "footer"', then: [{add-footer: "The footer"}]}
"""
SMALLER = "filters: [{name: sender, phase: mail, if: 'mail-from == \"^bad@\"', then: [{reject: 'no'}]}]"


class Events(unittest.TestCase):
    def daemon(self, rules=RULES, environment=None, **config):
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), rules=rules, config=config)
        self.addCleanup(daemon.discard)
        old = dict(os.environ)
        os.environ.update(environment or {})
        try:
            daemon.start()
        finally:
            os.environ.clear()
            os.environ.update(old)
        return daemon

    def seen(self, daemon, *identifiers, after=0):
        for identifier in identifiers:
            daemon.wait_log(r"\[" + identifier + r"\]$", after)

    def message(self, daemon, subject, body=b"text\r\n", recipients=("b@example.net",)):
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            mta.helo()
            return mta.message([("Subject", " " + subject)], body, recipients=recipients)

    def test_messages(self):
        daemon = self.daemon(regex={"match-limit": 1000, "depth-limit": 500, "heap-limit": "1M"})
        self.seen(daemon, "started")
        self.assertTrue(self.message(daemon, "plain")[1].goes_on)
        self.seen(daemon, "connection-new", "message-start", "message-from", "message-to", "message-subject", "message-ready",
                  "message-done", "connection-close")
        self.assertEqual(self.message(daemon, "drop")[1].letter, milter.DISCARD)
        self.seen(daemon, "message-dropped", "filter-match")
        self.assertEqual(self.message(daemon, "refuse")[1].reply, "550 5.7.1 refused")
        self.seen(daemon, "message-refused")
        self.assertEqual(self.message(daemon, "defer")[1].reply, "451 4.7.1 later")
        self.seen(daemon, "message-deferred")
        edits = self.message(daemon, "hold")[1].edits
        self.assertEqual([letter for letter, _ in edits], [milter.QUARANTINE])
        self.seen(daemon, "message-quarantined")
        self.message(daemon, "trial")
        self.seen(daemon, "filter-observed")
        self.message(daemon, "marks")
        self.seen(daemon, "filter-log-entry", "filter-tag")
        self.message(daemon, "a" * 40 + "b")
        self.seen(daemon, "filter-unknown")
        self.message(daemon, "plain", recipients=("gone@example.net", "b@example.net"))
        self.seen(daemon, "recipient-refused")
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            mta.message([("Message-ID", " <x@example.org>")], b"x\r\n")
        self.seen(daemon, "message-id")
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            mta.mail()
            mta.send(milter.ABORT)
            mta.send(milter.QUIT)
        self.seen(daemon, "message-aborted")
        with milter.Mta(daemon.socket) as mta:
            self.assertEqual(mta.connect(address="192.0.2.66").letter, milter.REPLY_CODE)
        self.seen(daemon, "connection-denied")
        self.seen_after_stop(daemon)

    def seen_after_stop(self, daemon):
        daemon.stop()
        self.seen(daemon, "stopping", "stopped")

    def test_limits(self):
        daemon = self.daemon(limits={"message-size": "1M", "memory": "2M", "spool-memory": "64k"},
                             rules="filters: [{name: text, if: 'body-contains(\"x\", 999999)', then: [no-op]}]")
        self.assertEqual(self.message(daemon, "plain", b"x" * 2000000)[1].reply[:9], "552 5.3.4")
        self.seen(daemon, "message-oversize")
        # Nothing can be spooled without the folder: a temporary answer, never an acceptance.
        os.rmdir(os.path.join(daemon.directory, "spool"))
        self.assertRegex(self.message(daemon, "plain", b"x" * 500000)[1].reply, "^451 4")
        self.seen(daemon, "message-failed")
        os.mkdir(os.path.join(daemon.directory, "spool"))
        daemon.write(config={"limits": {"message-size": "20M", "memory": "1M", "spool-memory": "10M"}},
                     rules="filters: [{name: text, if: 'body-contains(\"x\", 999999)', then: [no-op]}]")
        daemon.reload()
        self.assertEqual(self.message(daemon, "plain", b"x" * 3000000)[1].reply[:9], "451 4.3.2")
        self.seen(daemon, "message-over-memory")
        daemon.stop()

    def test_mta_goes_away_in_the_middle_of_the_answer(self):
        """The MTA closes while the edits are sent: a failure of that message, not of the daemon."""
        daemon = self.daemon()
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            mta.mail()
            mta.rcpt()
            mta.header("Subject", " footer")
            mta.body(b"a line of text\r\n" * 100000)
            # Nothing more can be written to us; what we sent can still be read.
            mta.connection.shutdown(socket.SHUT_RD)
            mta.send(milter.END)
            self.seen(daemon, "mta-call-failed")
        self.assertTrue(self.message(daemon, "plain")[1].goes_on)
        daemon.stop()

    def test_reload(self):
        daemon = self.daemon(rules=SMALLER)
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            daemon.write(rules=RULES)
            daemon.reload()
            self.seen(daemon, "reload-done")
            self.assertEqual(mta.mail().reply[:9], "421 4.3.2")
        self.seen(daemon, "connection-stale")
        daemon.write(rules="filters: 1")
        daemon.reload("failed")
        self.seen(daemon, "reload-failed")
        daemon.process.send_signal(signal.SIGUSR1)
        self.seen(daemon, "log-reopened")
        daemon.write(config={"log": {"to": "file:/nonexistent/posternd.log"}}, rules=RULES)
        daemon.process.send_signal(signal.SIGHUP)
        self.seen(daemon, "log-target-failed")
        daemon.stop()

    def test_log_file(self):
        """Lines go to the file named; after a rotation SIGUSR1 opens a new one."""
        path = os.path.join(scratch(), "mail.log")
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), rules=RULES, config={"log": {"to": "file:" + path}})
        self.addCleanup(daemon.discard)
        stderr, daemon.log = daemon.log, path
        daemon.start()
        self.message(daemon, "plain")
        self.seen(daemon, "message-done")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        os.rename(path, path + ".1")
        daemon.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(path), "the new log file")
        self.message(daemon, "marks")
        self.seen(daemon, "filter-tag")
        daemon.stop()
        with open(stderr, encoding="utf-8") as file:
            self.assertNotIn("MID", file.read())

    def test_log_rotation(self):
        """Files are moved aside by size, the oldest goes with a line; one that cannot be moved grows on."""
        path = os.path.join(scratch(), "mail.log")
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock"), rules=RULES,
                          config={"log": {"to": "file:" + path, "rotate-size": "8k", "rotate-time": "1d", "keep": 2}})
        self.addCleanup(daemon.discard)
        daemon.log = path
        daemon.start()

        def text():
            parts = []
            for end in (".2", ".1", ""):
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # just being moved, or in the way
                    parts.append(pathlib.Path(path + end).read_text(encoding="utf-8"))
            return "".join(parts)

        def until(identifier):
            for _ in range(200):
                self.message(daemon, "plain")
                if f"[{identifier}]" in text():
                    return
            self.fail(f"no {identifier}")
        until("log-file-removed")
        # The last lines of the message may just be moving them.
        wait_until(lambda: sorted(os.listdir(os.path.dirname(path))) == ["mail.log", "mail.log.1", "mail.log.2"], "three files")
        os.unlink(path + ".1")
        os.makedirs(os.path.join(path + ".1", "in the way"))
        os.unlink(path + ".2")
        os.makedirs(os.path.join(path + ".2", "in the way"))
        until("log-rotation-failed")
        daemon.stop()

    def test_control(self):
        daemon = self.daemon()
        daemon.status()
        daemon.command("reload", "-c", daemon.config_file)
        self.seen(daemon, "control-request")
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(daemon.control)
            stranger.sendall(b"\xff" * 100000)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(daemon.control)
            stranger.sendall(b"no such command\n")
            self.assertNotIn(b"generation", stranger.recv(65536))
        # Out of file descriptors: it says so and goes on when there are some again.
        # Three are always open, so with that limit no number is free, whichever of the others are being closed.
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(daemon.control)
            self.seen(daemon, "control-failed")
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        daemon.status()
        daemon.stop()

    def test_refused_mta(self):
        """An MTA that cannot do what the rules need has its mail deferred."""
        daemon = self.daemon()
        with milter.Mta(daemon.socket, actions=milter.ACTIONS["add-headers"]) as mta:
            result = mta.connect()
            if result.goes_on:
                result = mta.mail()
            self.assertRegex(result.reply, "^4")
        self.seen(daemon, "connection-refused")
        daemon.stop()

    def test_drain(self):
        """While a message is unfinished new ones get 421; a second SIGTERM ends the waiting, and says what was left."""
        daemon = self.daemon()
        with milter.Mta(daemon.socket) as busy, milter.Mta(daemon.socket) as idle:
            busy.connect()
            idle.connect()
            busy.mail()
            daemon.process.send_signal(signal.SIGTERM)
            self.seen(daemon, "stopping")
            self.assertEqual(idle.mail().reply[:3], "421")
            self.seen(daemon, "connection-draining")
            daemon.process.send_signal(signal.SIGTERM)
            self.seen(daemon, "not-drained")
            daemon.process.wait()

    def test_a_store_that_hangs_does_not_keep_the_stop(self):
        """Who holds the store's lock has the tracker wait; a second SIGTERM ends that, and the log is whole."""
        directory = scratch()
        path = os.path.join(directory, "postern.db")
        daemon = self.daemon(**{"store": "sqlite:" + path, "state-directory": directory, "tracking": {"keep": "7d"}})
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN EXCLUSIVE")
            self.message(daemon, "plain")
            daemon.process.send_signal(signal.SIGTERM)
            self.seen(daemon, "stopping")
            daemon.process.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.process.wait(), 0)
        self.seen(daemon, "stop-cut-short", "stopped")

    def test_service_manager(self):
        """Type=notify: READY after the socket is there, RELOADING and READY around a reload, WATCHDOG while the milter socket answers,
        STOPPING at the end."""
        path = os.path.join(scratch(), "notify")
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(path)
        said, lock = [], threading.Lock()

        def listen():
            while True:
                try:
                    data = manager.recv(65536).decode()
                except OSError:
                    return
                with lock:
                    said.extend(data.splitlines())

        threading.Thread(target=listen, daemon=True).start()
        self.addCleanup(manager.close)
        daemon = self.daemon(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "600000"})
        wait_until(lambda: "READY=1" in said, "READY")
        wait_until(lambda: said.count("WATCHDOG=1") >= 2, "two signs of life")
        self.assertFalse([line for line in said if line.startswith("STOPPING")])
        daemon.reload()
        wait_until(lambda: "RELOADING=1" in said and said.count("READY=1") >= 2, lambda: f"RELOADING and READY: {said}")
        # Another program's socket in its place: posternd is alive, but cannot be reached, so it must not say it is well.
        os.unlink(daemon.socket)
        # By the second time all is read that was said before the first.
        for _ in range(2):
            self.seen(daemon, "watchdog-failed", after=len(daemon.log_text()))
        count = said.count("WATCHDOG=1")
        for _ in range(2):
            self.seen(daemon, "watchdog-failed", after=len(daemon.log_text()))
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait()
        wait_until(lambda: [line for line in said if line.startswith("STOPPING")], lambda: f"STOPPING: {said}")
        self.assertLessEqual(said.count("WATCHDOG=1"), count + 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
