#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Postfix smtpd, chrooted as Debian has it, whose TLS keys exist only in fipsd's token: STARTTLS with RSA and ECDSA, by chain files
and by key and certificate files; and the same smtpd process while fipsd is not there, comes back, and is restarted."""
import os
import re
import smtplib
import ssl
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import mta  # noqa: E402
from support.fipsd import Fipsd  # noqa: E402
from support.process import SOURCE, temporary_directory, wait_until  # noqa: E402
from support.provider import Keys, Openssl  # noqa: E402
from support.sink import Sink  # noqa: E402

MESSAGE = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: by TLS\r\n\r\nHello\r\n"


class PostfixTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = temporary_directory("pt-")
        cls.queues = temporary_directory("pq-")
        cls.sink = Sink()
        cls.addClassCleanup(cls.sink.close)
        socket = os.path.join(cls.directory, "fipsd", "postfix.sock")
        # Each instance has a queue directory, in which the same path leads to fipsd.
        cls.inside = [os.path.join(cls.queues, name, "queue") + socket for name in ("chain", "files", "late")]
        for path in cls.inside:
            os.makedirs(os.path.dirname(path))
        cls.fipsd = Fipsd(os.path.join(cls.directory, "fipsd"), postfix_sockets=cls.inside, group=mta.Postfix.milter_group)
        cls.fipsd.start().initialise()
        cls.addClassCleanup(cls.fipsd.discard)
        cls.openssl = Openssl(cls.directory, cls.fipsd.postfix_socket)
        cls.keys = Keys(cls.fipsd, cls.openssl)
        cls.keys.make("mx-rsa", "rsa")
        cls.keys.make("mx-p256", "p256")

    def postfix(self, name, extra):
        """The lines of contrib/postfix/fipsd-main.cf with this test's files, and one smtpd process that stays."""
        with open(os.path.join(SOURCE, "contrib", "postfix", "fipsd-main.cf"), encoding="utf-8") as file:
            shown = dict(re.findall(r"(?m)^#?(\w+) = (.*)$", file.read()))
        moved = {key: value.replace("/etc/fipsd/postfix-openssl.cnf", self.openssl.config)
                 .replace("/etc/postfix/tls/mx-rsa.pem", self.openssl.path("mx-rsa.chain"))
                 .replace("/etc/postfix/tls/mx-p256.pem", self.openssl.path("mx-p256.chain"))
                 .replace(".crt", ".pem").replace("/etc/postfix/tls/", self.directory + "/") for key, value in shown.items()}
        settings = {key: moved[key] for key in ("tls_config_file", "tls_config_name", "smtpd_tls_security_level", *extra)}
        settings.update({"smtpd_tls_loglevel": "1", "default_process_limit": "1", "max_idle": "600s", "tls_random_source": "dev:/dev/urandom"})
        server = mta.Postfix(self.sink.port, directory=os.path.join(self.queues, name), extra=settings, milter=False)
        server.start()
        self.addCleanup(server.stop)
        with open(os.path.join(server.config, "master.cf"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?m)^127\.0\.0\.1:\d+ +inet +n +- +y +- +- +smtpd", "smtpd is chrooted")
        return server

    def connect(self, server, *options):
        done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{server.port}", "-name", "client.test",
                               "-CAfile", self.keys.authority.certificate, "-verify_return_error", "-verify_hostname", "mta.test", *options],
                              input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.returncode == 0 and b"Verify return code: 0 (ok)" in done.stdout, done.stdout.decode(errors="replace")

    def check(self, server, version, sigalgs, signature):
        good, out = self.connect(server, version, "-sigalgs", sigalgs)
        self.assertTrue(good, out + server.log_text())
        self.assertIn(f"Peer signature type: {signature}\n", out)
        # What the server showed, judged by itself.
        certificate = re.search(r"(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", out).group(0)
        shown = self.openssl.write("shown.pem", certificate)
        verified = self.openssl.plain("verify", "-purpose", "sslserver", "-CAfile", self.keys.authority.certificate, shown).stdout
        self.assertEqual(verified.decode(), f"{shown}: OK\n")

    def check_all(self, server):
        for version in "-tls1_3", "-tls1_2":
            self.check(server, version, "rsa_pss_rsae_sha256", "RSA-PSS")
            self.check(server, version, "ecdsa_secp256r1_sha256", "ECDSA")
        self.check(server, "-tls1_2", "RSA+SHA256", "RSA")

    def deliver(self, server):
        context = ssl.create_default_context(cafile=self.keys.authority.certificate)
        with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
            client._host = "mta.test"
            client.starttls(context=context)
            client.ehlo()
            client.sendmail("a@x.test", ["b@y.test"], MESSAGE)
        queue_id = wait_until(lambda: re.search(r"postfix/smtpd\[\d+\]: ([0-9A-Za-z]+): client=", server.log_text()), "a queue id").group(1)
        server.wait_settled(queue_id)
        self.assertEqual(len(self.sink.with_queue_id(queue_id)), 1)

    @staticmethod
    def smtpds(server):
        """Process ids of all smtpd that ever took a connection."""
        return set(re.findall(r"postfix/smtpd\[(\d+)\]: connect from", server.log_text()))

    def test_chain_files(self):
        server = self.postfix("chain", ["smtpd_tls_chain_files"])
        self.check_all(server)
        self.deliver(server)
        # fipsd is restarted in between: the smtpd that has the keys, in its chroot and without privileges, connects again.
        before = self.smtpds(server)
        self.assertEqual(len(before), 1, server.log_text())
        root = os.readlink(f"/proc/{min(before)}/root")
        self.assertEqual(root, server.queue)
        self.fipsd.stop()
        self.fipsd.start()
        self.check_all(server)
        self.assertEqual(self.smtpds(server), before)

    def test_key_and_certificate_files(self):
        server = self.postfix("files", ["smtpd_tls_key_file", "smtpd_tls_cert_file", "smtpd_tls_eckey_file", "smtpd_tls_eccert_file"])
        self.check_all(server)
        self.deliver(server)

    def test_started_while_fipsd_is_down(self):
        self.fipsd.stop()
        try:
            server = self.postfix("late", ["smtpd_tls_chain_files"])
            good, out = self.connect(server)
            self.assertFalse(good)
            self.assertNotIn("Didn't find STARTTLS", out)
            wait_until(lambda: "fipsd does not answer" in server.log_text(), lambda: "the reason\n" + server.log_text())
            # Who does not insist on TLS is served.
            with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
                client.sendmail("a@x.test", ["b@y.test"], MESSAGE)
        finally:
            self.fipsd.start()
        self.check_all(server)
        self.assertEqual(len(self.smtpds(server)), 1)

    def test_no_key_material_in_postfix(self):
        for name in ("mx-rsa", "mx-p256"):
            with open(self.openssl.path(name + ".chain"), encoding="utf-8") as file:
                text = file.read()
            self.assertIn("BEGIN PRIVATE KEY", text)
            done = self.openssl.plain("pkey", "-in", name + ".chain", check=False)
            self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
