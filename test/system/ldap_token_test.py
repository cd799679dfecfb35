#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""LDAP over TLS with a certificate whose key exists only in fipsd's token: slapd demands a certificate and SASL EXTERNAL says who we are; and
what becomes of mail while fipsd is away, the key or certificate is another one, or the server's authority is distrusted."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import mta, process, slapd  # noqa: E402
from support.fipsd import PASSWORD, Fipsd  # noqa: E402
from support.provider import Keys, Openssl  # noqa: E402
from support.world import World, last_code  # noqa: E402

# Only who proved to be uid=gateway may read.
ACCESS = f'access to * by dn.exact="uid=gateway,ou=people,{slapd.BASE}" read by * none\n'
ENTRIES = slapd.person("gateway") + slapd.person("anna", mail="Anna@example.org", employeeNumber="anna@in.example")
MAIL = b"From: anna@in.example\r\nTo: b@y.test\r\nSubject: s\r\n\r\nx\r\n"


class Token(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = process.temporary_directory("lt-")
        cls.fipsd = Fipsd(os.path.join(cls.directory, "fipsd"), {"sockets": {"milter": {"group": mta.Postfix.milter_group}}})
        cls.fipsd.start().initialise()
        cls.addClassCleanup(cls.fipsd.discard)
        cls.openssl = Openssl(cls.directory, cls.fipsd.postfix_socket)
        cls.keys = Keys(cls.fipsd, cls.openssl)
        for name, kind in (("gateway", "rsa"), ("gateway-p256", "p256"), ("naked", "p256")):
            cls.fipsd.generate(name, kind, "ldap")
        cls.certify("gateway")
        cls.certify("gateway-p256")
        files = cls.keys.authority.issue("server")
        cls.slapd = slapd.Slapd(cls.directory, "one", ENTRIES, tls=(cls.keys.authority.certificate, *files), client="demand", extra=ACCESS)
        cls.slapd.start()
        cls.addClassCleanup(cls.slapd.kill)

    @classmethod
    def certify(cls, name):
        """A certificate of the test's authority, kept at fipsd beside the key."""
        request = cls.fipsd.fipsconfig("cert", "csr", name, "--subject", "CN=gateway", password=PASSWORD).stdout
        cls.openssl.write(name + ".csr", request)
        extensions = cls.openssl.write(name + ".ext", "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n")
        authority = cls.keys.authority
        cls.openssl.plain("x509", "-req", "-in", name + ".csr", "-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial", "-out",
                          name + ".pem", "-extfile", extensions, "-days", "30")
        cls.fipsd.fipsconfig("cert", "import", name, cls.openssl.path(name + ".pem"), password=PASSWORD)


    def world(self, url=None, **settings):
        profile = {"servers": [url or self.slapd.tls_url], "base": slapd.BASE, "trusted": self.keys.authority.certificate, "sasl": "external",
                   "key": "fipsd:gateway", "timeout": "10s", "connect-timeout": "10s", "retry": "1s", "cache-size": 0,
                   "queries": {"mail": {"filter": "(employeeNumber={a})", "address": "mail"}}, **settings}
        profile = {name: value for name, value in profile.items() if value is not None}
        world = World(config={"keys": {"socket": self.fipsd.milter_socket}, "ldap": {"one": profile}, "masquerade": {"m": {"queries": "one.mail"}},
                              "flows": [{"name": "out", "masquerade": ["m"]}], "on-unknown": {}})
        self.addCleanup(world.close)
        return world

    def deferred(self, world):
        replies, _ = world.send(MAIL, sender="anna@in.example")
        self.assertEqual(last_code(replies), 451, str(replies.get("message")))

    def goes_through(self, world, wait=False):
        if wait:
            process.wait_until(lambda: world.send(MAIL, sender="anna@in.example")[1], "the directory to be back")
        delivery = world.deliver(MAIL, sender="anna@in.example")
        self.assertEqual((delivery.sender, delivery.values("From")), ("Anna@example.org", [" Anna@example.org"]))

    def test_external(self):
        """Without a certificate slapd ends the handshake, and no other identity may read: that mail is masqueraded proves the token signed."""
        for key in "fipsd:gateway", "fipsd:gateway-p256":
            for url, starttls in ((self.slapd.tls_url, None), (self.slapd.url.replace("127.0.0.1", "localhost"), "required")):
                with self.subTest(key=key, url=url):
                    self.goes_through(self.world(url, key=key, starttls=starttls))

    def test_no_private_key_in_files(self):
        found = subprocess.run(["grep", "-rlE", "BEGIN ([A-Z]+ )?PRIVATE KEY", os.path.join(self.directory, "fipsd")], capture_output=True).stdout
        self.assertEqual(found, b"")
        self.assertFalse(os.path.exists(self.openssl.path("gateway.key")))

    def test_certificate_file(self):
        self.goes_through(self.world(certificate=self.openssl.path("gateway.pem")))
        world = self.world(certificate=self.openssl.path("gateway-p256.pem"))
        self.deferred(world)
        world.daemon.wait_log(r"fipsd:gateway is not the key of .*gateway-p256\.pem")

    def test_what_is_not_there(self):
        for key in "fipsd:nobody", "fipsd:naked":
            world = self.world(key=key)
            self.deferred(world)
            world.daemon.wait_log(r"LDAP profile one has no server that answers: .*the certificate of " + key + r".*\[ldap-outage\]")
        # No other certificate is shown in its place.
        world = self.world(key=None, sasl=None)
        self.deferred(world)

    def test_fipsd_away(self):
        world = self.world()
        self.goes_through(world)
        self.fipsd.process.kill()
        # Connections that are there go on; a new one needs the token.
        self.goes_through(world)
        self.slapd.kill()
        self.slapd.start()
        self.deferred(world)
        self.fipsd.start()
        self.goes_through(world, wait=True)

    def test_distrust(self):
        fingerprint = self.openssl.plain("x509", "-in", self.keys.authority.certificate, "-noout", "-pubkey").stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=fingerprint, capture_output=True, check=True).stdout
        spki = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout.split()[0].decode()
        for entry in "issuer:CN=Test CA", "spki:" + spki:
            world = self.world(distrust=[entry])
            self.deferred(world)
            world.daemon.wait_log(r"LDAP profile one has no server that answers: .*certificate refused .*distrust.*fingerprint [0-9A-F:]{95}")
        self.goes_through(self.world(distrust=["issuer:CN=Another CA"]))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
