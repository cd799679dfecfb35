#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The command contract of `postern`: exit statuses, what goes where, JSON shapes, every subcommand. POSTERN names the program."""
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import unittest

POSTERN = os.environ["POSTERN"]
HERE = pathlib.Path(__file__).resolve().parent

CONFIG = """\
hostname: mx.example.org
rules: [rules.yaml]
flows:
  - name: outbound
    when: {any: [{client: [127.0.0.0/8]}, {authenticated: true}]}
  - name: inbound
"""
RULES = """\
filters:
  - name: tag
    if: subject == "offer"
    then:
      - insert-header: {name: X-Tag, value: "seen by $Hostname"}
  - name: no-programs
    flows: [inbound]
    if: attachment-filename == "(?i)\\.exe$"
    then: [{reject: {code: 554, enhanced: 5.7.1, text: "No programs"}}]
  - name: strip
    if: attachment-filename == "(?i)\\.pif$"
    then: [{drop-attachments-by-name: {pattern: '(?i)\\.pif$', comment: "Removed: $dropped_filename"}}]
  - name: early
    phase: mail
    if: mail-from == "spammer@"
    then: [{defer: "not now"}]
  - name: one-rcpt
    phase: rcpt
    if: rcpt-to == "^nobody@"
    then: [{reject: "no such user"}]
"""
MESSAGE = b"""From: Ann <ann@example.org>\r
To: bob@example.com, carol@example.com\r
Subject: an offer\r
\r
Hello\r
"""


def with_attachment(name):
    return (f"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: files\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\nContent-Type: text/plain\r\n\r\nHi\r\n"
            f"--b1\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            f"TVqQAAMAAAA=\r\n--b1--\r\n").encode()


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-cli-")
        self.root = pathlib.Path(self.folder.name)
        self.config = self.root / "postern.yaml"
        self.config.write_text(CONFIG)
        (self.root / "rules.yaml").write_text(RULES)

    def tearDown(self):
        self.folder.cleanup()

    def run_postern(self, *arguments, data=b""):
        return subprocess.run([POSTERN, *map(str, arguments)], input=data, capture_output=True, timeout=60)

    def trace(self, message=MESSAGE, *options):
        done = self.run_postern("trace", "--json", "-c", self.config, *options, "-", data=message)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class Usage(Command):
    def test_help_everywhere(self):
        for words in ([], ["check"], ["trace"], ["status"], ["reload"], ["ldap"], ["ldap", "test"], ["ldap", "status"], ["doctor"],
                      ["schema"]):
            done = self.run_postern(*words, "--help")
            self.assertEqual(done.returncode, 0, words)
            self.assertIn(b"--help", done.stdout)

    def test_bad_usage_is_64_on_stderr(self):
        for words in ([], ["nonsense"], ["check", "--nonsense"], ["trace", "--rcpt"], ["schema", "other"], ["ldap"], ["ldap", "test", "a.b"],
                      ["doctor", "--mta", "exim"], ["trace", "--from", "a b\n<", "x"]):
            done = self.run_postern(*words, *(["-c", self.config] if words[:1] == ["trace"] and "x" in words else []))
            self.assertEqual(done.returncode, 64, words)
            self.assertEqual(done.stdout, b"", words)
            self.assertTrue(done.stderr, words)

    def test_version(self):
        self.assertRegex(self.run_postern("--version").stdout, rb"^postern \d+\.\d+")


class Check(Command):
    def test_good(self):
        done = self.run_postern("check", "-c", self.config)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"5 filters", done.stdout)

    def test_missing_file(self):
        done = self.run_postern("check", "-c", self.root / "nothing.yaml")
        self.assertEqual((done.returncode, done.stdout), (78, b""))
        self.assertIn(b"nothing.yaml", done.stderr)

    def test_five_mistakes_are_five_errors_with_carets(self):
        (self.root / "rules.yaml").write_text(
            "filters:\n"
            "  - name: one\n"
            "    if: subjekt == \"x\"\n"
            "    then: [no-op]\n"
            "  - name: two\n"
            "    if: subject == \"(unclosed\"\n"
            "    then: [no-op]\n"
            "  - name: three\n"
            "    phase: rcpt\n"
            "    if: rcpt-to == \"a\" and subject == \"b\"\n"
            "    then: [no-op]\n"
            "  - name: three\n"
            "    then: [insert-heeder: {name: X, value: y}]\n"
            "  - name: five\n"
            "    flows: [inbuond]\n"
            "    then: [no-op]\n")
        done = self.run_postern("check", "-c", self.config)
        self.assertEqual((done.returncode, done.stdout), (78, b""))
        text = done.stderr.decode()
        for place, words in ((":3:9:", "did you mean"), (":6:", "missing"), (":10:28:", "subject"), (":12:11:", "three"),
                             (":13:12:", "insert-header"), (":15:13:", "inbound")):
            line = next((line for line in text.split("\n") if place in line), None)
            self.assertIsNotNone(line, f"no error at {place} in:\n{text}")
            at = text.index(place)
            self.assertIn(words, text[at:at + 500])
        self.assertGreaterEqual(sum(1 for line in text.split("\n") if line.strip() and not line.strip("^~ \t")), 5, text)
        answer = json.loads(self.run_postern("check", "--json", "-c", self.config).stdout)
        self.assertFalse(answer["ok"])
        self.assertEqual(sum(1 for entry in answer["diagnostics"] if entry["severity"] == "error"), 6)

    def test_dump_loads_to_itself(self):
        first = self.run_postern("check", "--dump", "-c", self.config)
        self.assertEqual(first.returncode, 0, first.stderr)
        (self.root / "dump.yaml").write_bytes(first.stdout)
        second = self.run_postern("check", "--dump", "-c", self.root / "dump.yaml")
        self.assertEqual((second.returncode, second.stdout), (0, first.stdout), second.stderr)


class Trace(Command):
    def test_edit(self):
        answer = self.trace()
        self.assertEqual(answer["verdict"], "accept")
        self.assertIsNone(answer["reply"])
        self.assertEqual(answer["flow"], "inbound")
        self.assertEqual(answer["envelope"], {"from": "ann@example.org", "to": ["bob@example.com", "carol@example.com"]})
        tag = next(f for f in answer["filters"] if f["name"] == "tag")
        self.assertEqual((tag["result"], tag["where"].rsplit("/")[-1]), ("true", "rules.yaml:2"))
        self.assertEqual([(c["op"], c["name"], c["value"].strip()) for c in answer["changes"]],
                         [("add-header", "X-Tag", "seen by mx.example.org")])
        self.assertTrue(all({"name", "outcome", "detail"} <= set(stage) for stage in answer["stages"]))
        self.assertEqual({f["result"] for f in answer["filters"]}, {"true", "false"})

    def test_signing_without_fipsd(self):
        self.config.write_text("hostname: mx.example.org\nkeys: {socket: /nonexistent/milter.sock}\n"
                               "dkim: {P: {domain: example.org, keys: [{selector: s, key: k}]}}\nflows: [{name: out, sign: [P]}]\n")
        answer = self.trace()
        stage = next(stage for stage in answer["stages"] if stage["name"] == "sign")
        self.assertEqual(stage["outcome"], "failed")
        self.assertIn("/nonexistent/milter.sock", stage["detail"])
        self.assertEqual((answer["verdict"], answer["reply"]["code"], answer["decided_by"]), ("tempfail", 451, "DKIM profile 'P'"))
        self.assertEqual(answer["changes"], [])
        foreign = self.trace(MESSAGE.replace(b"ann@example.org", b"ann@other.test"))
        self.assertEqual(foreign["verdict"], "accept")
        self.assertIn({"name": "sign", "outcome": "skipped", "detail": "P: the author's domain is other.test"}, foreign["stages"])

    def test_flow_by_client_and_by_user(self):
        self.assertEqual(self.trace(MESSAGE, "--client-ip", "127.0.0.1")["flow"], "outbound")
        self.assertEqual(self.trace(MESSAGE, "--client-ip", "192.0.2.1")["flow"], "inbound")
        self.assertEqual(self.trace(MESSAGE, "--client-ip", "192.0.2.1", "--auth", "ann")["flow"], "outbound")

    def test_reject(self):
        answer = self.trace(with_attachment("a.EXE"), "--client-ip", "192.0.2.1")
        self.assertEqual(answer["verdict"], "reject")
        self.assertEqual(answer["reply"], {"code": 554, "enhanced": "5.7.1", "text": "No programs"})
        self.assertEqual(answer["decided_by"], "filter 'no-programs'")
        self.assertEqual(answer["attachments"][0]["name"], "a.EXE")

    def test_early_phases(self):
        answer = self.trace(MESSAGE, "--from", "spammer@example.net")
        self.assertEqual((answer["verdict"], answer["reply"]["code"]), ("tempfail", 451))
        answer = self.trace(MESSAGE, "--rcpt", "nobody@example.com", "--rcpt", "bob@example.com")
        self.assertEqual((answer["verdict"], answer["envelope"]["to"]), ("accept", ["bob@example.com"]))
        answer = self.trace(MESSAGE, "--rcpt", "nobody@example.com")
        self.assertEqual((answer["verdict"], answer["reply"]["code"]), ("reject", 550))

    def test_null_sender(self):
        self.assertEqual(self.trace(MESSAGE, "--from", "<>")["envelope"]["from"], "")

    def test_out_holds_the_message(self):
        out = self.root / "out.eml"
        self.trace(with_attachment("a.pif"), "--out", str(out))
        import email
        message = email.message_from_bytes(out.read_bytes())
        self.assertIn(b"Removed: a.pif", out.read_bytes())
        self.assertNotIn(b"TVqQ", out.read_bytes())
        self.assertEqual(message.get_content_type(), "multipart/mixed")
        self.assertFalse(message.defects)

    def test_text_output(self):
        done = self.run_postern("trace", "-c", self.config, "-", data=MESSAGE)
        self.assertEqual(done.returncode, 0)
        for word in (b"flow      inbound", b"filter    tag", b"add-header", b"verdict   accept"):
            self.assertIn(word, done.stdout)

    def test_limits_as_in_the_daemon(self):
        answer = self.trace(b"X-Padding: x\r\n" * 2001 + MESSAGE)
        self.assertEqual((answer["verdict"], answer["reply"]["code"], answer["decided_by"]), ("reject", 552, "limits.header-count"))
        answer = self.trace(b"X-Padding: " + b"x" * 300000 + b"\r\n" + MESSAGE)
        self.assertEqual((answer["verdict"], answer["decided_by"]), ("reject", "limits.header-size"))

    def test_large_message_needs_no_spool(self):
        self.config.write_text(CONFIG + "spool-directory: /nonexistent/postern\n")
        self.assertEqual(self.trace(MESSAGE + b"x" * 70 + b"\r\n" * 1000000)["verdict"], "accept")

    def test_unreadable_message(self):
        done = self.run_postern("trace", "-c", self.config, self.root / "nothing.eml")
        self.assertEqual((done.returncode, done.stdout), (65, b""))

    def test_terminal_stays_whole(self):
        done = self.run_postern("trace", "-c", self.config, "--rcpt", "bob@example.com", "-",
                                data=b"From: a@example.org\r\nSubject: offer \x1b[2J\r\n\r\nx\r\n")
        self.assertNotIn(b"\x1b", done.stdout)


class Daemon(Command):
    def test_no_daemon_is_69(self):
        for command in ("status", "reload"):
            done = self.run_postern(command, "-c", self.config, "--socket", self.root / "control.sock")
            self.assertEqual((done.returncode, done.stdout), (69, b""), command)
            self.assertIn(b"control.sock", done.stderr)


class Doctor(Command):
    MASTER = """\
smtp      inet  n       -       {chroot}       -       -       smtpd
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  {submission}
pickup    unix  n       -       y       60      1       pickup
"""

    def doctor(self, main, chroot="y", submission="-o smtpd_sasl_auth_enable=yes", listen="unix:{queue}/postern/milter.sock", rules=None, more=""):
        queue = self.root / "queue"
        (queue / "postern").mkdir(parents=True, exist_ok=True)
        etc = self.root / "etc"
        etc.mkdir(exist_ok=True)
        (etc / "main.cf").write_text(main.format(queue=queue))
        (etc / "master.cf").write_text(self.MASTER.format(chroot=chroot, submission=submission))
        self.config.write_text(CONFIG + f'listen: {{socket: "{listen.format(queue=queue)}"}}\n' + more)
        if rules:
            (self.root / "rules.yaml").write_text(rules)
        done = self.run_postern("doctor", "--json", "-c", self.config, "--postfix-config", etc)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["ok"] else 1)
        self.assertTrue(all(finding["fix"] and finding["text"] for finding in answer["findings"]))
        return {finding["id"] for finding in answer["findings"]}

    GOOD = """\
# a comment
queue_directory = {queue}
mail_owner = daemon
smtpd_milters =
    unix:postern/milter.sock
milter_default_action = tempfail
smtpd_forbid_bare_newline = normalize
message_size_limit = 10485760
header_size_limit = 1048576
non_smtpd_milters = $smtpd_milters
"""

    def test_good(self):
        self.assertEqual(self.doctor(self.GOOD), {"socket-missing"})

    def test_absolute_path_in_chroot(self):
        self.assertEqual(self.doctor(self.GOOD.replace("unix:postern/milter.sock", "unix:/postern/milter.sock")), {"socket-missing"})
        found = self.doctor(self.GOOD.replace("unix:postern/milter.sock", "unix:{queue}/postern/milter.sock"))
        self.assertIn("socket-outside-chroot", found)

    def test_not_configured(self):
        self.assertIn("milter-not-configured", self.doctor(self.GOOD.replace("unix:postern", "unix:other")))

    def test_one_service_without(self):
        self.assertIn("service-without-milter", self.doctor(self.GOOD, submission="-o smtpd_milters="))

    def test_header_rewriting(self):
        masquerade = "masquerade: {m: {table: generics}}\n"
        (self.root / "generics").write_text("a@in.test a@x.test\n")
        self.assertIn("headers-rewritten", self.doctor(self.GOOD, more=masquerade))
        self.assertNotIn("headers-rewritten", self.doctor(self.GOOD + "local_header_rewrite_clients =\n", more=masquerade))

    def test_default_action(self):
        for action, expected in (("accept", "default-action-unsafe"), ("quarantine", "default-action-unsafe"), ("reject", "default-action-bounces")):
            self.assertIn(expected, self.doctor(self.GOOD.replace("tempfail", action)))
        braces = self.GOOD.replace("unix:postern/milter.sock", "{{ unix:postern/milter.sock, default_action = accept }}")
        self.assertIn("default-action-unsafe", self.doctor(braces))

    def test_service_overrides(self):
        self.assertIn("default-action-unsafe", self.doctor(self.GOOD, submission="-o milter_default_action=accept"))
        self.assertIn("milters-disabled", self.doctor(self.GOOD, submission="-o receive_override_options=no_address_mappings,no_milters"))

    def test_time_outs_and_protocol(self):
        self.assertIn("timeout-short", self.doctor(self.GOOD + "milter_content_timeout = 30s\n"))
        self.assertIn("timeout-short", self.doctor(self.GOOD + "milter_command_timeout = 5\n"))
        self.assertIn("protocol-old", self.doctor(self.GOOD + "milter_protocol = 2\n"))

    def test_newline_and_sizes(self):
        self.assertIn("bare-newline", self.doctor(self.GOOD.replace("smtpd_forbid_bare_newline = normalize\n", "")))
        self.assertIn("message-size", self.doctor(self.GOOD.replace("10485760", "104857600")))
        self.assertIn("header-size", self.doctor(self.GOOD.replace("header_size_limit = 1048576\n", "")))
        self.assertIn("local-mail-unfiltered", self.doctor(self.GOOD.replace("non_smtpd_milters = $smtpd_milters\n", "")))

    def test_other_milter_after(self):
        self.assertIn("milter-after", self.doctor(self.GOOD.replace("milter.sock\n", "milter.sock inet:127.0.0.1:8891\n")))

    def test_tcp(self):
        main = self.GOOD.replace("unix:postern/milter.sock", "inet:127.0.0.1:8899")
        self.assertEqual(self.doctor(main, listen="inet:8899@127.0.0.1"), {"socket-tcp"})
        self.assertIn("socket-exposed", self.doctor(main, listen="inet:8899@0.0.0.0"))

    def test_socket_rights(self):
        import socket
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        (self.root / "queue/postern").mkdir(parents=True)
        path = self.root / "queue/postern/milter.sock"
        server.bind(str(path))
        os.chmod(path, 0o600)
        if os.getuid() == 0:
            os.chmod(self.root, 0o755)
            self.assertIn("socket-rights", self.doctor(self.GOOD))
            os.chmod(path, 0o666)
        self.assertEqual(self.doctor(self.GOOD.replace("mail_owner = daemon\n", "mail_owner = root\n")), set())

    def test_routes(self):
        rules = 'filters: [{name: r, if: true, then: [{alt-mailhost: "[192.0.2.1]"}]}]\n'
        self.assertIn("routes-unused", self.doctor(self.GOOD, rules=rules))
        self.assertNotIn("routes-unused", self.doctor(self.GOOD + "milter_header_checks = regexp:/etc/x\n", rules=rules))

    def test_no_mta_is_69(self):
        done = self.run_postern("doctor", "-c", self.config, "--postfix-config", self.root / "none")
        self.assertEqual((done.returncode, done.stdout), (69, b""))

    def sendmail(self, lines, mta="mta: sendmail\n"):
        cf = self.root / "sendmail.cf"
        cf.write_text(lines)
        self.config.write_text(CONFIG + mta + 'listen: {socket: "unix:/nonexistent/milter.sock"}\n')
        done = self.run_postern("doctor", "--json", "--mta", "sendmail", "-c", self.config, "--sendmail-cf", cf)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["ok"] else 1)
        return {finding["id"] for finding in answer["findings"]}

    def test_sendmail(self):
        good = ("O InputMailFilters=postern\nO MaxMessageSize=1000000\nO MaxHeadersLength=1000000\n"
                "Xpostern, S=local:/nonexistent/milter.sock, F=T, T=S:30s;R:30s;E:10m\n")
        self.assertEqual(self.sendmail(good), {"socket-missing"})
        self.assertIn("default-action-unsafe", self.sendmail(good.replace("F=T", "F=")))
        self.assertIn("default-action-bounces", self.sendmail(good.replace("F=T", "F=R")))
        self.assertIn("timeout-short", self.sendmail(good.replace("S:30s", "S:5s")))
        self.assertIn("milter-not-configured", self.sendmail(good.replace("Filters=postern", "Filters=other")))
        self.assertIn("milter-after", self.sendmail(good.replace("Filters=postern", "Filters=postern,other")))
        self.assertIn("mta-mismatch", self.sendmail(good, mta=""))


class Schema(Command):
    def test_schemas_are_json(self):
        for which in ([], ["postern"], ["rules"]):
            done = self.run_postern("schema", *which)
            self.assertEqual(done.returncode, 0)
            self.assertIn("$schema", json.loads(done.stdout))


class NoOtherProgram(Command):
    def test_a_process_limit_of_none_is_enough(self):
        # With no right to make a process, everything still works: nothing is executed.
        def limit():
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        for words in (["check"], ["trace"], ["doctor", "--postfix-config", str(self.root)], ["status"], ["schema"]):
            extra = [] if words[0] == "schema" else ["-c", str(self.config)]
            done = subprocess.run([POSTERN, *words, *extra], input=MESSAGE, capture_output=True, timeout=60, preexec_fn=limit)
            self.assertIn(done.returncode, (0, 1, 69), words)


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
