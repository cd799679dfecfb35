#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every line that fipsd logs is provoked on a real fipsd: what an administrator does and what goes wrong. The token is SoftHSM2 behind
a module that can pull it out, put it back, or slip another key in."""
import json
import os
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.fipsd_client import PKCS1, SHA256, FipsdClient, secret_body  # noqa: E402
from support.process import temporary_directory, wait_until  # noqa: E402

MOCK = os.environ.get("POSTERN_PKCS11_MOCK", "")
DIGEST = bytes(32)


class Events(unittest.TestCase):
    def setUp(self):
        self.directory = temporary_directory("postern-events-")
        self.control = os.path.join(self.directory, "control")
        self.tell("")
        self.fipsd = Fipsd(os.path.join(self.directory, "fipsd"), module=MOCK)
        self.start()
        self.fipsd.initialise()

    def tearDown(self):
        self.fipsd.discard()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, **options):
        self.fipsd.start(environment={"POSTERN_MOCK_CONTROL": self.control}, **options)

    def tell(self, text):
        """Gives the module between fipsd and the token its orders."""
        with open(self.control + ".new", "w") as file:
            file.write(text)
        os.rename(self.control + ".new", self.control)

    def seen(self, *identifiers):
        for identifier in identifiers:
            self.fipsd.wait_log(f"[{identifier}]")

    def officer(self, *words, **options):
        return self.fipsd.fipsconfig(*words, password=PASSWORD, **options)

    def sign(self, key="dkim-a"):
        client = FipsdClient(self.fipsd.milter_socket)
        status, body = client.sign(key, PKCS1, SHA256, DIGEST)
        client.close()
        return status, body

    def test_an_ordinary_day(self):
        self.seen("fipsd-started", "fipsd-initialised", "fipsd-condition")
        self.fipsd.generate("dkim-a")
        self.fipsd.generate("mx", "p256", "tls-server")
        self.officer("cert", "self-sign", "mx", "--subject", "CN=mx.example", "--days", "10")
        self.officer("distrust", "add", "spki:" + "ab" * 32)
        backup = os.path.join(self.directory, "backup.xml")
        self.officer("backup", backup, more=("the backup password",))
        self.officer("key", "destroy", "dkim-a", "--yes")
        self.officer("restore", backup, more=("the backup password",))
        self.officer("cert", "drop", "mx")
        self.officer("passwd", more=("quite another password",))
        self.officer("passwd", check=False)
        self.seen("fipsd-login", "fipsd-officer-ended", "fipsd-key-made", "fipsd-certificate-stored", "fipsd-distrust-changed",
                  "fipsd-backup-made", "fipsd-key-destroyed", "fipsd-restored", "fipsd-certificate-dropped", "fipsd-password-changed",
                  "fipsd-audit-anchor")
        self.assertEqual(self.sign("mx")[0], "not-found")
        self.seen("fipsd-request-denied")
        stranger = FipsdClient(self.fipsd.milter_socket)
        stranger.socket.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(stranger.receive()[1], "version")
        self.assertIsNone(stranger.receive())
        self.seen("fipsd-peer-refused")
        self.fipsd.process.send_signal(signal.SIGHUP)
        self.seen("fipsd-reload-done")
        self.fipsd.stop()
        self.seen("fipsd-stopping", "fipsd-stopped")

    def test_certificates_that_end_are_told_at_the_start(self):
        self.fipsd.generate("mx", "p256", "tls-server")
        self.officer("cert", "self-sign", "mx", "--subject", "CN=mx.example", "--days", "10")
        self.fipsd.stop()
        self.start()
        self.seen("fipsd-certificate-expires")

    def test_token_pulled_out_and_put_back(self):
        self.fipsd.generate("dkim-a")
        self.assertEqual(self.sign()[0], "ok")
        self.tell("removed\n")
        self.assertEqual(self.sign()[0], "unavailable")
        self.seen("fipsd-token-lost")
        self.assertEqual(self.fipsd.status()["state"], "operational")
        self.tell("")
        wait_until(lambda: self.sign()[0] == "ok", "the token to be used again")
        self.seen("fipsd-token-back")
        # Not there at the start: fipsd waits for it.
        self.fipsd.stop()
        self.tell("removed\n")
        before = len(self.fipsd.log_text())
        self.start()
        self.fipsd.wait_log("[fipsd-token-lost]", before)
        self.assertEqual(self.sign()[0], "unavailable")
        self.tell("")
        wait_until(lambda: self.sign()[0] == "ok", "the token to be found")
        self.fipsd.wait_log("[fipsd-token-back]", before)

    def test_another_key_under_the_same_id_is_not_used(self):
        self.fipsd.generate("dkim-a")
        self.fipsd.generate("dkim-b")
        with open(os.path.join(self.fipsd.state, "catalogue"), encoding="ascii") as file:
            text = file.read()
        start = text.index("{")
        content = json.JSONDecoder().raw_decode(text[start:])[0]
        ids = {}

        def walk(value):
            if isinstance(value, dict):
                if isinstance(value.get("name"), str) and isinstance(value.get("id"), str):
                    ids[value["name"]] = value["id"]
                for inner in value.values():
                    walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    walk(inner)
        walk(content)
        self.assertEqual(set(ids), {"dkim-a", "dkim-b"})
        self.fipsd.stop()
        self.tell(f"swap {self.hex(ids['dkim-a'])} {self.hex(ids['dkim-b'])}\n")
        self.start()
        self.assertNotEqual(self.sign("dkim-a")[0], "ok")
        self.assertEqual(self.sign("dkim-b")[0], "ok")
        self.seen("fipsd-key-mismatch")

    @staticmethod
    def hex(value):
        """An id of the catalogue, which is base64 or hex, as hex."""
        import base64
        return value if len(value) == 32 else base64.b64decode(value).hex()

    def test_zeroising_waits_for_the_token(self):
        self.fipsd.generate("dkim-a")
        client = FipsdClient(self.fipsd.officer_socket)
        self.assertEqual(client.ask("login", secret_body(PASSWORD))[0], "ok")
        self.tell("removed\n")
        status, body = client.ask("zeroise", secret_body(PASSWORD))
        self.assertEqual((status, json.loads(body)["state"]), ("ok", "zeroising"))
        self.seen("fipsd-zeroising", "fipsd-zeroise-waiting")
        self.assertEqual(self.fipsd.status()["state"], "zeroising")
        self.assertFalse(os.path.exists(os.path.join(self.fipsd.state, "kek")))
        self.assertEqual(self.sign()[0], "zeroised")
        # Also the next start goes on with it.
        self.fipsd.kill()
        self.start()
        self.assertEqual(self.sign()[0], "zeroised")
        self.tell("")
        self.seen("fipsd-zeroised")
        self.assertEqual(self.fipsd.status()["state"], "zeroised")
        self.fipsd.initialise()
        self.fipsd.generate("dkim-a")
        self.assertEqual(self.sign()[0], "ok")

    def test_self_test(self):
        self.fipsd.stop()
        self.start(options=("--corrupt-kat", "aes-kwp"))
        self.seen("fipsd-self-test-failed")

    def test_audit_ring(self):
        self.fipsd.stop()
        self.fipsd.write({"audit": {"segment": "128k", "reserve": "32k", "keep": 2}})
        self.start()
        self.fipsd.generate("dkim-a")
        client = FipsdClient(self.fipsd.milter_socket)

        def some():
            for _ in range(100):
                self.assertEqual(client.sign("dkim-a", PKCS1, SHA256, DIGEST)[0], "ok")
            return "[fipsd-audit-alert]" in self.fipsd.log_text()
        wait_until(some, "the oldest records to leave the ring", 120)
        self.fipsd.fipsconfig("audit", "verify")
        self.assertEqual(self.fipsd.log_text().count("[fipsd-audit-alert]"), 1)


if __name__ == "__main__":
    unittest.main()
