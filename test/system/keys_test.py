#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates in a real fipsd on SoftHSM2, judged by the OpenSSL command: made, imported, used, backed up, restored onto
another token, destroyed; what is refused; self-tests that fail; reload; a second instance."""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.fipsd_client import ECDSA, EDDSA, NONE, PKCS1, PSS, SHA1, SHA256, SHA384, FipsdClient, blob, text  # noqa: E402
from support.process import temporary_directory  # noqa: E402

MESSAGE = b"what is signed"
BACKUP_PASSWORD = "a password for the backup"


def openssl(*arguments, data=b"", check=True):
    done = subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = temporary_directory("postern-keys-")
        cls.fipsd = Fipsd(os.path.join(cls.directory, "fipsd")).start().initialise()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.fipsd.stop()
        finally:
            cls.fipsd.discard()
            shutil.rmtree(cls.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def public_pem(self, name, fipsd=None):
        row = {row["name"]: row for row in self.list(fipsd)}[name]
        pem = self.path(f"{name}.pub")
        done = openssl("pkey", "-pubin", "-inform", "DER", "-out", pem, data=base64.b64decode(row["spki"]))
        self.assertEqual(done.returncode, 0)
        return pem

    def list(self, fipsd=None):
        return json.loads((fipsd or self.fipsd).fipsconfig("key", "list", "--json").stdout)

    def verify(self, name, algorithm, signature, fipsd=None):
        """OpenSSL's opinion of a signature over MESSAGE."""
        pem = self.public_pem(name, fipsd)
        with open(self.path("signature"), "wb") as file:
            file.write(signature)
        with open(self.path("message"), "wb") as file:
            file.write(MESSAGE)
        if algorithm == EDDSA:
            return openssl("pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", self.path("message"), "-sigfile",
                           self.path("signature"), check=False).returncode == 0
        options = []
        if algorithm == PSS:
            options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
        return openssl("dgst", "-sha256", *options, "-verify", pem, "-signature", self.path("signature"), self.path("message"),
                       check=False).returncode == 0

    def sign(self, name, algorithm, fipsd=None, socket=None):
        import hashlib
        client = FipsdClient(socket or (fipsd or self.fipsd).milter_socket)
        value, digest = (MESSAGE, NONE) if algorithm == EDDSA else (hashlib.sha256(MESSAGE).digest(), SHA256)
        status, body = client.sign(name, algorithm, digest, value)
        client.close()
        self.assertEqual(status, "ok", body)
        return body

    def test_every_type_signs_and_openssl_agrees(self):
        for name, kind, options, algorithms in (("t-rsa2048", "rsa", (), (PKCS1, PSS)), ("t-rsa3072", "rsa", ("--bits", "3072"), (PKCS1,)),
                                                ("t-p256", "p256", (), (ECDSA,)), ("t-p384", "p384", (), (ECDSA,)),
                                                ("t-ed", "ed25519", (), (EDDSA,)), ("t-fixed", "rsa", ("--no-backup",), (PKCS1,))):
            self.fipsd.generate(name, kind, "smime", *options)
            for algorithm in algorithms:
                signature = self.sign(name, algorithm)
                self.assertTrue(self.verify(name, algorithm, signature), (name, algorithm))
        rows = {row["name"]: row for row in self.list()}
        self.assertEqual(rows["t-rsa3072"]["bits"], 3072)
        self.assertFalse(rows["t-fixed"]["backup"])
        done = self.fipsd.fipsconfig("key", "generate", "t-ed", "--type", "p256", "--use", "smime", password=PASSWORD, check=False)
        self.assertEqual(done.returncode, 65, done.stderr)  # there is one already
        self.fipsd.fipsconfig("key", "destroy", "t-rsa3072", "--yes", password=PASSWORD)
        self.assertNotIn("t-rsa3072", {row["name"] for row in self.list()})

    def test_imported_key_is_the_same_key(self):
        for kind, make in (("rsa", ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
                           ("p256", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
                           ("ed", ["genpkey", "-algorithm", "ED25519"])):
            pem = self.path(f"import-{kind}.pem")
            openssl(*make, "-out", pem)
            self.fipsd.fipsconfig("key", "import", f"i-{kind}", pem, "--use", "smime", password=PASSWORD)
            public = openssl("pkey", "-in", pem, "-pubout", "-outform", "DER").stdout
            row = {row["name"]: row for row in self.list()}[f"i-{kind}"]
            self.assertEqual(base64.b64decode(row["spki"]), public)
            algorithm = {"rsa": PKCS1, "p256": ECDSA, "ed": EDDSA}[kind]
            self.assertTrue(self.verify(f"i-{kind}", algorithm, self.sign(f"i-{kind}", algorithm)))

    def test_pkcs12_brings_its_chain(self):
        key, certificate, bundle = self.path("p12.pem"), self.path("p12.crt"), self.path("p12.p12")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=mail.example", "-days", "30")
        openssl("pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", bundle, "-passout", "pass:bundle-password")
        self.fipsd.fipsconfig("key", "import", "p12", bundle, "--use", "tls-server,tls-client", password=PASSWORD, more=("bundle-password",))
        row = {row["name"]: row for row in self.list()}["p12"]
        self.assertIn("mail.example", row["certificate"]["subject"])
        exported = self.fipsd.fipsconfig("cert", "export", "p12").stdout
        self.assertEqual(openssl("x509", "-outform", "DER", data=exported).stdout, openssl("x509", "-in", certificate, "-outform", "DER").stdout)

    def test_requests_and_self_signed(self):
        for kind in ("rsa", "p256", "ed25519"):
            name = f"csr-{kind}"
            self.fipsd.generate(name, kind, "tls-server")
            request = self.path(name + ".csr")
            self.fipsd.fipsconfig("cert", "csr", name, "--subject", "CN=mx1.example.org,O=Example", "--names",
                                  "mx1.example.org,mail.example.org", "-o", request, password=PASSWORD)
            done = openssl("req", "-in", request, "-verify", "-noout", "-text")
            shown = (done.stdout + done.stderr).decode()
            self.assertIn("DNS:mail.example.org", shown)
            self.assertRegex(shown, "verify OK|self-signature verify OK")
            self.fipsd.fipsconfig("cert", "self-sign", name, "--subject", "CN=mx1.example.org", "--names", "mx1.example.org", "--days", "10",
                                  password=PASSWORD)
            certificate = self.path(name + ".crt")
            with open(certificate, "wb") as file:
                file.write(self.fipsd.fipsconfig("cert", "export", name).stdout)
            openssl("verify", "-CAfile", certificate, "-verify_hostname", "mx1.example.org", certificate)

    def test_dns_record(self):
        self.fipsd.generate("d-rsa", "rsa", "dkim")
        record = self.fipsd.fipsconfig("key", "dnstxt", "d-rsa", "--selector", "r2026", "--domain", "example.org").stdout.decode()
        self.assertIn("r2026._domainkey.example.org.", record)
        strings = [part for part in record.split('"')[1::2]]
        self.assertTrue(all(len(part) <= 255 for part in strings) and len(strings) > 1, record)
        value = "".join(strings)
        public = openssl("pkey", "-pubin", "-in", self.public_pem("d-rsa"), "-outform", "DER").stdout
        self.assertIn("p=" + base64.b64encode(public).decode(), value.replace(" ", ""))

    def test_uses_are_kept_apart(self):
        self.fipsd.generate("u-dkim", "rsa", "dkim")
        self.fipsd.generate("u-tls", "p256", "tls-server")
        self.fipsd.generate("u-mail", "rsa", "smime")
        milter, postfix = FipsdClient(self.fipsd.milter_socket), FipsdClient(self.fipsd.postfix_socket)
        digest = bytes(32)
        self.assertEqual(milter.sign("u-dkim", PKCS1, SHA256, digest)[0], "ok")
        self.assertEqual(milter.sign("u-dkim", PSS, SHA256, digest)[0], "not-allowed")
        self.assertEqual(milter.sign("u-dkim", PKCS1, SHA384, bytes(48))[0], "not-allowed")
        self.assertEqual(milter.sign("u-dkim", PKCS1, SHA256, bytes(31))[0], "malformed")
        self.assertIn(milter.sign("u-dkim", PKCS1, SHA1, bytes(20))[0], ("not-allowed", "malformed"))
        # What a socket must not know of looks to it as if it were not there.
        self.assertEqual(milter.sign("u-tls", ECDSA, SHA256, digest)[0], "not-found")
        self.assertEqual(postfix.sign("u-tls", ECDSA, SHA256, digest)[0], "ok")
        self.assertEqual(postfix.sign("u-dkim", PKCS1, SHA256, digest)[0], "not-found")
        self.assertEqual(milter.sign("nobody", PKCS1, SHA256, digest)[0], "not-found")
        names = json.loads(milter.ask("list", bytes(8) + blob(b""))[1][12:])
        self.assertNotIn("u-tls", {row["name"] for row in names})

    def test_decryption_is_no_oracle(self):
        self.fipsd.generate("k-mail", "rsa", "smime")
        pem = self.public_pem("k-mail")
        client = FipsdClient(self.fipsd.milter_socket)

        def decrypt(algorithm, digest, ciphertext):
            return client.ask("decrypt", text("k-mail") + bytes([algorithm, digest]) + text(b"") + blob(ciphertext))
        secret = b"session key 0123"
        pkcs1 = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", pem, data=secret).stdout
        self.assertEqual(decrypt(1, NONE, pkcs1), ("ok", secret))
        for digest, word in ((SHA1, "sha1"), (SHA256, "sha256")):
            oaep = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", pem, "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt",
                           f"rsa_oaep_md:{word}", "-pkeyopt", f"rsa_mgf1_md:{word}", data=secret).stdout
            self.assertEqual(decrypt(2, digest, oaep), ("ok", secret))
            bad = bytearray(oaep)
            bad[7] ^= 1
            answers = {decrypt(2, digest, bytes(bad)), decrypt(2, digest, bytes(256)), decrypt(2, digest, b"\x55" * 256)}
            self.assertEqual(len(answers), 1, answers)
        broken = bytearray(pkcs1)
        broken[100] ^= 4
        first, second = decrypt(1, NONE, bytes(broken)), decrypt(1, NONE, bytes(broken))
        self.assertEqual(first[0], "ok")  # made-up bytes, the same each time
        self.assertEqual(first, second)
        self.assertNotEqual(first[1], secret)

    def test_zz_backup_and_restore_onto_another_token(self):
        self.fipsd.generate("b-rsa", "rsa", "dkim")
        self.fipsd.generate("b-p384", "p384", "smime")
        self.fipsd.generate("b-ed", "ed25519", "smime")
        self.fipsd.generate("b-stays", "p256", "smime", "--no-backup")
        file = self.path("keys.xml")
        before = {row["name"]: row for row in self.list()}
        done = self.fipsd.fipsconfig("backup", file, password=PASSWORD, more=(BACKUP_PASSWORD,))
        self.assertIn("b-stays", (done.stdout + done.stderr).decode())
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        with open(file, "rb") as opened:
            content = opened.read()
        self.assertTrue(content.startswith(b"<?xml") or content.startswith(b"<postern-backup"), content[:40])
        self.assertTrue(all(row["backed_up"] for row in self.list() if row["backup"]))
        other = Fipsd(self.path("other")).start().initialise()
        try:
            done = other.fipsconfig("restore", file, password=PASSWORD, more=("not the backup password",), check=False)
            self.assertNotEqual(done.returncode, 0)
            for position in range(0, len(content), max(1, len(content) // 10)):
                damaged = bytearray(content)
                damaged[position] ^= 1
                with open(self.path("damaged.xml"), "wb") as opened:
                    opened.write(damaged)
                done = other.fipsconfig("restore", self.path("damaged.xml"), password=PASSWORD, more=(BACKUP_PASSWORD,), check=False)
                self.assertNotEqual(done.returncode, 0, position)
            with open(self.path("damaged.xml"), "wb") as opened:
                opened.write(content[:-10])
            self.assertNotEqual(other.fipsconfig("restore", self.path("damaged.xml"), password=PASSWORD, more=(BACKUP_PASSWORD,),
                                                 check=False).returncode, 0)
            self.assertEqual(self.list(other), [])
            self.assertEqual(other.status()["failures"], 0)  # a wrong backup password is no officer's failure
            other.fipsconfig("restore", file, password=PASSWORD, more=(BACKUP_PASSWORD,))
            after = {row["name"]: row for row in self.list(other)}
            self.assertNotIn("b-stays", after)
            for name in ("b-rsa", "b-p384", "b-ed"):
                self.assertEqual((after[name]["spki"], after[name]["uses"]), (before[name]["spki"], before[name]["uses"]))
            self.assertTrue(self.verify("b-ed", EDDSA, self.sign("b-ed", EDDSA, other), other))
            self.assertTrue(self.verify("b-rsa", PKCS1, self.sign("b-rsa", PKCS1, other), other))
            # A second restore changes nothing; another key under a name that is taken refuses everything.
            other.fipsconfig("restore", file, password=PASSWORD, more=(BACKUP_PASSWORD,))
            self.assertEqual({name: row["spki"] for name, row in after.items()}, {row["name"]: row["spki"] for row in self.list(other)})
            third = Fipsd(self.path("third")).start().initialise()
            try:
                third.generate("b-rsa", "rsa", "dkim")
                done = third.fipsconfig("restore", file, password=PASSWORD, more=(BACKUP_PASSWORD,), check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual([row["name"] for row in self.list(third)], ["b-rsa"])
            finally:
                third.stop()
        finally:
            other.discard()

    def test_login_warns_of_keys_without_backup(self):
        self.fipsd.generate("w-new", "p256", "smime")
        done = self.fipsd.fipsconfig("selftest", password=PASSWORD)
        self.assertIn("in no backup", done.stderr.decode())

    def test_second_instance_is_refused(self):
        before = len(self.fipsd.log_text())
        done = subprocess.run(self.fipsd.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("[fipsd-started]", self.fipsd.log_text()[before:])
        self.assertEqual(self.fipsd.status()["state"], "operational")

    def test_reload(self):
        self.fipsd.generate("r-dkim", "rsa", "dkim")
        client = FipsdClient(self.fipsd.milter_socket)
        self.assertEqual(client.sign("r-dkim", PKCS1, SHA256, bytes(32))[0], "ok")
        try:
            for config, expected in (({"rights": [{"socket": "milter", "keys": ["other-*"], "uses": ["dkim"], "allow": ["sign"]}]}, "not-found"),
                                     ({"no-such-key": 1}, "not-found"), ({}, "ok")):
                before = len(self.fipsd.log_text())
                self.fipsd.write(config)
                self.fipsd.process.send_signal(signal.SIGHUP)
                self.fipsd.wait_log("[fipsd-reload-failed]" if "no-such-key" in config else "[fipsd-reload-done]", before)
                self.assertEqual(client.sign("r-dkim", PKCS1, SHA256, bytes(32))[0], expected)
        finally:
            self.fipsd.write()


class Failures(unittest.TestCase):
    def setUp(self):
        self.directory = temporary_directory("postern-fail-")
        self.fipsd = Fipsd(os.path.join(self.directory, "fipsd"))

    def tearDown(self):
        self.fipsd.discard()
        shutil.rmtree(self.directory, ignore_errors=True)

    def test_a_false_known_answer_stops_all_use(self):
        self.fipsd.start().initialise()
        self.fipsd.generate("dkim-a")
        self.fipsd.stop()
        for name in ("sha-256", "rsa-pkcs1"):
            self.fipsd.start(options=("--corrupt-kat", name))
            status = self.fipsd.status()
            self.assertEqual(status["state"], "error")
            self.assertEqual(status["self_test"]["failed"], [name])
            client = FipsdClient(self.fipsd.milter_socket)
            self.assertEqual(client.sign("dkim-a", PKCS1, SHA256, bytes(32))[0], "error-state")
            done = self.fipsd.fipsconfig("key", "generate", "new", "--type", "p256", "--use", "smime", password=PASSWORD, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.fipsd.stop()
        self.fipsd.start()
        self.assertEqual(self.fipsd.status()["state"], "operational")
        self.assertEqual(FipsdClient(self.fipsd.milter_socket).sign("dkim-a", PKCS1, SHA256, bytes(32))[0], "ok")

    def test_zeroising_works_in_the_error_state(self):
        self.fipsd.start().initialise()
        self.fipsd.stop()
        self.fipsd.start(options=("--corrupt-kat", "sha-256"))
        self.fipsd.fipsconfig("zeroise", "--yes", password=PASSWORD)
        self.assertEqual(self.fipsd.status()["state"], "zeroised")

    def test_strict_policy(self):
        self.fipsd.write({"fips": "strict"})
        self.fipsd.start().initialise()
        self.fipsd.generate("s-rsa", "rsa", "smime")
        self.fipsd.generate("s-ed", "ed25519", "smime")
        status = self.fipsd.status()
        self.assertEqual(status["fips"], "strict")
        self.assertIn("s-ed", {row["name"] for row in status["not_approved"]})
        self.assertNotIn("FIPS validated", json.dumps(status))
        client = FipsdClient(self.fipsd.milter_socket)
        status, _ = client.ask("decrypt", text("s-rsa") + bytes([1, NONE]) + text(b"") + blob(bytes(256)))
        self.assertEqual(status, "not-allowed")
        # PBKDF2 keeps the password under strict policy.
        with open(os.path.join(self.fipsd.state, "officer"), encoding="ascii") as file:
            self.assertIn("pbkdf2", file.read())

    def test_not_initialised(self):
        self.fipsd.start()
        self.assertEqual(FipsdClient(self.fipsd.milter_socket).sign("a", PKCS1, SHA256, bytes(32))[0], "uninitialised")
        self.assertEqual(self.fipsd.status()["state"], "uninitialised")
        self.assertNotEqual(self.fipsd.fipsconfig("selftest", password=PASSWORD, check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
