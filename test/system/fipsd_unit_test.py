#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fipsd's systemd units: sound, tight, in step with the defaults of fipsd.yaml; fipsd does all its work under what they restrict, and takes
the sockets that systemd opened."""
import glob
import os
import pwd
import re
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import confine  # noqa: E402
from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.daemon import BIN  # noqa: E402
from support.process import SOURCE, wait_until  # noqa: E402
from support.world import scratch  # noqa: E402

FOLDER = os.path.join(SOURCE, "contrib", "systemd")
SERVICE = os.path.join(FOLDER, "fipsd.service")
SOCKETS = sorted(glob.glob(os.path.join(FOLDER, "fipsd-*.socket")))
NO_LEAK_CHECK = {"ASAN_OPTIONS": "exitcode=99:detect_leaks=0"}  # it wants ptrace


def values(path, key):
    with open(path, encoding="utf-8") as file:
        return [line.split("=", 1)[1].strip() for line in file if line.startswith(key + "=")]


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)


class Unit(unittest.TestCase):
    def copies(self):
        """The units with the program of this build in them."""
        directory = scratch()
        paths = []
        for path in (SERVICE, *SOCKETS):
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("/usr/sbin/fipsd", os.path.join(BIN, "fipsd"))
            paths.append(os.path.join(directory, os.path.basename(path)))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.write(text)
        return paths

    def test_verify(self):
        done = run("systemd-analyze", "verify", "--man=no", *self.copies())
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        self.assertNotIn("fipsd", done.stdout.decode())

    def test_exposure(self):
        """systemd's own measure, from 0 (nothing is exposed) to 10, here in tenths."""
        done = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=8", self.copies()[0])
        self.assertEqual(done.returncode, 0, done.stdout.decode()[-400:])
        print("exposure " + re.search(r"exposure level for \S+: ([\d.]+)", done.stdout.decode()).group(1))

    def test_what_fipsd_needs_is_left_to_it(self):
        self.assertEqual(values(SERVICE, "PrivateUsers"), [])
        self.assertEqual(values(SERVICE, "Type"), ["notify"])
        self.assertEqual(values(SERVICE, "LimitCORE"), ["0"])
        self.assertEqual(values(SERVICE, "RestrictAddressFamilies"), ["AF_UNIX"])
        self.assertEqual(values(SERVICE, "Environment"), ["OPENSSL_CONF=/dev/null"])
        self.assertEqual(set(values(SERVICE, "Sockets")[0].split()), {os.path.basename(path) for path in SOCKETS})

    def test_the_socket_units_are_the_defaults(self):
        empty = os.path.join(scratch(), "fipsd.yaml")
        open(empty, "w").close()
        done = subprocess.run([os.path.join(BIN, "fipsconfig"), "-c", empty, "check", "--dump"], stdout=subprocess.PIPE, check=True,
                              env={**os.environ, **NO_LEAK_CHECK})
        classes = yaml.safe_load(done.stdout)["sockets"]
        self.assertEqual({values(path, "FileDescriptorName")[0] for path in SOCKETS}, set(classes))
        for path in SOCKETS:
            name = values(path, "FileDescriptorName")[0]
            self.assertEqual(values(path, "ListenSequentialPacket"), classes[name]["paths"])
            self.assertEqual(values(path, "SocketMode"), [classes[name]["mode"]])
            self.assertEqual(values(path, "SocketGroup"), [classes[name]["group"] or "root"])
            self.assertEqual(values(path, "Service"), ["fipsd.service"])

    def test_works_under_its_restrictions(self):
        """Keys of every type made, used in self-tests, backed up, destroyed and restored: all with the unit's system calls, address
        families, user without capabilities and no new privileges."""
        own = {"group": "daemon"}
        fipsd = Fipsd(scratch(), config={"sockets": {"milter": own, "postfix": own}})
        self.addCleanup(fipsd.discard)
        user = pwd.getpwnam("nobody").pw_uid
        for folder in (fipsd.directory, fipsd.state, fipsd.tokens, fipsd.audit_directory):
            os.chown(folder, user, -1)
        fipsd.start(prefix=["/usr/bin/python3", confine.__file__, SERVICE, "nobody", "daemon"], environment=NO_LEAK_CHECK)
        with open(f"/proc/{fipsd.pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual((int(status["CapEff"], 16), int(status["CapPrm"], 16)), (0, 0))
        fipsd.initialise()
        for kind in ("rsa", "p256", "p384", "ed25519"):
            fipsd.generate("k-" + kind, kind, "tls-server")
        fipsd.fipsconfig("selftest", password=PASSWORD)
        fipsd.fipsconfig("cert", "self-sign", "k-p256", "--subject", "CN=x", password=PASSWORD)
        backup = os.path.join(fipsd.directory, "keys.xml")
        fipsd.fipsconfig("backup", backup, password=PASSWORD, more=["another long password"])
        fipsd.fipsconfig("key", "destroy", "k-rsa", "--yes", password=PASSWORD)
        fipsd.fipsconfig("zeroise", "--yes", password=PASSWORD)
        fipsd.initialise()
        fipsd.fipsconfig("restore", backup, password=PASSWORD, more=["another long password"])
        self.assertEqual(fipsd.status()["keys"], 4)
        fipsd.fipsconfig("audit", "verify")
        fipsd.stop()

    def test_socket_activation(self):
        fipsd = Fipsd(scratch())
        self.addCleanup(fipsd.discard)
        # The paths in the configuration are not those of the sockets, so only what is passed can answer.
        config = {"sockets": {name: {"paths": [os.path.join(fipsd.directory, "unused-" + name)]} for name in ("milter", "postfix", "officer")}}
        fipsd.write(config)
        activate = ["systemd-socket-activate", "--seqpacket", "--fdname=milter:officer"]
        for path in (fipsd.milter_socket, fipsd.officer_socket):
            activate += ["-l", path]
        fipsd.start(prefix=activate, wait=False)
        # systemd-socket-activate starts fipsd at the first connection, which fipsd then answers.
        self.wait_for_listener(fipsd.officer_socket)
        done = fipsd.fipsconfig("status", "--json", "--socket", fipsd.officer_socket)
        self.assertIn(b'"uninitialised"', done.stdout)
        fipsd.fipsconfig("init", "--socket", fipsd.officer_socket, password=PASSWORD)
        self.assertFalse(os.path.exists(os.path.join(fipsd.directory, "unused-officer")))
        fipsd.stop()

    def wait_for_listener(self, path):
        def listens():
            with open("/proc/net/unix") as table:
                return any(line.endswith(" " + path + "\n") and line.split()[3] == "00010000" for line in table)
        wait_until(listens, "a socket at " + path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
