#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The OpenSSL provider in the openssl command, with keys that exist only in fipsd's token: requests, signatures, decryption, CMS, TLS.
What is made with the provider is judged without it."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.process import Process, free_port, listening, temporary_directory, wait_until  # noqa: E402
from support.provider import Keys, Openssl  # noqa: E402

KINDS = ("rsa", "p256", "p384", "ed25519")
RIGHTS = [{"socket": "postfix", "allow": ["describe", "sign"]}, {"socket": "postfix", "uses": ["smime"], "allow": ["decrypt"]}]
MESSAGE = b"From: a@x.test\r\nSubject: s\r\n\r\nHello\r\n"


class Provider(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = temporary_directory("postern-provider-")
        cls.fipsd = Fipsd(os.path.join(cls.directory, "fipsd"), {"rights": RIGHTS}).start().initialise()
        cls.addClassCleanup(cls.fipsd.discard)
        cls.openssl = Openssl(cls.directory, cls.fipsd.postfix_socket)
        cls.keys = Keys(cls.fipsd, cls.openssl)
        for kind in KINDS:
            cls.keys.make(kind, kind, "tls-server" if kind == "ed25519" else "tls-server,smime")

    def sources(self, kind):
        return "fipsd:" + kind, self.openssl.path(kind + ".key")

    def public(self, kind):
        """A file with the public half, from the certificate."""
        path = self.openssl.path(kind + ".pub")
        self.openssl.plain("x509", "-in", kind + ".pem", "-pubkey", "-noout", "-out", path)
        return path

    def test_requests(self):
        for kind in KINDS:
            for source in self.sources(kind):
                self.openssl.run("req", "-new", "-key", source, "-subj", "/CN=x", "-out", "r.pem")
                self.assertIn(b"verify OK", self.openssl.plain("req", "-in", "r.pem", "-verify", "-noout").stderr)
                self.openssl.run("req", "-x509", "-key", source, "-subj", "/CN=x", "-out", "c.pem")
                self.assertIn(b"OK", self.openssl.plain("verify", "-CAfile", "c.pem", "c.pem").stdout)
            # The one that fipsd makes itself, signed by an authority.
            self.assertIn(b"verify OK", self.openssl.plain("req", "-in", kind + ".csr", "-verify", "-noout").stderr)
            self.assertIn(b"OK", self.openssl.plain("verify", "-CAfile", self.keys.authority.certificate, kind + ".pem").stdout)
            self.fipsd.fipsconfig("cert", "import", kind, self.openssl.path(kind + ".pem"), password=PASSWORD)
            exported = self.fipsd.fipsconfig("cert", "export", kind).stdout
            with open(self.openssl.path(kind + ".pem"), "rb") as file:
                self.assertEqual(exported, file.read())

    def test_signatures(self):
        self.openssl.write("data", b"hello" * 1000)
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt"]
        for kind in ("rsa", "p256", "p384"):
            for digest in ("-sha256", "-sha384", "-sha512"):
                for options in [[], [*pss, "rsa_pss_saltlen:digest"], [*pss, "rsa_pss_saltlen:auto"]] if kind == "rsa" else [[]]:
                    self.openssl.run("dgst", digest, "-sign", "fipsd:" + kind, *options, "-out", "sig", "data")
                    said = self.openssl.plain("dgst", digest, "-verify", self.public(kind), *options, "-signature", "sig", "data").stdout
                    self.assertIn(b"Verified OK", said)
        self.openssl.run("pkeyutl", "-sign", "-rawin", "-inkey", self.openssl.path("ed25519.key"), "-in", "data", "-out", "sig")
        self.openssl.plain("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", self.public("ed25519"), "-in", "data", "-sigfile", "sig")
        for options, reason in ([*pss, "rsa_pss_saltlen:max"], "salt"), (["-sigopt", "rsa_padding_mode:x931"], "padding"):
            done = self.openssl.run("dgst", "-sha256", "-sign", "fipsd:rsa", *options, "data", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(reason, done.stderr.decode())

    def test_decryption(self):
        self.openssl.write("plain", b"secret")
        oaep = ["-pkeyopt", "rsa_padding_mode:oaep"]
        for options in [], oaep, [*oaep, "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"]:
            self.openssl.plain("pkeyutl", "-encrypt", "-pubin", "-inkey", self.public("rsa"), "-in", "plain", "-out", "box", *options)
            for source in self.sources("rsa"):
                self.assertEqual(self.openssl.run("pkeyutl", "-decrypt", "-inkey", source, "-in", "box", *options).stdout, b"secret")
        # A key for TLS only does not decrypt.
        self.fipsd.generate("tls-only", "rsa", "tls-server")
        done = self.openssl.run("pkeyutl", "-decrypt", "-inkey", "fipsd:tls-only", "-in", "box", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr.decode(), "fipsd does not allow it|fipsd cannot do it")

    def test_cms(self):
        self.openssl.write("mail", MESSAGE)
        authority = self.keys.authority.certificate
        for kind in ("rsa", "p256", "p384"):
            for options in [[], ["-keyopt", "rsa_padding_mode:pss"]] if kind == "rsa" else [[]]:
                self.openssl.run("cms", "-sign", "-binary", "-in", "mail", "-signer", kind + ".pem", "-inkey", "fipsd:" + kind, "-md", "sha256",
                                 *options, "-out", "signed")
                shown = self.openssl.plain("cms", "-cmsout", "-print", "-in", "signed").stdout.decode()
                self.assertEqual("rsassaPss" in shown, bool(options))
                self.openssl.plain("cms", "-verify", "-in", "signed", "-CAfile", authority, "-purpose", "smimesign", "-out", "back")
                with open(self.openssl.path("back"), "rb") as file:
                    self.assertEqual(file.read(), MESSAGE)
        for options in [], ["-keyopt", "rsa_padding_mode:oaep"]:
            self.openssl.plain("cms", "-encrypt", "-binary", "-aes256", "-in", "mail", "-out", "box", "-recip", "rsa.pem", *options)
            back = self.openssl.run("cms", "-decrypt", "-in", "box", "-recip", "rsa.pem", "-inkey", self.openssl.path("rsa.key")).stdout
            self.assertEqual(back, MESSAGE)

    def serve(self, kind, prefix=(), environment=None):
        port = free_port()
        log = self.openssl.path(f"s_server-{kind}.log")
        server = Process([*prefix, "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", self.openssl.path(kind + ".pem"), "-key",
                          self.openssl.path(kind + ".key"), "-naccept", "1000", "-quiet"], "s_server", log,
                         env=environment or self.openssl.environment())
        self.addCleanup(server.kill)
        wait_until(lambda: listening(port) or not server.alive(), "s_server to listen")
        self.assertTrue(server.alive(), server.log_text())
        return port, server

    def connect(self, port, *options):
        done = self.openssl.plain("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", self.keys.authority.certificate,
                                  "-verify_return_error", "-verify_hostname", "localhost", *options, check=False)
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def test_tls(self):
        for kind in KINDS:
            port, _ = self.serve(kind)
            cases = {"rsa": [("-tls1_3", "RSA-PSS"), ("-tls1_2", "RSA-PSS"), ("-tls1_2 -sigalgs RSA+SHA256", "RSA"),
                             ("-tls1_3 -sigalgs rsa_pss_rsae_sha512", "RSA-PSS")],
                     "p256": [("-tls1_3", "ECDSA"), ("-tls1_2", "ECDSA")], "p384": [("-tls1_3", "ECDSA"), ("-tls1_2", "ECDSA")],
                     "ed25519": [("-tls1_3", "ed25519"), ("-tls1_2", "ed25519")]}[kind]
            for options, signature in cases:
                status, out, errors = self.connect(port, *options.split())
                self.assertEqual(status, 0, f"{kind} {options}\n{out}{errors}")
                self.assertIn("Verify return code: 0 (ok)", out)
                self.assertRegex(out, rf"(?i)Peer signature type: {signature}\n")

    def test_tls_while_fipsd_restarts(self):
        port, server = self.serve("p256")
        self.assertEqual(self.connect(port)[0], 0)
        self.fipsd.stop()
        try:
            self.assertNotEqual(self.connect(port)[0], 0)
            wait_until(lambda: "fipsd does not answer" in server.log_text(), server.log_text)
            # References load while fipsd is down, names do not.
            second, _ = self.serve("rsa")
            self.assertNotEqual(self.connect(second)[0], 0)
            done = self.openssl.run("pkey", "-in", "fipsd:rsa", "-pubout", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("fipsd does not answer", done.stderr.decode())
        finally:
            self.fipsd.start()
        for one in port, second:
            status, out, errors = self.connect(one)
            self.assertEqual(status, 0, out + errors)

    def test_other_programs_cannot_read_references(self):
        for kind in KINDS:
            done = self.openssl.plain("pkey", "-in", kind + ".key", check=False)
            self.assertNotEqual(done.returncode, 0)
            # Nor can those with the provider write the key out; the public half they can.
            done = self.openssl.run("pkey", "-in", kind + ".key", "-out", "leak.pem", check=False)
            self.assertNotEqual(done.returncode, 0)
            public = self.openssl.run("pkey", "-in", kind + ".key", "-pubout").stdout
            with open(self.public(kind), "rb") as file:
                self.assertEqual(public, file.read())

    def test_keys_in_files_still_work(self):
        self.openssl.run("genpkey", "-algorithm", "RSA", "-out", "soft.pem")
        self.openssl.run("req", "-new", "-key", "soft.pem", "-subj", "/CN=x", "-out", "r.pem")
        self.assertIn(b"verify OK", self.openssl.run("req", "-in", "r.pem", "-verify", "-noout").stderr)
        self.openssl.run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft-ec.pem")
        self.openssl.run("pkey", "-in", "soft-ec.pem", "-text")

    def test_another_key_under_the_name(self):
        self.fipsd.generate("swapped", "p256", "tls-server")
        self.openssl.write("swapped.key", self.fipsd.fipsconfig("key", "reference", "swapped").stdout)
        self.openssl.write("data", b"hello")
        self.openssl.run("dgst", "-sha256", "-sign", "swapped.key", "-out", "sig", "data")
        self.fipsd.fipsconfig("key", "destroy", "swapped", "--yes", password=PASSWORD)
        done = self.openssl.run("dgst", "-sha256", "-sign", "swapped.key", "-out", "sig", "data", check=False)
        self.assertIn("no such key at fipsd", done.stderr.decode())
        self.fipsd.generate("swapped", "p256", "tls-server")
        done = self.openssl.run("dgst", "-sha256", "-sign", "swapped.key", "-out", "sig", "data", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("fipsd has another key under this name", done.stderr.decode())

    def test_damaged_references(self):
        reference = self.fipsd.fipsconfig("key", "reference", "p256").stdout.decode().splitlines()
        lines = reference[1:-1]
        for change in (lines[:-1], ["A" + lines[0][1:], *lines[1:]], [lines[0][:40] + "A" * 24, *lines[1:]], []):
            self.openssl.write("bad.key", "\n".join([reference[0], *change, reference[-1], ""]))
            self.assertNotEqual(self.openssl.run("pkey", "-in", "bad.key", "-pubout", check=False).returncode, 0)

    def test_a_stopped_fipsd_is_waited_for_no_longer_than_said(self):
        impatient = Openssl(temporary_directory("postern-provider-", self.directory), self.fipsd.postfix_socket, "1s")
        reference = impatient.write("rsa.key", self.fipsd.fipsconfig("key", "reference", "rsa").stdout)
        impatient.write("data", b"x")
        self.fipsd.process.send_signal(19)
        try:
            done = impatient.run("dgst", "-sha256", "-sign", reference, "data", check=False)
        finally:
            self.fipsd.process.send_signal(18)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("fipsd does not answer", done.stderr.decode())

    def test_bad_settings_do_not_load(self):
        with open(self.openssl.config, encoding="utf-8") as file:
            text = file.read()
        for timeout in ("soon", "0s", "1h", "5"):
            config = self.openssl.write("bad.cnf", re.sub(r"(?m)^timeout = .*$", "timeout = " + timeout, text))
            done = subprocess.run(["openssl", "list", "-providers"], env={**os.environ, "OPENSSL_CONF": config}, capture_output=True, timeout=60)
            self.assertNotIn(b"Postern", done.stdout, timeout)
        listed = self.openssl.run("list", "-providers").stdout.decode()
        self.assertRegex(listed, r"(?s)default.*fipsd\n.*name: Postern fipsd provider\n.*status: active")

    def test_exports_one_symbol(self):
        symbols = subprocess.run(["nm", "-D", "--defined-only", os.path.join(os.environ["POSTERN_BIN"], "fipsd.so")], capture_output=True,
                                 check=True, timeout=60).stdout.decode().split("\n")
        self.assertEqual([line.split()[-1] for line in symbols if line], ["OSSL_provider_init"])

    def test_fork(self):
        """A program that loads a key and forks: each child has a connection of its own."""
        script = self.openssl.write("fork.py", FORK)
        done = subprocess.run([sys.executable, script, self.openssl.path("p256.chain"), self.keys.authority.certificate],
                              env=self.openssl.environment(), capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(done.stdout.decode().split(), ["done"] * 5)


FORK = """
import os, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
client = ssl.create_default_context(cafile=sys.argv[2])

def handshake():
    ways = [ssl.MemoryBIO() for _ in range(2)]
    a = context.wrap_bio(ways[0], ways[1], server_side=True)
    b = client.wrap_bio(ways[1], ways[0], server_hostname="localhost")
    left = [b, a]
    for _ in range(20):
        for one in list(left):
            try:
                one.do_handshake()
                left.remove(one)
            except ssl.SSLWantReadError:
                pass
        if not left:
            return
    raise SystemExit("no end")

handshake()
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(10):
            handshake()
        os.write(1, b"done\\n")
        os._exit(0)
    children.append(child)
for _ in range(10):
    handshake()
status = [os.waitpid(child, 0)[1] for child in children]
os.write(1, b"done\\n")
sys.exit(any(status))
"""

if __name__ == "__main__":
    unittest.main(verbosity=2)
