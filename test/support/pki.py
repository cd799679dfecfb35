# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for one test, made with the openssl command."""
import os
import subprocess


class Authority:
    """Makes a CA in `directory`; issue() signs certificates for servers and clients."""

    def __init__(self, directory, name="Test CA"):
        self.directory = directory
        self.certificate = os.path.join(directory, "ca.pem")
        self.key = os.path.join(directory, "ca.key")
        self.serial = 1
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out",
                      self.certificate, "-days", "3650", "-subj", "/CN=" + name, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def issue(self, name, subject=None, names=("DNS:localhost", "IP:127.0.0.1"), days=30, key=None):
        """Returns the paths (certificate, key). `days` below 0: it has expired. `key`: use this key file."""
        certificate, request = (os.path.join(self.directory, name + end) for end in (".pem", ".csr"))
        extensions = os.path.join(self.directory, name + ".ext")
        with open(extensions, "w", encoding="utf-8") as file:
            file.write("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n")
            if names:
                file.write("subjectAltName=" + ",".join(names) + "\n")
        if key is None:
            key = os.path.join(self.directory, name + ".key")
            self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        self._openssl("req", "-new", "-key", key, "-out", request, "-subj", subject or "/CN=" + name)
        if days < 0:
            return self._expired(request, extensions, certificate, key)
        self.serial += 1
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-set_serial", str(self.serial), "-out",
                      certificate, "-extfile", extensions, "-days", str(days))
        return certificate, key

    def _expired(self, request, extensions, certificate, key):
        """`openssl x509` cannot say when a certificate begins; `openssl ca` can."""
        folder = os.path.join(self.directory, "expired")
        os.makedirs(folder, exist_ok=True)
        index, serial, settings = (os.path.join(folder, name) for name in ("index", "serial", "ca.cnf"))
        open(index, "w", encoding="ascii").close()
        for path, text in ((serial, "1000\n"), (settings, f"""[ca]
default_ca = it
[it]
database = {index}
serial = {serial}
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
""")):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        self._openssl("ca", "-batch", "-config", settings, "-cert", self.certificate, "-keyfile", self.key, "-in", request, "-out", certificate,
                      "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-extfile", extensions, "-notext")
        return certificate, key
