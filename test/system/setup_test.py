#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posternd and postern in the surroundings an administrator gives them: rights of the sockets, a user without privileges, a TCP
socket, `postern doctor` on the configuration of real mail servers, messages being worked on, and what contrib/quickstart shows."""
import contextlib
import glob
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import milter  # noqa: E402
from support import smtp  # noqa: E402
from support.daemon import BIN, SANITIZER_OPTIONS  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import SOURCE, free_port, listening  # noqa: E402
from support.world import World, scratch  # noqa: E402

MARK = "filters: [{name: mark, if: 'true', then: [{insert-header: {name: X-Hit, value: '1'}}]}]"
MESSAGE = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: s\r\n\r\nHello\r\n"


class Setup(unittest.TestCase):
    def daemon(self, socket=None, **options):
        directory = scratch()
        daemon = Posternd(directory, socket or os.path.join(directory, "milter.sock"), **options)
        self.addCleanup(daemon.discard)
        return daemon

    def judged(self, address):
        with milter.Mta(address) as mta:
            mta.connect()
            _, result = mta.message([("Subject", " s")], b"x\r\n")
            self.assertEqual(len(result.edits), 1)

    def test_socket_rights(self):
        daemon = self.daemon(group="uucp", rules=MARK, config={"listen": {"mode": "0660"}})
        daemon.start()
        found = os.stat(daemon.socket)
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o660, pwd.getpwnam("uucp").pw_gid))
        self.assertEqual(stat.S_IMODE(os.stat(daemon.control).st_mode) & 0o007, 0)
        # It listens on nothing else.
        with open(f"/proc/{daemon.pid}/net/tcp") as table:
            ours = set()
            for path in glob.glob(f"/proc/{daemon.pid}/fd/*"):
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    ours.add(os.readlink(path))
            inodes = {"socket:[%s]" % line.split()[9] for line in table.readlines()[1:]}
        self.assertEqual(ours & inodes, set())
        daemon.stop()

    def test_drops_privileges(self):
        """Started as root with `user`, it keeps neither uid nor groups nor capabilities of root, and cannot get them back."""
        user = pwd.getpwnam("nobody")
        daemon = self.daemon(rules=MARK, config={"user": "nobody", "group": "daemon"})
        os.chown(os.path.join(daemon.directory, "spool"), user.pw_uid, -1)
        os.chown(daemon.directory, user.pw_uid, -1)
        daemon.start()
        with open(f"/proc/{daemon.pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(set(status["Uid"].split()), {str(user.pw_uid)})
        self.assertEqual(set(status["Gid"].split()), {str(pwd.getpwnam("daemon").pw_gid)})
        self.assertNotIn("0", status["Groups"].split())
        self.assertEqual(int(status["CapEff"], 16), 0)
        self.assertEqual(int(status["CapPrm"], 16), 0)
        self.judged(daemon.socket)
        # Memory alone does not hold this: the spool folder must be usable too.
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            _, result = mta.message([("Subject", " s")], b"x" * 3000000)
            self.assertEqual(len(result.edits), 1)
        daemon.stop()

    def test_tcp_socket(self):
        port = free_port()
        daemon = self.daemon(socket=f"inet:{port}@127.0.0.1", rules=MARK)
        daemon.start()
        self.assertTrue(listening(port))
        self.judged(f"inet:{port}@127.0.0.1")
        daemon.stop()

    def test_workqueue_count(self):
        """The count is of the messages posternd is working on, whoever sends them."""
        daemon = self.daemon(rules="filters: [{name: busy, if: 'workqueue-count >= 3', then: [{defer: 'busy'}]}]")
        daemon.start()
        others = [milter.Mta(daemon.socket) for _ in range(3)]
        for mta in others:
            mta.connect()
            mta.mail()
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            self.assertEqual(mta.message([("Subject", " s")], b"x\r\n")[1].reply, "451 4.7.1 busy")
        for mta in others:
            mta.close()
        daemon.stop()

    def doctor(self, daemon, *arguments):
        run = daemon.command("doctor", "-c", daemon.config_file, "--json", *arguments, check=False)
        self.assertIn(run.returncode, (0, 1), run.stderr.decode())
        return run.returncode, run.stdout.decode()

    def test_doctor_on_postfix(self):
        """Content with the configuration the tests run on; not with the same one that lets mail through when posternd is away."""
        world = World("postfix", rules=MARK)
        self.addCleanup(world.close)
        status, text = self.doctor(world.daemon, "--postfix-config", world.mta.config)
        self.assertEqual(status, 0, text)
        main = os.path.join(world.mta.config, "main.cf")
        with open(main) as file:
            safe = file.read()
        with open(main, "w") as file:
            file.write(safe.replace("milter_default_action = tempfail", "milter_default_action = accept"))
        status, text = self.doctor(world.daemon, "--postfix-config", world.mta.config)
        self.assertEqual(status, 1, text)
        self.assertIn("milter_default_action", text)
        json.loads(text)
        world.daemon.stop()

    def test_doctor_on_sendmail(self):
        world = World("sendmail", rules=MARK)
        self.addCleanup(world.close)
        status, text = self.doctor(world.daemon, "--mta", "sendmail", "--sendmail-cf", world.mta.config)
        self.assertEqual(status, 0, text)
        with open(world.mta.config) as file:
            safe = file.read()
        with open(world.mta.config, "w") as file:
            file.write(safe.replace("F=T, ", ""))
        status, text = self.doctor(world.daemon, "--mta", "sendmail", "--sendmail-cf", world.mta.config)
        self.assertEqual(status, 1, text)
        world.daemon.stop()

    def test_unsafe_setting_seen(self):
        """Why tempfail: with "accept" a message passes unfiltered while posternd is away, with "tempfail" it waits."""
        for action, code in (("tempfail", 451), ("accept", 250)):
            world = World("postfix", rules=MARK, default_action=action)
            self.addCleanup(world.close)
            world.daemon.stop()
            replies, _ = world.send(MESSAGE)
            reply = replies.get("message") or replies.get("mail") or replies["helo"]
            self.assertEqual(reply.code, code, str(reply))

    def test_parallel_connections(self):
        """40 connections at once through Postfix, each with several messages: all are marked, none is mixed up with another."""
        world = World("postfix", rules="filters: [{name: mark, if: 'true', then: "
                      "[{insert-header: {name: X-Copy, value: \"$Header['X-Own'] $EnvelopeFrom\"}}]}]")
        self.addCleanup(world.close)
        problems = []

        def sender(number):
            try:
                with smtp.Client(world.mta.port, f"127.0.3.{number + 1}") as client:
                    client.read()
                    client.ehlo()
                    for turn in range(3):
                        name = f"s{number}-{turn}"
                        client.command(f"MAIL FROM:<{name}@x.test>")
                        client.command("RCPT TO:<b@y.test>")
                        reply = client.data(b"X-Own: " + name.encode() + b"\r\n" + MESSAGE)[1]
                        if not reply.ok:
                            problems.append(str(reply))
            except Exception as error:
                problems.append(repr(error))

        threads = [threading.Thread(target=sender, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        deliveries = world.sink.wait_for(lambda all_of_them: len(all_of_them) >= 120 and all_of_them, "120 messages")
        for delivery in deliveries:
            own = delivery.values("X-Own")[0].strip()
            self.assertEqual(delivery.values("X-Copy"), [f" {own} {own}@x.test"])
        world.daemon.stop()

    def test_quickstart(self):
        """The part of contrib/quickstart that runs mail: its table tells what its rules do."""
        environment = dict(os.environ, POSTERN_BIN=BIN, COLUMNS="150", **SANITIZER_OPTIONS)
        environment["POSTERN_QUICKSTART_PID"] = os.path.join(scratch(), "pid")
        run = subprocess.run(["/usr/bin/python3", os.path.join(SOURCE, "contrib", "quickstart.d", "show.py")], env=environment,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        text = run.stdout.decode()
        self.assertEqual(run.returncode, 0, text)
        flat = re.sub(r"[\s|]+", " ", text)
        for pattern in ("changed Subject: \\[outside\\] Monday", "removed the attachment game\\.exe", "MAIL: 553 5\\.7\\.1", "blocked-sender",
                        "RCPT: 550 5\\.1\\.1", "held in Postfix's quarantine", "451 4\\.7\\.1", "copy to archive@example\\.org",
                        "thrown away silently", "All stopped and removed"):
            self.assertRegex(flat, pattern)
        directory = re.search(r"posternd on (/\S+?)/queue/", text).group(1)
        self.assertFalse(os.path.exists(directory), "the files are left behind")


if __name__ == "__main__":
    unittest.main(verbosity=2)
