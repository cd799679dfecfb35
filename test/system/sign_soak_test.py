#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Memory while very much is signed: POSTERN_SIGNATURES messages (a million by default), each with an RSA and an Ed25519 signature, among
them many that cannot be signed. posternd may not grow, fipsd not more than a bare loop of C_Sign in the same run, which loses some
bytes at each Ed25519 signature in SoftHSM2 itself."""
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.fipsd import Fipsd  # noqa: E402
from support.fipsd_client import PKCS1, SHA256, FipsdClient  # noqa: E402
from support.daemon import BIN  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import temporary_directory  # noqa: E402

MESSAGES = int(os.environ.get("POSTERN_SIGNATURES", "1000000"))
MEBIBYTE = 1 << 20


class Soak(unittest.TestCase):
    def test_memory_stays(self):
        directory = temporary_directory("postern-soak-")
        fipsd = Fipsd(os.path.join(directory, "fipsd"), {"audit": {"keep": 2}})
        socket = os.path.join(directory, "milter.sock")
        daemon = None
        try:
            fipsd.start().initialise()
            fipsd.generate("rsa")
            fipsd.generate("ed", "ed25519")
            profile = {"domain": "example.com", "keys": [{"selector": "r", "key": "rsa"}, {"selector": "e", "key": "ed"}]}
            config = {"keys": {"socket": fipsd.milter_socket}, "flows": [{"name": "outbound", "sign": ["example.com"]}]}
            good = {**config, "dkim": {"example.com": profile}}
            bad = {**config, "dkim": {"example.com": {**profile, "keys": [{"selector": "x", "key": "none"}]}}}
            daemon = Posternd(os.path.join(directory, "posternd"), socket, config=good)
            daemon.start()

            def load(count, expect):
                subprocess.run([os.path.join(BIN, "milterload"), "--socket", "unix:" + daemon.socket, "--messages", str(count), "--connections", "4",
                                *expect], check=True, stdout=subprocess.DEVNULL, timeout=7200)

            def mixed(count):
                client = FipsdClient(fipsd.milter_socket)
                for _ in range(max(1, count // 100)):
                    client.sign("no-such-key", PKCS1, SHA256, bytes(32))
                    client.sign("rsa", PKCS1, SHA256, bytes(31))
                client.close()
                load(count * 9 // 10, ["--expect-header", "DKIM-Signature"])
                # One message in ten cannot be signed: the key is unknown to fipsd.
                daemon.write(bad)
                daemon.reload()
                load(count // 10, ["--expect", "tempfail"])
                daemon.write(good)
                daemon.reload()

            mixed(max(2000, MESSAGES // 20))
            before = (daemon.rss(), fipsd.process.rss())
            mixed(MESSAGES)
            after = (daemon.rss(), fipsd.process.rss())
            bare = int(subprocess.run([os.path.join(BIN, "tokenbench"), "loop", str(MESSAGES)], check=True, stdout=subprocess.PIPE).stdout)
            grown = [now - then for then, now in zip(before, after)]
            print(f"{MESSAGES} messages: posternd grew {grown[0]} bytes, fipsd {grown[1]}, a bare loop {bare}")
            self.assertLessEqual(grown[0], MEBIBYTE)
            self.assertLessEqual(grown[1], bare + MEBIBYTE)
        finally:
            if daemon:
                daemon.discard()
            fipsd.discard()
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    unittest.main()
