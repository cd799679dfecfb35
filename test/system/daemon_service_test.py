#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posternd as a service: what it tells systemd, signals, log rotation, the control socket without descriptors, whose rights it has, TCP, and
the unit file: checked by systemd-analyze, and the daemon run under the system call filter and without the rights that it takes away."""
import grp
import json
import os
import pwd
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import milter, posternd  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import SOURCE, free_port, wait_until  # noqa: E402
from support.world import scratch  # noqa: E402

MARK = [{"name": "mark", "if": "true", "then": [{"insert-header": {"name": "X-Hit", "value": "1"}}]}]
UNIT = os.path.join(SOURCE, "contrib", "systemd", "posternd.service")
HEAD = [("From", " a@example.org"), ("Subject", " s")]


def served(address):
    """Sends one message; it must get its header field."""
    with milter.Mta(address) as mta:
        mta.connect()
        step, result = mta.message(HEAD, b"x\r\n")
        return step == "message" and any(letter in (milter.ADD_HEADER, milter.INSERT_HEADER) for letter, _ in result.edits)


class Service(unittest.TestCase):
    def daemon(self, directory=None, listen=None, start=True, **options):
        directory = directory or scratch()
        daemon = Posternd(directory, listen or os.path.join(directory, "milter.sock"), rules=MARK, **options)
        self.addCleanup(daemon.discard)
        return daemon.start() if start else daemon

    def environment(self, **values):
        for name, value in values.items():
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name, None)

    def test_systemd_is_told(self):
        directory = scratch()
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        notify.bind(os.path.join(directory, "notify"))
        notify.settimeout(20)
        self.environment(NOTIFY_SOCKET=os.path.join(directory, "notify"), WATCHDOG_USEC="600000")

        def until(word):
            """What was told up to a message with this word; pings come all the time."""
            told = []
            while not told or word not in told[-1]:
                told.append(notify.recv(4096).decode())
            return told

        daemon = self.daemon(directory)
        self.assertIn("READY=1", until("READY=1")[-1])
        until("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGHUP)
        self.assertIn("MONOTONIC_USEC=", until("RELOADING=1")[-1])
        self.assertIn("generation 2", until("READY=1")[-1])
        # Without its socket nobody can reach the daemon, so it must not say that it is well.
        os.rename(daemon.socket, daemon.socket + ".away")
        daemon.wait_log(r"\[watchdog-failed\]")
        notify.setblocking(False)
        try:
            while True:
                notify.recv(4096)
        except BlockingIOError:
            pass
        daemon.wait_log(r"\[watchdog-failed\]", after=len(daemon.log_text()))
        with self.assertRaises(BlockingIOError):
            notify.recv(4096)
        notify.settimeout(20)
        os.rename(daemon.socket + ".away", daemon.socket)
        until("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGTERM)
        until("STOPPING=1")
        self.assertEqual(daemon.process.wait(), 0)
        self.assertEqual(len(daemon.lines(r"\[stopping\]|\[stopped\]")), 2)

    def test_a_thousand_hangups_end_nothing(self):
        """libmilter itself would end on the first SIGHUP."""
        daemon = self.daemon()
        generator = random.Random(1)
        for _ in range(1000):
            daemon.process.send_signal(signal.SIGHUP)
            if generator.random() < 0.3:
                daemon.process.send_signal(signal.SIGUSR1)
            if generator.random() < 0.5:
                time.sleep(generator.random() * 0.002)  # only spreads the signals; nothing waits for it
        daemon.wait_log(r"\[reload-done\]")
        daemon.wait_log(r"\[log-reopened\]")
        self.assertTrue(served(daemon.socket))
        daemon.stop()

    def test_log_rotation_and_a_bad_log_target(self):
        directory = scratch()
        log = os.path.join(directory, "postern.log")
        daemon = self.daemon(directory, config={"log": {"to": "file:" + log}}, start=False)
        daemon.log = log
        daemon.start()
        os.rename(log, log + ".1")
        daemon.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(log) and "[log-reopened]" in daemon.log_text(), "the new log file")
        self.assertEqual(os.stat(log).st_mode & 0o777, 0o640)
        daemon.write({"log": {"to": "file:" + os.path.join(directory, "missing", "postern.log")}}, MARK)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_log(r"\[log-target-failed\]")
        self.assertTrue(served(daemon.socket))
        daemon.write({"log": {"to": "nowhere"}}, MARK)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_log(r"\[reload-failed\]")
        daemon.stop()

    def test_second_signal_ends_at_once(self):
        daemon = self.daemon()
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            mta.mail()
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait_log(r"\[stopping\]")
            self.assertTrue(daemon.process.alive())
            wait_until(lambda: not os.path.exists(daemon.socket), "the socket to go")
            daemon.process.send_signal(signal.SIGINT)
            self.assertEqual(daemon.process.wait(), 0)
        daemon.wait_log(r"1 messages unfinished.*\[not-drained\]")

    def test_control_socket_without_descriptors(self):
        daemon = self.daemon()
        self.assertEqual(daemon.status()["generation"], 1)
        limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        # Three are always open, so with that limit no number is free, whichever of the others are being closed.
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.control)
            client.sendall(b'{"command":"reload"}\n')
            daemon.wait_log(r"\[control-failed\]")
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
            client.settimeout(20)
            answer = b""
            while not answer.endswith(b"\n"):
                answer += client.recv(65536)
        self.assertTrue(json.loads(answer)["ok"])
        daemon.wait_log(r"\[control-request\]")
        self.assertTrue(served(daemon.socket))
        daemon.stop()

    def test_a_slow_control_client_is_let_go(self):
        daemon = self.daemon()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.control)
            client.sendall(b'{"command":')
            client.settimeout(20)
            self.assertIn(b"error", client.recv(4096))
            self.assertEqual(client.recv(4096), b"")
        self.assertEqual(daemon.status()["generation"], 1)
        daemon.stop()

    def test_root_is_given_up(self):
        self.assertEqual(os.geteuid(), 0, "this test needs root, as the mail servers of the others do")
        directory = scratch()
        user = pwd.getpwnam("nobody")
        group = grp.getgrnam("mail")
        for path in (directory, os.path.join(directory, "rules.d"), os.path.join(directory, "spool")):
            os.makedirs(path, exist_ok=True)
            os.chown(path, user.pw_uid, user.pw_gid)
            os.chmod(path, 0o755)
        daemon = self.daemon(directory, group="mail", config={"user": "nobody"})
        with open(f"/proc/{daemon.pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(set(status["Uid"].split()), {str(user.pw_uid)})
        self.assertEqual(set(status["Gid"].split()), {str(user.pw_gid)})
        self.assertEqual(status["Groups"].split(), [str(user.pw_gid)])
        self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16), 0)
        self.assertEqual(status["NoNewPrivs"], "1")
        info = os.stat(daemon.socket)
        self.assertEqual((info.st_gid, info.st_mode & 0o777), (group.gr_gid, 0o660))
        self.assertTrue(served(daemon.socket))
        daemon.reload()
        daemon.stop()

    def test_tcp_is_served_where_it_is_written(self):
        port = free_port()
        daemon = self.daemon(listen=f"inet:{port}@127.0.0.1")
        self.assertTrue(served(f"inet:{port}@127.0.0.1"))
        with open("/proc/net/tcp") as file:
            listening = [line.split()[1] for line in file if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")]
        self.assertEqual(listening, [f"0100007F:{port:04X}"])
        second = self.daemon(listen=f"inet:{port}@127.0.0.1", start=False)
        self.assertIn(second_status(second), (69, 77))
        everywhere = self.daemon(listen=f"inet:{free_port()}", start=False)
        self.assertEqual(second_status(everywhere), 78)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.process.wait(), 0)


def second_status(daemon):
    """Exit status of a daemon that is expected not to start."""
    return subprocess.run([os.path.join(posternd.BIN, "posternd"), "-c", daemon.config_file], timeout=60, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, **posternd.SANITIZER_OPTIONS)).returncode


def unit_values(key):
    with open(UNIT, encoding="utf-8") as file:
        return [line.split("=", 1)[1].strip() for line in file if line.startswith(key + "=")]


def system_calls(name):
    """The system calls of a systemd group, or the one."""
    if not name.startswith("@"):
        return {name}
    found = set()
    listing = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in listing.splitlines()[1:]:
        word = line.strip()
        if word and not word.startswith("#"):
            found |= system_calls(word)
    return found


def allowed_calls():
    """What the unit's SystemCallFilter lines leave, in their order."""
    allowed = set()
    for value in unit_values("SystemCallFilter"):
        deny = value.startswith("~")
        for word in value.lstrip("~").split():
            calls = system_calls(word)
            allowed = allowed - calls if deny else allowed | calls
    return allowed


def seccomp_program():
    """A BPF program that allows these calls and gives EPERM for the rest."""
    header = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)\n", header)}
    program = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # load the call's number
    for name in sorted(allowed_calls()):
        if name in numbers:
            program.append(struct.pack("HBBI", 0x15, 0, 1, numbers[name]))
            program.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    program.append(struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | 1))
    return b"".join(program), len(program)


WRAPPER = """#!/usr/bin/python3
import ctypes, os, sys
program = bytes.fromhex("{program}")
buffer = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
os.setgroups([])
os.setgid({gid})
os.setuid({uid})
zero = ctypes.c_ulong(0)
assert libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0
filter = Filter({length}, ctypes.addressof(buffer))
assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(filter), zero, zero) == 0, ctypes.get_errno()
os.execv("{binary}", ["posternd"] + sys.argv[1:])
"""


class Unit(unittest.TestCase):
    def test_systemd_finds_nothing_wrong(self):
        directory = scratch()
        with open(UNIT, encoding="utf-8") as file:
            text = file.read()
        for installed, built in (("/usr/sbin/posternd", "posternd"), ("/usr/bin/postern", "postern")):
            self.assertIn(installed, text)
            text = text.replace(installed + " ", os.path.join(posternd.BIN, built) + " ")
        text = "\n".join(line for line in text.splitlines() if not line.startswith("Documentation="))
        unit = os.path.join(directory, "posternd.service")
        with open(unit, "w") as file:
            file.write(text + "\n")
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=60)
        own = [line for line in result.stdout.splitlines() if "posternd.service" in line and "postern" in line]
        self.assertEqual(own, [], result.stdout)
        result = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stdout[-3000:])

    def test_what_the_daemon_needs_is_left_to_it(self):
        self.assertEqual(unit_values("MemoryDenyWriteExecute") + unit_values("PrivateUsers"), [])
        self.assertEqual(unit_values("Type"), ["notify"])

    def test_the_daemon_works_under_the_units_restrictions(self):
        """The unit's system call filter, no new privileges, no rights, and nothing writable but its own folders."""
        user = pwd.getpwnam("nobody")
        directory = scratch()
        program, length = seccomp_program()
        wrapped = os.path.join(directory, "bin")
        os.makedirs(wrapped)
        path = os.path.join(wrapped, "posternd")
        with open(path, "w") as file:
            file.write(WRAPPER.format(program=program.hex(), length=length, uid=user.pw_uid, gid=user.pw_gid,
                                      binary=os.path.join(posternd.BIN, "posternd")))
        os.chmod(path, 0o755)
        work = os.path.join(directory, "work")
        rules = MARK + [{"name": "text", "if": 'body-contains("needle")', "then": [{"add-footer": "found"}]}]
        daemon = Posternd(work, os.path.join(work, "milter.sock"), config={"limits": {"spool-memory": "64k"}}, rules=rules)
        self.addCleanup(daemon.discard)
        for folder in (directory, work, os.path.join(work, "rules.d"), os.path.join(work, "spool")):
            os.chmod(folder, 0o755)
        for folder in (work, os.path.join(work, "spool")):
            os.chown(folder, user.pw_uid, user.pw_gid)
        original, posternd.BIN = posternd.BIN, wrapped
        try:
            daemon.start()
        finally:
            posternd.BIN = original
        with open(f"/proc/{daemon.pid}/status") as file:
            status = file.read()
        self.assertRegex(status, r"Seccomp:\t2")
        self.assertRegex(status, r"NoNewPrivs:\t1")
        with milter.Mta(daemon.socket) as mta:
            mta.connect()
            body = b"x" * 70 + b"\r\n"
            step, result = mta.message(HEAD, body * 3000 + b"needle\r\n")  # larger than what stays in memory
            self.assertEqual(step, "message")
            self.assertIn(b"found", b"".join(data for letter, data in result.edits if letter == milter.REPLACE_BODY))
        daemon.reload()
        self.assertEqual(daemon.status()["generation"], 2)
        daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
