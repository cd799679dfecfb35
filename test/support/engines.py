# SPDX-License-Identifier: Apache-2.0
"""Private clamd, clamav-milter, c-icap, rspamd and spamd instances, run from the packages that contrib/get-mtas unpacks, and a scripted clamd that
fails in every way. Each knows one thing to find: clamd the text SIGNATURE, rspamd GTUBE and Subjects with the word "scored" (4.25),
spamd GTUBE (1000) and mail whose client said HELO client.test (1.5)."""
import contextlib
import glob
import os
import socket
import threading

from . import process
from .mta import PACKAGES, library_path

CLAMAV, RSPAMD, SPAMASSASSIN = (os.path.join(PACKAGES, name) for name in ("clamav", "rspamd", "spamassassin"))
SIGNATURE = b"POSTERN-ENGINE-TEST-PATTERN"
VIRUS = "Postern-Test.UNOFFICIAL"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def connects(path):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(path)
            return True
        except OSError:
            return False


class Server:
    """One program with a directory of its own; `place` is what postern.yaml names."""

    def __init__(self, directory, name):
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        os.chmod(self.directory, 0o777)  # spamd gives up root's rights
        self.log = os.path.join(self.directory, "output")
        self.process = None

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run(self, command, ready, **environment):
        self.process = process.Process(command, os.path.basename(command[0]), self.log, env={**os.environ, **environment})
        process.wait_until(lambda: ready() or not self.process.alive(), lambda: f"{command} to start\n{self.process.log_text()}")
        if not self.process.alive():
            raise RuntimeError(f"{command} does not start:\n{self.process.log_text()}")
        return self

    def kill(self):
        if self.process:
            self.process.kill()
            self.process = None


class Clamd(Server):
    def __init__(self, directory, name="clamd"):
        super().__init__(directory, name)
        self.socket = os.path.join(self.directory, "socket")
        self.place = "unix:" + self.socket
        self.file("database/test.ndb", f"Postern-Test:0:*:{SIGNATURE.hex()}\n")
        self.config = self.file("clamd.conf", f"LocalSocket {self.socket}\nDatabaseDirectory {self.directory}/database\nForeground yes\n"
                                f"TemporaryDirectory {self.directory}\nStreamMaxLength 1M\nAlertEncrypted yes\nReadTimeout 10\n")

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        return self.run([os.path.join(CLAMAV, "usr/sbin/clamd"), "-c", self.config], lambda: connects(self.socket),
                        LD_LIBRARY_PATH=library_path(CLAMAV))


class ClamavMilter(Server):
    """clamav-milter, which shows whole mails to `clamd`."""

    def __init__(self, directory, clamd):
        super().__init__(directory, "clamav-milter")
        self.socket = os.path.join(self.directory, "milter.sock")
        self.config = self.file("clamav-milter.conf", f"MilterSocket unix:{self.socket}\nClamdSocket {clamd.place}\nForeground yes\n"
                                f"TemporaryDirectory {self.directory}\nOnInfected Reject\nOnFail Defer\n")

    def start(self):
        return self.run([os.path.join(CLAMAV, "usr/sbin/clamav-milter"), "-c", self.config], lambda: connects(self.socket),
                        LD_LIBRARY_PATH=library_path(CLAMAV))


class Icap(Server):
    """c-icap, which asks `clamd`."""

    def __init__(self, directory, clamd):
        super().__init__(directory, "c-icap")
        self.port = process.free_port()
        self.place = f"127.0.0.1:{self.port}"
        modules = glob.glob(os.path.join(CLAMAV, "usr/lib/*/c_icap"))[0]
        self.config = self.file("c-icap.conf", f"""PidFile {self.directory}/pid
CommandsSocket {self.directory}/commands
Port 127.0.0.1:{self.port}
TmpDir {self.directory}
ServerName localhost
StartServers 1
MaxServers 1
ThreadsPerChild 4
ServerLog {self.directory}/server.log
AccessLog {self.directory}/access.log
DebugLevel 1
ModulesDir {modules}
ServicesDir {modules}
LoadMagicFile {CLAMAV}/etc/c-icap/c-icap.magic
TemplateDir {CLAMAV}/usr/share/c_icap/templates/
acl all src 0.0.0.0/0.0.0.0
Module common clamd_mod.so
clamd_mod.ClamdSocket {clamd.socket}
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.MaxObjectSize 5M
virus_scan.DefaultEngine clamd
""")

    def start(self):
        return self.run([os.path.join(CLAMAV, "usr/bin/c-icap"), "-N", "-f", self.config], lambda: process.listening(self.port),
                        LD_LIBRARY_PATH=library_path(CLAMAV))


class Rspamd(Server):
    def __init__(self, directory):
        super().__init__(directory, "rspamd")
        self.socket = os.path.join(self.directory, "normal.sock")
        self.place = "unix:" + self.socket
        rules = self.file("rules.lua", "config['regexp'] = { POSTERN_TEST = { re = 'Subject=/scored/i{header}', score = 4.25, description = 'test' } }\n"
                          "rspamd_maps = {}\n")
        domains = self.file("domains", "com\norg\ntest\n")
        home = self.directory
        self.config = self.file("rspamd.conf", f"""
lua = "{rules}";
options {{ pidfile = "{home}/pid"; filters = "regexp"; tempdir = "{home}"; hs_cache_dir = "{home}/"; cache_file = "{home}/symbols.cache";
  control_socket = "{home}/control.sock mode=0600"; history_rows = 1; dns {{ nameserver = ["127.0.0.1"]; timeout = 1s; }}
  url_tld = "{domains}"; task_timeout = 8s; explicit_modules = ["settings", "bayes_expiry"]; local_addrs = ["0.0.0.0/0"]; gtube_patterns = "all"; }}
logging {{ type = "file"; filename = "{home}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "{self.socket} mode=0777"; count = 1; task_timeout = 8s; }}
actions {{ reject = 15; add_header = 6; }}
""")

    def start(self):
        return self.run([os.path.join(RSPAMD, "usr/bin/rspamd"), "-f", "-i", "-u", "root", "-g", "root", "-c", self.config],
                        lambda: connects(self.socket), LD_LIBRARY_PATH=os.path.join(RSPAMD, "usr/lib/rspamd") + ":" + library_path(RSPAMD))


class Spamd(Server):
    def __init__(self, directory):
        super().__init__(directory, "spamd")
        self.socket = os.path.join(self.directory, "socket")
        self.place = "unix:" + self.socket
        self.file("rules/v320.pre", "loadplugin Mail::SpamAssassin::Plugin::Check\n")
        pattern = GTUBE.decode().replace("*", r"\*").replace(".", r"\.")
        self.file("rules/test.cf", f"body GTUBE /{pattern}/\nscore GTUBE 1000\nrequired_score 5\n"
                  "header POSTERN_HELO X-Spam-Relays-External =~ /helo=client\\.test/\nscore POSTERN_HELO 1.5\n")

    def start(self):
        libraries = ["-I" + path for path in [os.path.join(SPAMASSASSIN, "usr/share/perl5"), *glob.glob(os.path.join(SPAMASSASSIN, "usr/lib/*/perl5/5*"))]]
        rules = os.path.join(self.directory, "rules")
        return self.run(["/usr/bin/perl", "-T", *libraries, os.path.join(SPAMASSASSIN, "usr/sbin/spamd"), "-L", "-x", "-q", "-u", "nobody",
                         "--socketpath=" + self.socket, "--socketmode=0666", "-C", rules, "--siteconfigpath=" + rules, "-H", self.directory,
                         "-m", "2", "--min-children=1", "-s", "stderr"], lambda: "child states: I" in self.process.log_text())


class FakeClamd:
    """A clamd on a TCP port that does as `mode` says: "good"; "connect": nobody accepts; "silent": accepts and says nothing;
    "mid-answer": stops in the middle of its answer. What hangs is let go when the mode changes."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.place = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.mode = "good"
        self.hanging = 0
        self.closed = False
        self.fillers = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def set(self, mode):
        with self.changed:
            self.mode = mode
            self.changed.notify_all()
        for filler in self.fillers:
            filler.close()
        self.fillers = []
        if mode == "connect":
            # The queue of connections that nobody has accepted is full after these.
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(self.listener.getsockname())
                self.fillers.append(filler)

    def close(self):
        self.closed = True
        self.set("good")
        self.listener.close()

    def _accept(self):
        while not self.closed:
            with self.changed:
                self.changed.wait_for(lambda: self.mode != "connect" or self.closed)
            try:
                self.listener.settimeout(0.05)
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _hang(self, mode):
        with self.changed:
            self.hanging += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.mode != mode)
            self.hanging -= 1

    def _serve(self, connection):
        with connection:
            mode = self.mode
            seen = b""
            try:
                while not (seen == b"zPING\0" or seen.endswith(b"\0\0\0\0")):
                    got = connection.recv(65536)
                    if not got:
                        return
                    seen += got
                ping = seen == b"zPING\0"
                if mode in ("silent", "mid-answer") or (mode == "message" and not ping):
                    connection.sendall(b"stream: " if mode == "mid-answer" else b"")
                    self._hang(mode)
                    return
                connection.sendall(b"PONG\0" if ping else b"stream: Fake FOUND\0" if SIGNATURE in seen else b"stream: OK\0")
            except OSError:
                return
