# SPDX-License-Identifier: Apache-2.0
"""The part of contrib/quickstart that shows keys at work: fipsd with a software token, keys made in it, a letter signed with two of
them and checked by libopendkim and python3-dkim, and a TLS handshake of Postfix with two others. No key is ever in a file."""
import os
import re
import subprocess

from support import dkim_verify
from support.fipsd import PASSWORD, Fipsd
from support.provider import openssl_config

BIN = os.environ["POSTERN_BIN"]
DOMAIN = "example.org"
SIGNING = {"r2026": ("dkim-r2026", "rsa"), "e2026": ("dkim-e2026", "ed25519")}
SERVER = {"mx-rsa": "rsa", "mx-ecdsa": "p256"}
HOST = "mx1.example.org"

# What postern.yaml says of it.
CONFIG = {
    "dkim": {DOMAIN: {"domain": DOMAIN, "keys": [{"selector": selector, "key": key} for selector, (key, _) in SIGNING.items()]}},
    "flows": [{"name": "outbound", "when": {"authenticated": True}, "sign": [DOMAIN]}, {"name": "inbound"}],
}


class Keys:
    def __init__(self, postfix):
        self.postfix = postfix
        directory = os.path.join(postfix.directory, "fipsd")
        # smtpd is chrooted: the socket is found there under the same path inside the queue directory.
        inside = os.path.join(postfix.queue, directory.lstrip("/"))
        os.makedirs(inside)
        self.fipsd = Fipsd(directory, postfix_sockets=[os.path.join(inside, "postfix.sock")], group=postfix.milter_group)

    def start(self):
        self.fipsd.start().initialise()
        for name, kind in SIGNING.values():
            self.fipsd.generate(name, kind, "dkim")
        chains = []
        for name, kind in SERVER.items():
            self.fipsd.generate(name, kind, "tls-server")
            self.fipsd.fipsconfig("cert", "self-sign", name, "--subject", f"CN={HOST}", "--names", HOST, "--days", "30", password=PASSWORD)
            certificate = self.fipsd.fipsconfig("cert", "export", name).stdout
            with open(self.certificate(name), "wb") as file:
                file.write(certificate)
            chains.append(os.path.join(self.postfix.directory, name + ".pem"))
            with open(chains[-1], "wb") as file:
                file.write(self.fipsd.fipsconfig("key", "reference", name).stdout + certificate)
        openssl = openssl_config(os.path.join(self.postfix.directory, "openssl.cnf"), self.fipsd.postfix_socket)
        self.postfix.extra.update({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": ", ".join(chains),
                                   "tls_config_file": openssl, "tls_config_name": "postfix"})
        # DNS would publish these; the verifiers read them from a file instead.
        self.records = os.path.join(self.postfix.directory, "dkim-records")
        with open(self.records, "w") as file:
            for selector, (name, _) in SIGNING.items():
                text = self.fipsd.fipsconfig("key", "dnstxt", name).stdout.decode()
                file.write(f"{selector}._domainkey.{DOMAIN} {''.join(text.split(chr(34))[1::2])}\n")
        return self

    def certificate(self, name):
        return os.path.join(self.postfix.directory, name + ".crt")

    def signatures(self, delivery):
        """[(selector, algorithm, libopendkim's word, python3-dkim's word)] of a message that arrived."""
        path = os.path.join(self.postfix.directory, "signed.eml")
        with open(path, "wb") as file:
            file.write(delivery.data)
        shown = subprocess.run([os.path.join(BIN, "dkim-verify"), self.records, path], stdout=subprocess.PIPE, check=True).stdout.decode()
        first = {row[3]: row[4] for row in map(str.split, shown.splitlines())}
        second = {selector: outcome for _, selector, outcome, _ in dkim_verify.results(delivery.data, dkim_verify.read_keys(self.records))}
        algorithms = {re.search(r"\bs=([^;\s]+)", value)[1]: re.search(r"\ba=([^;\s]+)", value)[1]
                      for value in delivery.values("DKIM-Signature")}
        return [(selector, algorithms.get(selector, "missing"), first.get(selector, "missing"), second.get(selector, "missing"))
                for selector in SIGNING]

    def handshakes(self):
        """[(key, protocol and cipher, OpenSSL's word on the certificate)] of STARTTLS with Postfix, once for each of its keys."""
        rows = []
        for name in SERVER:
            algorithms = "rsa_pss_rsae_sha256" if SERVER[name] == "rsa" else "ecdsa_secp256r1_sha256"
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.postfix.port}", "-starttls", "smtp", "-CAfile", self.certificate(name),
                                   "-verify_hostname", HOST, "-sigalgs", algorithms, "-brief"], input=b"QUIT\r\n", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=60).stdout.decode(errors="replace")
            protocol = re.search(r"Protocol version: (\S+)", done)
            cipher = re.search(r"Ciphersuite: (\S+)", done)
            verified = re.search(r"Verification: (\S+)", done) or re.search(r"Verify return code: (.*)", done)
            rows.append((name, f"{protocol[1] if protocol else 'none'}, {cipher[1] if cipher else '-'}", verified[1] if verified else done[-200:]))
        return rows

    def stop(self):
        if self.fipsd.process and self.fipsd.process.alive():
            self.fipsd.stop()

    def discard(self):
        self.fipsd.discard()


def show(keys, delivery):
    """Prints what was checked; returns whether all of it was good."""
    print("\nKeys made in a token that only fipsd opens; the letter from inside as it arrived, judged by two verifiers:")
    good = True
    for selector, algorithm, first, second in keys.signatures(delivery) if delivery else []:
        print(f"  {selector}._domainkey.{DOMAIN:12} {algorithm:15} libopendkim: {first:8} python3-dkim: {second}")
        good = good and (first, second) == ("pass", "pass")
    print("STARTTLS with Postfix, whose keys are in the token too:")
    for name, connection, verified in keys.handshakes():
        print(f"  {name:10} {connection:36} certificate: {verified}")
        good = good and verified == "OK" and connection.startswith("TLSv1.3")
    return good and delivery is not None
