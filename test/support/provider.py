# SPDX-License-Identifier: Apache-2.0
"""The OpenSSL provider in the openssl command: its configuration as contrib/postfix shows it, and certificates for keys in fipsd."""
import os
import re
import subprocess

from support.fipsd import PASSWORD
from support.pki import Authority
from support.daemon import BIN
from support.process import SOURCE

MODULE = os.path.join(BIN, "fipsd.so")


def openssl_config(path, socket, timeout="5s"):
    """Writes contrib/postfix/fipsd-openssl.cnf with this build's module and that socket; returns its path."""
    with open(os.path.join(SOURCE, "contrib", "postfix", "fipsd-openssl.cnf"), encoding="utf-8") as file:
        text = file.read()
    for name, value in (("module", MODULE), ("socket", socket), ("timeout", timeout)):
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        if found != 1:
            raise RuntimeError(f"contrib/postfix/fipsd-openssl.cnf has no line for {name}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Openssl:
    """The openssl command with the provider, in `directory`; `plain` runs it without."""

    def __init__(self, directory, socket, timeout="5s"):
        self.directory = directory
        self.config = openssl_config(os.path.join(directory, "openssl.cnf"), socket, timeout)

    def environment(self):
        return {**os.environ, "OPENSSL_CONF": self.config}

    def _run(self, environment, arguments, data, check):
        done = subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.directory,
                              env=environment, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"openssl {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}")
        return done

    def run(self, *arguments, data=b"", check=True):
        return self._run(self.environment(), arguments, data, check)

    def plain(self, *arguments, data=b"", check=True):
        return self._run({key: value for key, value in os.environ.items() if key != "OPENSSL_CONF"}, arguments, data, check)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)


class Keys:
    """Keys in a running fipsd with references and certificates of one authority: NAME.key, NAME.pem (the certificate) and NAME.chain (both)
    in the directory of `openssl`."""

    def __init__(self, fipsd, openssl):
        self.fipsd = fipsd
        self.openssl = openssl
        self.authority = Authority(openssl.directory)

    def make(self, name, kind, use="tls-server", *options):
        self.fipsd.generate(name, kind, use, *options)
        return self.certify(name)

    def certify(self, name, hosts="localhost,mta.test,127.0.0.1"):
        reference = self.fipsd.fipsconfig("key", "reference", name).stdout
        self.openssl.write(name + ".key", reference)
        request = self.fipsd.fipsconfig("cert", "csr", name, "--subject", "CN=" + name + ",O=Test", "--names", hosts,
                                        password=PASSWORD).stdout
        self.openssl.write(name + ".csr", request)
        extensions = self.openssl.write(name + ".ext", "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n"
                                        "extendedKeyUsage=serverAuth,clientAuth,emailProtection\nsubjectAltName=" +
                                        ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts.split(",")) + "\n")
        self.openssl.plain("x509", "-req", "-in", name + ".csr", "-CA", self.authority.certificate, "-CAkey", self.authority.key,
                           "-CAcreateserial", "-out", name + ".pem", "-extfile", extensions, "-days", "30")
        with open(self.openssl.path(name + ".pem"), "rb") as file:
            certificate = file.read()
        self.openssl.write(name + ".chain", reference + certificate)
        return self.openssl.path(name + ".chain")
