# SPDX-License-Identifier: Apache-2.0
"""Private Postfix and Sendmail instances, run from the packages that contrib/get-mtas unpacked.

Each has its own configuration, queue and log in one temporary directory, listens on a free port of 127.0.0.1 and sends everything on
to one port there. Nothing of the machine's own mail set-up is read or touched, and no users are made: Postfix takes three users that
every Debian has. Both talk to a milter socket that must be made by the caller: `milter_socket`, inside Postfix's queue directory,
since Debian runs smtpd and cleanup chrooted there.
"""
import glob
import grp
import json
import os
import pwd
import re
import shutil
import signal
import subprocess

from support import smtp
from support.process import SOURCE, Process, Timeout, free_port, listening, temporary_directory, wait_until

PACKAGES = os.environ.get("POSTERN_MTA_DIR", os.path.join(SOURCE, "build", "mta"))
# What test/support/preload.cc became.
PRELOAD = os.environ.get("POSTERN_TEST_PRELOAD", os.path.join(SOURCE, "build", "preload.so"))
MESSAGE_LIMIT = 400_000_000


def unpacked(name):
    root = os.path.join(PACKAGES, name)
    if not os.path.exists(os.path.join(root, ".complete")):
        raise SystemExit(f"{root}: not there; contrib/get-mtas brings it")
    return root


def library_path(root):
    return ":".join([os.path.join(root, "usr/lib/postfix")] + sorted(glob.glob(root + "/usr/lib/*-linux-gnu*")) +
                    sorted(glob.glob(root + "/lib/*-linux-gnu*")))


class Mta:
    """What both have in common. States of a message: "gone" (delivered, bounced or discarded), "held" (quarantined), "queued"."""

    def __init__(self, sink_port, directory, milter_socket, default_action):
        self.directory = directory or temporary_directory(f"postern-{self.name}-")
        self.sink_port = sink_port
        self.default_action = default_action
        self.log = os.path.join(self.directory, "mail.log")
        self.milter_socket = milter_socket
        self.process = None

    def start(self):
        for attempt in range(3):
            self.port = free_port()
            self.configure()
            self.process = self.launch()
            try:
                wait_until(lambda: listening(self.port) or not self.process.alive(), f"{self.name} on port {self.port}", 30)
            except Timeout:
                pass
            if self.process.alive() and listening(self.port):
                return self
            self.process.kill()
        raise RuntimeError(f"{self.name} does not start:\n" + self.log_text())

    def log_text(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def settled(self, queue_id):
        return self.state(queue_id) in ("gone", "held")

    def wait_settled(self, queue_id, deadline=None):
        wait_until(lambda: self.settled(queue_id), lambda: f"{self.name} to finish {queue_id}: {self.state(queue_id)}\n" +
                   "".join(line + "\n" for line in self.log_text().splitlines() if queue_id in line), deadline)

    def stop(self):
        if self.process:
            try:
                self.process.stop(signal.SIGTERM, 15)
            except Timeout:
                self.process.kill()
            self.process = None


class Postfix(Mta):
    """Debian's Postfix with Debian's master.cf: the chroot columns stay as they are."""

    name = "postfix"
    mail_owner, setgid_group, nobody = "daemon", "uucp", "nobody"
    milter_group = "daemon"

    def __init__(self, sink_port, directory=None, default_action="tempfail", extra=None, milter=True):
        super().__init__(sink_port, directory, None, default_action)
        self.root = unpacked("postfix")
        self.config = os.path.join(self.directory, "etc")
        self.queue = os.path.join(self.directory, "queue")
        self.milter_socket = os.path.join(self.queue, "postern", "milter.sock")
        self.extra = extra or {}
        self.milter = milter
        self.reinject_port = None  # where the listener for posternd's own mail is; none where not set before start()
        self.environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": library_path(self.root), "MAIL_CONFIG": self.config}
        self._directories()

    def _directories(self):
        owner, group = pwd.getpwnam(self.mail_owner), grp.getgrnam(self.setgid_group)
        os.makedirs(self.config, exist_ok=True)
        os.makedirs(self.queue, exist_ok=True)
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"):
            self._directory(name, owner.pw_uid, 0, 0o700)
        self._directory("maildrop", owner.pw_uid, group.gr_gid, 0o730)
        self._directory("public", owner.pw_uid, group.gr_gid, 0o710)
        self._directory("pid", 0, 0, 0o755)
        self._directory("postern", 0, owner.pw_gid, 0o750)
        self.data = os.path.join(self.directory, "data")
        os.makedirs(self.data, exist_ok=True)
        os.chown(self.data, owner.pw_uid, -1)
        # What Debian's start script copies into the chroot.
        os.makedirs(os.path.join(self.queue, "etc"), exist_ok=True)
        for name in ("hosts", "localtime", "nsswitch.conf", "resolv.conf", "services"):
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, os.path.join(self.queue, "etc", name))

    def _directory(self, name, uid, gid, mode):
        path = os.path.join(self.queue, name)
        os.makedirs(path, exist_ok=True)
        os.chown(path, uid, gid)
        os.chmod(path, mode)

    def configure(self):
        usr = os.path.join(self.root, "usr")
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.queue,
            "data_directory": self.data,
            "daemon_directory": usr + "/lib/postfix/sbin",
            "shlib_directory": usr + "/lib/postfix",
            "command_directory": usr + "/sbin",
            "sendmail_path": usr + "/sbin/sendmail",
            "meta_directory": self.config,
            "mail_owner": self.mail_owner,
            "setgid_group": self.setgid_group,
            "default_privs": self.nobody,
            "import_environment": "MAIL_CONFIG TZ LD_LIBRARY_PATH",
            "export_environment": "MAIL_CONFIG TZ LD_LIBRARY_PATH",
            "maillog_file": self.log,
            "maillog_file_prefixes": self.directory,
            "myhostname": "mta.test",
            "mydestination": "",
            "myorigin": "mta.test",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "relayhost": "[127.0.0.1]",
            "smtp_tcp_port": str(self.sink_port),
            "default_database_type": "texthash",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "notify_classes": "",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_error_sleep_time": "0",
            "smtpd_soft_error_limit": "1000",
            "smtpd_hard_error_limit": "1000",
            "smtpd_peername_lookup": "no",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": "none",
            "smtpd_tls_security_level": "none",
            "smtp_address_preference": "ipv4",
            "in_flow_delay": "0",
            "message_size_limit": str(MESSAGE_LIMIT),
            "mailbox_size_limit": "0",
            "minimal_backoff_time": "5s",
            "queue_run_delay": "5s",
            "milter_default_action": self.default_action,
            "milter_connect_timeout": "10s",
            "milter_command_timeout": "30s",
            "milter_content_timeout": "300s",
        }
        if self.milter:
            settings["smtpd_milters"] = "unix:postern/milter.sock"
            settings["non_smtpd_milters"] = "unix:postern/milter.sock"
            settings["milter_macro_daemon_name"] = "MTA"
            settings["milter_header_checks"] = "regexp:" + self._adapted("header_checks")
            settings["smtp_header_checks"] = "regexp:" + self._adapted("smtp_header_checks")
            settings["internal_mail_filter_classes"] = "bounce"
        settings.update(self.extra)
        with open(os.path.join(self.config, "main.cf"), "w") as file:
            file.writelines(f"{key} = {value}\n" for key, value in settings.items())
        with open(usr + "/share/postfix/master.cf.dist") as file:
            master = file.read()
        master, found = re.subn(r"(?m)^smtp(\s+inet\s.*\ssmtpd)$", f"127.0.0.1:{self.port}\\1", master)
        if found != 1:
            raise RuntimeError("the package's master.cf has no smtp service to move to another port")
        # The transport that contrib/postfix shows for alt-src-host, and the listener for posternd's own mail.
        with open(self._adapted("master.cf")) as file:
            shown = file.read()
        master += "\n" + "".join(re.findall(r"(?m)^smtp-from-.*\n(?:[ \t].*\n)*", shown))
        if self.reinject_port:
            listener = re.search(r"(?m)^127\.0\.0\.1:10026 .*\n(?:[ \t].*\n)*", shown).group(0)
            master += listener.replace(":10026 ", f":{self.reinject_port} ", 1)
        with open(os.path.join(self.config, "master.cf"), "w") as file:
            file.write(master)
        with open(os.path.join(self.config, "dynamicmaps.cf"), "w"):
            pass

    def _adapted(self, name):
        """A file of contrib/postfix with its example address made one that loopback has; returns the path."""
        with open(os.path.join(SOURCE, "contrib", "postfix", name)) as file:
            text = file.read()
        for separator in (".", "\\.", "-"):
            text = text.replace(separator.join(("192", "0", "2", "9")), separator.join(("127", "0", "0", "9")))
        # Without a next hop FILTER means the recipient's domain, also where a relayhost is set.
        text = text.replace("FILTER smtp-from-127-0-0-9:\n", "FILTER smtp-from-127-0-0-9:[127.0.0.1]\n")
        path = os.path.join(self.config, "contrib-" + name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def launch(self):
        for leftover in glob.glob(self.queue + "/pid/*") + glob.glob(self.data + "/*.lock"):
            os.unlink(leftover)
        return Process([self.root + "/usr/lib/postfix/sbin/master", "-c", self.config, "-d"], "postfix master", self.log,
                       death_signal=signal.SIGTERM, env=self.environment)

    def command(self, name, *arguments, **options):
        """Runs one of Postfix's commands on this instance; returns its output."""
        return subprocess.run([f"{self.root}/usr/sbin/{name}", "-c", self.config, *arguments], env=self.environment, check=True,
                              stdout=subprocess.PIPE, timeout=60, **options).stdout.decode()

    def submit(self, sender, data):
        """Hands a message in as local programs do: sendmail -t, pickup, cleanup. Returns its queue id."""
        seen = len(self.log_text())
        subprocess.run([self.root + "/usr/sbin/sendmail", "-C", self.config, "-i", "-t", "-f", sender], env=self.environment,
                       input=data.replace(b"\r\n", b"\n"), check=True, timeout=60)
        match = wait_until(lambda: re.search(r"postfix/pickup\[\d+\]: ([0-9A-Za-z]+): uid=", self.log_text()[seen:]), "pickup")
        return match.group(1)

    def state(self, queue_id):
        for name in ("hold", "maildrop", "incoming", "active", "deferred"):
            if glob.glob(f"{self.queue}/{name}/**/{queue_id}", recursive=True):
                return "held" if name == "hold" else "queued"
        return "gone"

    def held(self):
        """{queue id: reason or None} of messages in the hold queue, as postqueue shows them."""
        lines = [json.loads(line) for line in self.command("postqueue", "-j").splitlines() if line.strip()]
        return {entry["queue_id"]: None for entry in lines if entry["queue_name"] == "hold"}

    def quarantine_reason(self, queue_id):
        match = re.search(rf"{queue_id}: milter-hold: .*?: (.*?); from=", self.log_text())
        return match.group(1) if match else None


class Sendmail(Mta):
    """Debian's Sendmail with a configuration made from the package's m4 files."""

    name = "sendmail"
    milter_group = "root"

    def __init__(self, sink_port, directory=None, default_action="tempfail", extra=None, milter=True):
        super().__init__(sink_port, directory, None, default_action)
        self.root = unpacked("sendmail")
        self.queue = os.path.join(self.directory, "queue")
        # Sendmail refuses a socket below a directory that all may write, as /tmp is.
        self.milter_socket = os.path.join(temporary_directory("postern-sendmail-", "/run"), "milter.sock")
        self.extra = extra or {}
        self.milter = milter
        self.config = os.path.join(self.directory, "sendmail.cf")
        self.environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": library_path(self.root), "LD_PRELOAD": PRELOAD,
                            "POSTERN_TEST_SYSLOG": self.log, "POSTERN_TEST_HOSTNAME": "mta.test"}
        os.makedirs(self.queue, exist_ok=True)
        os.chmod(self.queue, 0o700)

    def configure(self):
        cf = self.root + "/usr/share/sendmail/cf"
        switch = os.path.join(self.directory, "service.switch")
        with open(switch, "w") as file:
            file.write("hosts files\naliases files\n")
        for name in ("aliases", "helpfile", "statistics", "local-host-names", "trusted-users"):
            open(os.path.join(self.directory, name), "a").close()
        fail = {"tempfail": "F=T, ", "reject": "F=R, ", "accept": ""}[self.default_action]
        here = self.directory
        lines = [
            f"define(`_CF_DIR_', `{cf}/')dnl",
            f"include(`{cf}/m4/cf.m4')dnl",
            "VERSIONID(`postern system test')dnl",
            "OSTYPE(`linux')dnl",
            "define(`confDOMAIN_NAME', `mta.test')dnl",
            f"define(`confPID_FILE', `{here}/sendmail.pid')dnl",
            f"define(`STATUS_FILE', `{here}/statistics')dnl",
            f"define(`HELP_FILE', `{here}/helpfile')dnl",
            f"define(`ALIAS_FILE', `{here}/aliases')dnl",
            f"define(`QUEUE_DIR', `{self.queue}')dnl",
            f"define(`confSERVICE_SWITCH_FILE', `{switch}')dnl",
            "define(`confDONT_PROBE_INTERFACES', `True')dnl",
            "define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,WorldWritableAliasFile,ForwardFileInUnsafeDirPath')dnl",
            "define(`confDELIVERY_MODE', `background')dnl",
            "define(`confTO_IDENT', `0')dnl",
            "define(`confTO_RESOLVER_RETRANS', `1')dnl",
            "define(`confTO_RESOLVER_RETRY', `1')dnl",
            "define(`confBIND_OPTS', `-DNSRCH -DEFNAMES')dnl",
            "define(`confREFUSE_LA', `10000')dnl",
            "define(`confQUEUE_LA', `10000')dnl",
            "define(`confDELAY_LA', `0')dnl",
            "define(`confMIN_FREE_BLOCKS', `0')dnl",
            "define(`confBAD_RCPT_THROTTLE', `0')dnl",
            "define(`confLOG_LEVEL', `14')dnl",
            f"define(`confMAX_MESSAGE_SIZE', `{MESSAGE_LIMIT}')dnl",
            # With a bound on MIME header lines Sendmail would write multiparts anew on their way out.
            "define(`confMAX_MIME_HEADER_LENGTH', `0/0')dnl",
            "define(`confMAX_HEADERS_LENGTH', `524288')dnl",
            "define(`confMILTER_LOG_LEVEL', `14')dnl",
            "define(`confME_TOO', `True')dnl",
            f"define(`ESMTP_MAILER_ARGS', `TCP $h {self.sink_port}')dnl",
            "define(`ESMTP_MAILER_FLAGS', `8')dnl",
            f"define(`RELAY_MAILER_ARGS', `TCP $h {self.sink_port}')dnl",
            "define(`SMART_HOST', `esmtp:[127.0.0.1]')dnl",
            "define(`MAIL_HUB', `esmtp:[127.0.0.1]')dnl",
            "define(`LOCAL_RELAY', `esmtp:[127.0.0.1]')dnl",
            "FEATURE(`promiscuous_relay')dnl",
            "FEATURE(`accept_unresolvable_domains')dnl",
            "FEATURE(`accept_unqualified_senders')dnl",
            "FEATURE(`nocanonify')dnl",
            "FEATURE(`no_default_msa')dnl",
            f"DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={self.port}, Family=inet')dnl",
        ]
        if self.milter:
            lines += [
                f"INPUT_MAIL_FILTER(`postern', `S=unix:{self.milter_socket}, {fail}T=C:10s;S:10s;R:30s;E:5m')dnl",
                "define(`confINPUT_MAIL_FILTERS', `postern')dnl",
            ]
        lines += self.extra.get("m4", [])
        lines += [
            "MAILER(`local')dnl",
            "MAILER(`smtp')dnl",
            "LOCAL_CONFIG",
            "Kstore macro",
            # A client that says "EHLO auth.NAME.test" counts as authenticated as NAME: no SASL is needed to test rules about it.
            "LOCAL_RULESETS",
            "SLocal_check_mail",
            "R$*\t\t\t$: < $&s > $1",
            "R< auth . $+ . test > $*\t$: $(store {auth_authen} $@ $1 $) $(store {auth_type} $@ PLAIN $) $2",
            "R< $* > $*\t\t$: $2",
        ]
        mc = os.path.join(self.directory, "sendmail.mc")
        with open(mc, "w") as file:
            file.write("divert(-1)\ndivert(0)dnl\n" + "\n".join(lines) + "\n")
        made = subprocess.run([self.root + "/usr/bin/m4", mc], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True, timeout=60)
        with open(self.config, "wb") as file:
            file.write(made.stdout)

    def launch(self):
        return Process([self.root + "/usr/libexec/sendmail/sendmail", "-C", self.config, "-bD", "-q5s"], "sendmail", self.log,
                       env=self.environment)

    def submit(self, sender, data):
        """Hands a message in as local programs do: Debian's submission program passes it on by SMTP from the local host. Returns
        its queue id."""
        recipients = re.findall(r"[^\s,<>]+@[^\s,<>]+", re.search(rb"(?mi)^To:(.*)$", data).group(1).decode())
        return smtp.queue_id(smtp.send(self.port, sender, recipients, data, helo="localhost", source="127.0.0.1")["message"])

    def state(self, queue_id):
        for prefix, state in (("hf", "held"), ("qf", "queued"), ("df", "queued")):
            if os.path.exists(f"{self.queue}/{prefix}{queue_id}"):
                return state
        return "gone"

    def held(self):
        """{queue id: reason} of quarantined messages, from the queue's own control files."""
        found = {}
        for path in glob.glob(self.queue + "/hf*"):
            found[os.path.basename(path)[2:]] = self.quarantine_reason(os.path.basename(path)[2:])
        return found

    def quarantine_reason(self, queue_id):
        try:
            with open(f"{self.queue}/hf{queue_id}", encoding="utf-8", errors="replace") as file:
                return next((line[1:].rstrip("\n") for line in file if line.startswith("q")), None)
        except OSError:
            return None


MTAS = {"postfix": Postfix, "sendmail": Sendmail}
