# SPDX-License-Identifier: Apache-2.0
"""Private slapd instances, run from the package that contrib/get-mtas unpacks."""
import os
import shutil
import signal
import socket
import subprocess

from . import process

ROOT = os.path.join(os.environ.get("POSTERN_MTA_DIR", os.path.join(process.SOURCE, "build", "mta")), "slapd")
BASE = "dc=example,dc=org"
ADMIN = "cn=admin," + BASE
PASSWORD = "top secret"


def _library_path():
    found = []
    for folder in ("usr/lib", "lib"):
        top = os.path.join(ROOT, folder)
        if os.path.isdir(top):
            found += [os.path.join(top, name) for name in os.listdir(top) if "linux-gnu" in name]
    return ":".join(found)


def person(uid, **attributes):
    """LDIF of one person below ou=people."""
    more = attributes.pop("objectClass", None)
    lines = [f"dn: uid={uid},ou=people,{BASE}", "objectClass: inetOrgPerson", *([f"objectClass: {more}"] if more else []), f"uid: {uid}", f"sn: {uid}"]
    attributes.setdefault("cn", uid)
    for name, value in attributes.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            lines.append(f"{name}: {one}")
    return "\n".join(lines) + "\n\n"


def group(name, *members):
    return (f"dn: cn={name},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {name}\n" +
            "".join(f"member: {member}\n" for member in members) + "\n")


class Slapd:
    """One instance with `entries` (LDIF below BASE). `tls`: (CA, certificate, key) files; `client`: "demand" asks for certificates."""

    def __init__(self, directory, name, entries, port=None, tls=None, client="never", extra=""):
        if not os.path.isdir(ROOT):
            raise RuntimeError(f"there is no slapd in {ROOT}: contrib/get-mtas unpacks it")
        self.name = name
        self.directory = os.path.join(directory, name)
        os.makedirs(os.path.join(self.directory, "db"))
        self.port = port or process.free_port()
        self.tls_port = process.free_port() if tls else None
        self.socket = os.path.join(self.directory, "ldapi")
        self.url = f"ldap://127.0.0.1:{self.port}"
        self.urls = [self.url, "ldapi://" + self.socket.replace("/", "%2F")]
        self.ldapi = self.urls[1]
        if tls:
            self.tls_url = f"ldaps://localhost:{self.tls_port}"
            self.urls.append(f"ldaps://127.0.0.1:{self.tls_port}")
        self.log = os.path.join(self.directory, "log")
        self.process = None
        self._configure(tls, client, extra)
        self._load(entries)

    def _configure(self, tls, client, extra):
        schema = os.path.join(ROOT, "etc/ldap/schema")
        modules = os.path.join(ROOT, "usr/lib/ldap")
        text = "".join(f"include {schema}/{name}.schema\n" for name in ("core", "cosine", "inetorgperson", "nis", "misc", "dyngroup"))
        text += f"modulepath {modules}\nmoduleload back_mdb\nmoduleload memberof\nmoduleload dynlist\npidfile {self.directory}/pid\n"
        if tls:
            text += "TLSCACertificateFile %s\nTLSCertificateFile %s\nTLSCertificateKeyFile %s\nTLSVerifyClient %s\n" % (*tls, client)
        text += f"""authz-regexp "^cn=([^,]+)$" "uid=$1,ou=people,{BASE}"
authz-regexp "gidNumber=.*,cn=peercred,cn=external,cn=auth" "{ADMIN}"
sizelimit 500
database mdb
suffix "{BASE}"
rootdn "{ADMIN}"
rootpw "{PASSWORD}"
directory {self.directory}/db
maxsize 104857600
dbnosync
index objectClass,uid,mail,member eq
{extra}
"""
        self.config = os.path.join(self.directory, "slapd.conf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def _load(self, entries):
        tree = f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
        for unit in ("people", "groups"):
            tree += f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n\n"
        # slapadd is slapd under another name.
        tool = os.path.join(self.directory, "slapadd")
        if not os.path.exists(tool):
            os.symlink(os.path.join(ROOT, "usr/sbin/slapd"), tool)
        environment = dict(os.environ, LD_LIBRARY_PATH=_library_path())
        done = subprocess.run([tool, "-q", "-f", self.config], input=(tree + entries).encode(), env=environment, capture_output=True)
        if done.returncode != 0:
            raise AssertionError("slapadd: " + done.stderr.decode(errors="replace"))

    def start(self):
        environment = dict(os.environ, LD_LIBRARY_PATH=_library_path())
        command = [os.path.join(ROOT, "usr/sbin/slapd"), "-d", "0", "-f", self.config, "-h", " ".join(self.urls)]
        self.process = process.Process(command, self.name, log=self.log, env=environment)
        process.wait_until(self._answers, lambda: self.name + ": " + self.process.log_text())
        return self

    def _answers(self):
        if not self.process.alive():
            raise AssertionError(self.name + " ended: " + self.process.log_text())
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return os.path.exists(self.socket)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def replace(self, entries):
        """Other entries; the instance must be down."""
        shutil.rmtree(os.path.join(self.directory, "db"))
        os.makedirs(os.path.join(self.directory, "db"))
        self._load(entries)
