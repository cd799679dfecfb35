#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fipsconfig against a scripted fipsd: what it asks for, what it prints, its exit statuses, where secrets come from, and what a person at a
terminal sees and must type."""
import base64
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import scripted_fipsd  # noqa: E402
from support.scripted_fipsd import Body, ScriptedFipsd, blob, secret, text  # noqa: E402
from support.daemon import BIN, SANITIZER_OPTIONS  # noqa: E402
from support.process import DEADLINE  # noqa: E402
from support.world import scratch  # noqa: E402

PROGRAM = os.path.join(BIN, "fipsconfig")
PASSWORD = "correct horse battery"
ESCAPE = "\x1b[31mred\x07"
# The leak checker wants ptrace, which a process that holds passwords forbids.
ENVIRONMENT = {**SANITIZER_OPTIONS, "ASAN_OPTIONS": SANITIZER_OPTIONS["ASAN_OPTIONS"].replace("detect_leaks=1", "detect_leaks=0")}


def environment(**more):
    clean = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    return {**clean, **ENVIRONMENT, **more}


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = scratch()

    def server(self, **options):
        server = ScriptedFipsd(self.directory, PASSWORD, **options)
        self.addCleanup(server.close)
        return server

    def run_it(self, *arguments, secrets=(), backup=None, status=0, socket_path=None, more=None):
        """Runs fipsconfig with secrets on a descriptor; returns (stdout, stderr)."""
        command = [PROGRAM, *arguments, "--socket", socket_path or os.path.join(self.directory, "officer.sock")]
        passed = []
        for option, lines in (("--password-fd", secrets), ("--backup-password-fd", backup)):
            if lines:
                reading, writing = os.pipe()
                os.write(writing, "".join(line + "\n" for line in lines).encode())
                os.close(writing)
                self.addCleanup(os.close, reading)
                passed.append(reading)
                command += [option, str(reading)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE,
                              pass_fds=passed, env=environment(**(more or {})), start_new_session=True)
        output, errors = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, output + errors)
        self.assertNotIn("Sanitizer", errors)
        self.assertNotRegex(output + errors, r"[\x00-\x08\x0b-\x1f\x7f]", "control characters")
        self.assertNotIn(PASSWORD, output + errors)
        return output, errors

    def file(self, name, content):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        return path


class Commands(Case):
    def test_status(self):
        server = self.server()
        server.status_more["token"] = {**server.status()["token"], "label": "post" + ESCAPE}
        output, _ = self.run_it("status")
        self.assertRegex(output, r"(?m)^state +operational$")
        self.assertRegex(output, r"(?m)^FIPS policy +permissive, policy mode, not a validated module$")
        self.assertRegex(output, r"(?m)^officer +nobody logged in, 3 attempts left$")
        self.assertRegex(output, r"(?m)^keys +2, 1 of them in no backup$")
        self.assertRegex(output, r"(?m)^certificate +mx until 2027-01-01T00:00:00Z \(100 days\)$")
        self.assertRegex(output, r"(?m)^not approved +e1: Ed25519$")
        self.assertIn("post\\x1b[31mred\\x07", output)
        self.assertNotRegex(output.replace("not a validated module", ""), "validated")
        output, _ = self.run_it("status", "--json")
        self.assertEqual(json.loads(output), server.status())
        self.assertEqual(set(server.verbs()), {"status"})
        server.state = "zeroised"
        self.assertIn("zeroised", self.run_it("status")[0])

    def test_nobody_answers(self):
        _, errors = self.run_it("status", status=69, socket_path=os.path.join(self.directory, "nothing.sock"))
        self.assertIn("fipsd cannot be reached", errors)
        closed = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.path.join(self.directory, "closed.sock")
        closed.bind(path)
        self.run_it("status", status=69, socket_path=path)
        closed.close()

    def test_the_configuration_says_where(self):
        server = self.server()
        config = self.file("fipsd.yaml", "sockets: {officer: {paths: [officer.sock]}}\n")
        done = subprocess.run([PROGRAM, "-c", config, "status", "--json"], stdout=subprocess.PIPE, timeout=DEADLINE, env=environment())
        self.assertEqual(done.returncode, 0)
        self.assertEqual(json.loads(done.stdout), server.status())
        self.file("fipsd.yaml", "sockets: {officer: {path: officer.sock}}\nworkers: many\n")
        done = subprocess.run([PROGRAM, "-c", config, "status"], stderr=subprocess.PIPE, timeout=DEADLINE, env=environment())
        self.assertEqual(done.returncode, 78)
        self.assertIn(b"did you mean 'paths'?", done.stderr)
        self.assertIn(b"'many' is not a number or auto", done.stderr)
        done = subprocess.run([PROGRAM, "-c", config + ".none", "status"], stderr=subprocess.PIPE, timeout=DEADLINE, env=environment())
        self.assertEqual(done.returncode, 78)

    def test_check_and_schema(self):
        config = self.file("fipsd.yaml", "fips: strict\n")

        def check(*arguments):
            return subprocess.run([PROGRAM, "-c", config, "check", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=DEADLINE, env=environment())
        self.assertEqual((check().returncode, check().stdout), (0, (config + ": good\n").encode()))
        dump = check("--dump").stdout
        self.assertIn(b"fips: strict\n", dump)
        self.file("fipsd.yaml", dump)
        self.assertEqual(check("--dump").stdout, dump)
        self.file("fipsd.yaml", "fips: strikt\n")
        self.assertEqual(check().returncode, 78)
        self.assertIn(b"fipsd.yaml:1:7: error", check().stderr)
        answer = json.loads(check("--json").stdout)
        self.assertEqual((answer["ok"], answer["diagnostics"][0]["line"]), (False, 1))
        schema = subprocess.run([PROGRAM, "schema"], stdout=subprocess.PIPE, timeout=DEADLINE, env=environment()).stdout
        self.assertEqual(json.loads(schema)["title"], "fipsd.yaml")

    def test_usage(self):
        self.server()
        commands = [[], ["key"], ["cert"], ["distrust"], ["audit"], ["key", "show"], ["key", "generate", "k"], ["backup"], ["nothing"],
                    ["key", "generate", "k", "--use", "dkim", "--type", "dsa"], ["key", "generate", "k", "--use", "mail"],
                    ["key", "generate", "../k", "--use", "dkim"], ["key", "generate", "k", "--use", ""],
                    ["key", "generate", "k", "--use", "ldap", "--type", "p256", "--bits", "9"], ["key", "show", "a b"],
                    ["cert", "export", "-"], ["key", "dnstxt", "k", "--selector", "s"], ["distrust", "add", "everything"],
                    ["audit", "show", "--from", "5", "--to", "4"], ["status", "--password-fd", "x"], ["key", "destroy", "k"],
                    ["zeroise"], ["passwd"]]
        for arguments in commands:
            with self.subTest(arguments):
                self.run_it(*arguments, status=64)
        for arguments in ([], ["status"], ["key"], ["key", "generate"], ["audit", "verify"]):
            done = subprocess.run([PROGRAM, *arguments, "--help"], stdout=subprocess.PIPE, timeout=DEADLINE, env=environment())
            self.assertEqual(done.returncode, 0)
            self.assertIn(b"Usage:", done.stdout)

    def test_keys_and_certificates(self):
        server = self.server()
        certificate = {"subject": "CN=mx\\, the first", "issuer": "CN=ca", "serial": "0a", "not_before": "2026-01-01T00:00:00Z",
                       "not_after": "2027-01-01T00:00:00Z", "expires_in_days": 100}
        common = {"created": "2026-01-01T00:00:00Z", "imported": False, "spki": "AAAA", "not_approved": ""}
        entries = [
            {"name": "r1", "kind": "key", "type": "rsa", "bits": 2048, "uses": ["dkim", "smime"], "backup": True, "backed_up": False,
             "certificate": None, **common},
            {"name": "mx", "kind": "key", "type": "p256", "bits": 256, "uses": ["tls-server"], "backup": False, "backed_up": False,
             "certificate": certificate, **common, "not_approved": "bad" + ESCAPE},
            {"name": "e1", "kind": "key", "type": "ed25519", "bits": 256, "uses": ["dkim"], "backup": True, "backed_up": True,
             "certificate": None, **common},
            {"name": "ca", "kind": "certificate", "type": "rsa", "bits": 4096, "uses": [], "certificate": certificate, **common}]
        server.entries(entries)
        lines = self.run_it("key", "list")[0].splitlines()
        self.assertEqual([line.split() for line in lines[:3]],
                         [["NAME", "TYPE", "USES", "BACKUP", "CREATED", "CERTIFICATE", "UNTIL"],
                          ["r1", "rsa", "2048", "dkim,smime", "not", "yet", "2026-01-01T00:00:00Z"],
                          ["mx", "p256", "tls-server", "never", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]])
        self.assertEqual(len(lines), 4)
        self.assertEqual(json.loads(self.run_it("key", "list", "--json")[0]), entries[:3])
        shown = self.run_it("key", "show", "mx")[0]
        self.assertRegex(shown, r"(?m)^subject +CN=mx\\, the first$")
        self.assertIn("bad\\x1b[31mred", shown)
        self.assertEqual(json.loads(self.run_it("key", "show", "ca", "--json")[0]), entries[3])
        self.assertIn("there is no key or certificate x", self.run_it("key", "show", "x", status=1)[1])
        lines = self.run_it("cert", "list")[0].splitlines()
        self.assertEqual([line.split()[:2] for line in lines], [["NAME", "KEY"], ["mx", "yes"], ["ca", "no"]])
        self.assertEqual(json.loads(self.run_it("cert", "list", "--json")[0]), [entries[1], entries[3]])
        self.assertEqual(self.run_it("distrust", "list")[0], "spki:" + "00" * 32 + "\n")
        self.assertEqual(json.loads(self.run_it("distrust", "list", "--json")[0]), ["spki:" + "00" * 32])
        self.assertEqual(set(server.verbs()), {"list", "status"})

    def test_a_list_without_end_is_given_up(self):
        server = self.server(answers={"list": struct.pack(">II", 0, 0) + blob(b"[]")})
        self.run_it("key", "list")
        for answer in (struct.pack(">II", 0, 5) + blob(b"[]"), struct.pack(">II", 0, 0) + blob(b"{}"), struct.pack(">II", 0, 0) + blob(b"["),
                       b"short", struct.pack(">II", 0, 0) + blob(b"[]") + b"x"):
            server.answers["list"] = answer
            self.run_it("key", "list", status=69)

    def test_describe(self):
        der = subprocess.run("openssl genpkey -algorithm ed25519 | openssl pkey -pubout -outform DER", shell=True, stdout=subprocess.PIPE,
                             check=True).stdout
        rsa = subprocess.run("openssl genrsa 2048 2>/dev/null | openssl pkey -pubout -outform DER", shell=True, stdout=subprocess.PIPE,
                             check=True).stdout
        server = self.server(answers={"describe": bytes([4]) + (256).to_bytes(4, "big") + blob(der)})
        record = "v=DKIM1; k=ed25519; p=" + scripted_fipsd.base64_text(der[-32:])
        self.assertEqual(self.run_it("key", "dnstxt", "e1")[0], f'"{record}"\n')
        self.assertEqual(self.run_it("key", "dnstxt", "e1", "--selector", "s1", "--domain", "example.org")[0],
                         f's1._domainkey.example.org. IN TXT ( "{record}" )\n')
        server.answers["describe"] = bytes([1]) + (2048).to_bytes(4, "big") + blob(rsa)
        output = self.run_it("key", "dnstxt", "r1")[0]
        strings = re.findall(r'"([^"]*)"', output)
        self.assertEqual("".join(strings), "v=DKIM1; k=rsa; p=" + scripted_fipsd.base64_text(rsa))
        self.assertTrue(len(strings) == 2 and all(len(part) <= 255 for part in strings))
        answer = json.loads(self.run_it("key", "dnstxt", "r1", "--json", "--selector", "s", "--domain", "d.test")[0])
        self.assertEqual((answer["record"], answer["name"]), ("".join(strings), "s._domainkey.d.test."))
        self.assertEqual(server.bodies("describe")[0], text("e1"))
        pem = self.run_it("key", "reference", "r1")[0]
        self.assertTrue(pem.startswith("-----BEGIN PRIVATE KEY-----\n") and pem.endswith("-----END PRIVATE KEY-----\n"))
        reference = base64.b64decode("".join(pem.splitlines()[1:-1]))
        self.assertIn(b"r1", reference)
        self.assertIn(rsa, reference)
        server.answers["describe"] = bytes([2]) + (256).to_bytes(4, "big") + blob(der)
        self.run_it("key", "dnstxt", "p1", status=1)
        server.answers["describe"] = (scripted_fipsd.NOT_FOUND, "there is no such key")
        self.assertIn("there is no such key", self.run_it("key", "dnstxt", "r1", status=1)[1])

    def test_certificate_export(self):
        server = self.server(answers={"certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
        output = self.run_it("cert", "export", "mx")[0]
        self.assertTrue(output.startswith("-----BEGIN CERTIFICATE-----\n"))
        self.assertEqual(json.loads(self.run_it("cert", "export", "mx", "--json")[0]), {"name": "mx", "pem": output})
        server.answers["certificate"] = b"-----BEGIN \x1b[2J"
        self.run_it("cert", "export", "mx", status=69)

    def test_exit_statuses(self):
        server = self.server()
        for status, expected in ((scripted_fipsd.MALFORMED, 65), (2, 69), (3, 69), (scripted_fipsd.NOT_FOUND, 1), (scripted_fipsd.DENIED, 77),
                                 (scripted_fipsd.NOT_ALLOWED, 77), (scripted_fipsd.BUSY, 75), (8, 75), (scripted_fipsd.UNAVAILABLE, 69), (10, 69),
                                 (scripted_fipsd.ZEROISED, 69), (12, 69), (scripted_fipsd.LOGIN_REQUIRED, 77), (scripted_fipsd.EXISTS, 65), (16, 75),
                                 (scripted_fipsd.FAILED, 1)):
            server.answers["certificate"] = (status, "because " + ESCAPE)
            _, errors = self.run_it("cert", "export", "mx", status=expected)
            self.assertEqual(errors, "fipsconfig: because \\x1b[31mred\\x07\n")
        server.answers["certificate"] = (scripted_fipsd.ZEROISED, "fipsd is zeroised", "last word")
        self.assertIn("fipsd is zeroised", self.run_it("cert", "export", "mx", status=69)[1])


class Audit(Case):
    def lines(self, count):
        lines, previous = [], "0" * 64
        for number in range(1, count + 1):
            segment = '"segment":1,' if number == 1 else ""
            line = (f'{{"seq":{number},"time":"2026-01-02T03:04:05.678Z","action":"sign",{segment}"key":"dkim {number}","result":"ok",'
                    f'"prev":"{previous}"}}')
            lines.append(line)
            previous = hashlib.sha256(line.encode()).hexdigest()
        return lines

    def test_show_and_tail(self):
        server = self.server()
        lines = self.lines(11)
        server.records(lines)
        output = self.run_it("audit", "show")[0].splitlines()
        self.assertEqual(len(output), 11)
        self.assertEqual(output[6], '7 2026-01-02T03:04:05.678Z sign key="dkim 7" result=ok')
        output = self.run_it("audit", "show", "--from", "4", "--to", "6", "--json")[0]
        self.assertEqual(output.splitlines(), lines[3:6])
        self.assertEqual(self.run_it("audit", "show", "--from", "12")[0], "")
        self.assertEqual(self.run_it("audit", "tail", "--json", "-n", "2")[0].splitlines(), lines[9:])
        self.assertEqual(len(self.run_it("audit", "tail")[0].splitlines()), 10)
        self.assertNotIn("login", server.verbs())
        server.records(['{"seq":1,"action":"x","text":"' + "\\u001b[2J" + '"}', "no json \x1b[2J"])
        self.assertIn("\\x1b[2J", self.run_it("audit", "show")[0])

    def test_follow(self):
        server = self.server()
        lines = self.lines(6)
        server.records(lines[:2])
        process = subprocess.Popen([PROGRAM, "audit", "tail", "--follow", "--json", "--socket", server.socket_path], stdout=subprocess.PIPE,
                                   env=environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual([process.stdout.readline().decode().strip() for _ in range(2)], lines[:2])
        server.records(lines)
        self.assertEqual([process.stdout.readline().decode().strip() for _ in range(4)], lines[2:])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE), -signal.SIGINT)

    def test_follow_ends_with_its_reader(self):
        server = self.server()
        server.records(self.lines(2))
        process = subprocess.Popen([PROGRAM, "audit", "tail", "--follow", "--socket", server.socket_path], stdout=subprocess.PIPE, env=environment())
        self.addCleanup(process.kill)
        process.stdout.readline()
        process.stdout.close()
        process.wait(DEADLINE)

    def test_verify(self):
        server = self.server()
        lines = self.lines(10)
        server.records(lines)
        last = hashlib.sha256(lines[-1].encode()).hexdigest()
        self.assertEqual(self.run_it("audit", "verify")[0], f"10 records, 1 to 10, unbroken; last hash {last}\n")
        self.assertEqual(json.loads(self.run_it("audit", "verify", "--json")[0]),
                         {"ok": True, "records": 10, "first": 1, "last": 10, "hash": last})
        # A ring: the first ones are gone.
        page = server.answers["audit_read"]
        server.status_more["audit"]["first"] = 4
        self.assertIn("7 records, 4 to 10", self.run_it("audit", "verify")[0])
        server.status_more["audit"]["first"] = 1
        # The head says more than the records, or something else.
        server.status_more["audit"]["hash"] = "11" * 32
        self.assertIn("record 10 is not the one that fipsd wrote last", self.run_it("audit", "verify", status=1)[1])
        server.status_more["audit"] = {"sequence": 12, "first": 1, "hash": last, "full": False}
        self.assertIn("records after 10 are missing", self.run_it("audit", "verify", status=1)[1])
        # Records that came meanwhile are not counted.
        server.status_more["audit"] = {"sequence": 5, "first": 1, "hash": hashlib.sha256(lines[4].encode()).hexdigest(), "full": False}
        self.assertIn("5 records, 1 to 5", self.run_it("audit", "verify")[0])
        server.answers["audit_read"] = page

    def test_verify_finds_every_change(self):
        server = self.server()
        lines = self.lines(6)
        for changed in range(1, 6):
            broken = list(lines)
            broken[changed] = broken[changed].replace("ok", "no")
            server.records(broken)
            server.status_more["audit"]["hash"] = hashlib.sha256(lines[-1].encode()).hexdigest()
            output, errors = self.run_it("audit", "verify", "--json", status=1)
            self.assertFalse(json.loads(output)["ok"], broken)
            self.assertIn("record", errors)
        server.records(lines[:2] + lines[3:])
        self.run_it("audit", "verify", status=1)
        server.records(lines[:2] + lines[1:])
        self.run_it("audit", "verify", status=1)

    def test_verify_files(self):
        lines = self.lines(8)
        first = self.file("1.log", "".join(line + "\n" for line in lines[:5]))
        second = self.file("2.log", "".join(line + "\n" for line in lines[5:]))
        self.assertIn("8 records, 1 to 8, unbroken", self.run_it("audit", "verify", "--file", first, second)[0])
        self.run_it("audit", "verify", "--file", second, "--file", first, status=1)
        torn = self.file("3.log", "".join(line + "\n" for line in lines[5:])[:-9])
        self.assertIn("the last line has no end", self.run_it("audit", "verify", "--file", first, torn, status=1)[1])
        self.run_it("audit", "verify", "--file", self.directory + "/none", status=65)


class Officer(Case):
    def test_init(self):
        server = self.server(state="uninitialised", answers={"initialise": {"warnings": ["mind the gap" + ESCAPE]}})
        _, errors = self.run_it("init", secrets=["new password 1"], more={"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22"})
        self.assertIn("warning: mind the gap\\x1b[31mred", errors)
        self.assertIn("fipsd is initialised", errors)
        self.assertEqual([secret(body) for body in server.bodies("initialise")], [("new password 1", "", "192.0.2.7")])
        self.run_it("init", secrets=["new password 1"], more={"SSH_CONNECTION": "x\x1b[2J 1 2 3"})
        self.assertEqual(secret(server.bodies("initialise")[1])[2], "")
        server.answers["initialise"] = (scripted_fipsd.MALFORMED, "a password has at least 12 characters")
        self.assertIn("at least 12 characters", self.run_it("init", secrets=["short"], status=65)[1])
        server.state = "operational"
        self.assertIn("only an uninitialised or zeroised one", self.run_it("init", secrets=["x"], status=65)[1])

    def test_passwd(self):
        server = self.server()
        self.run_it("passwd", secrets=[PASSWORD, "another password"])
        self.assertEqual(secret(server.bodies("change_password")[0]), ("another password", PASSWORD, ""))
        self.assertEqual(server.verbs()[-4:], ["status", "login", "change_password", "logout"])

    def test_warnings_after_login(self):
        server = self.server()
        server.warnings = ["2 keys are in no backup: three wrong passwords would destroy them", "1 failed attempt before this login"]
        _, errors = self.run_it("selftest", secrets=[PASSWORD], status=1)
        for warning in server.warnings:
            self.assertIn("warning: " + warning, errors)

    def test_wrong_password(self):
        server = self.server()
        _, errors = self.run_it("passwd", secrets=["wrong password", "x"], status=77)
        self.assertIn("2 attempts left", errors)
        self.assertEqual(server.verbs(), ["status", "login"])

    def test_the_last_attempt_is_not_for_scripts(self):
        server = self.server(attempts=1)
        _, errors = self.run_it("passwd", secrets=["wrong password", "x"], status=77)
        self.assertIn("--last-attempt", errors)
        self.assertEqual(server.verbs(), ["status"])
        self.assertEqual(server.attempts, 1)
        _, errors = self.run_it("passwd", "--last-attempt", secrets=["wrong password", "x"], status=69)
        self.assertIn("all keys are destroyed", errors)
        self.assertEqual(server.attempts, 0)
        _, errors = self.run_it("passwd", secrets=["x", "x"], status=69)
        self.assertIn("'fipsconfig init'", errors)

    def test_attempts_that_are_not_told_are_not_tried(self):
        server = self.server()
        server.status_more["attempts_left"] = None
        self.run_it("passwd", secrets=[PASSWORD, "x"], status=69)
        self.assertNotIn("login", server.verbs())

    def test_missing_secrets(self):
        server = self.server()
        self.run_it("selftest", status=64)  # no terminal, no descriptor
        self.run_it("selftest", "--password-fd", "77", status=64)
        self.assertNotIn("login", server.verbs())
        self.run_it("passwd", secrets=[PASSWORD], status=64)
        self.run_it("selftest", secrets=["x" * 1025], status=65)
        self.assertEqual(server.verbs().count("login"), 1)
        self.run_it("selftest", secrets=["x" * 1024], status=77)

    def test_generate(self):
        server = self.server(answers={"generate_key": {"name": "k", "type": "rsa", "bits": 3072, "spki": "AAAA"}})
        _, errors = self.run_it("key", "generate", "k", "--use", "dkim,smime", "--bits", "3072", "--no-backup", secrets=[PASSWORD])
        self.assertIn("k generated (rsa 3072)", errors)
        body = Body(server.bodies("generate_key")[0])
        self.assertEqual((body.text(), body.number(1), body.number(4), body.number(4), body.number(1), body.done()),
                         ("k", 1, 3072, 3, 0, True))
        for kind, number, bits in (("rsa", 1, 2048), ("p256", 2, 0), ("p384", 3, 0), ("ed25519", 4, 0)):
            output, _ = self.run_it("key", "generate", "k", "--use", "tls-server", "--type", kind, "--json", secrets=[PASSWORD])
            self.assertEqual(json.loads(output)["name"], "k")
            body = Body(server.bodies("generate_key")[-1])
            self.assertEqual((body.text(), body.number(1), body.number(4), body.number(4), body.number(1)), ("k", number, bits, 4, 1))
        server.answers["generate_key"] = (scripted_fipsd.EXISTS, "there is a key k already")
        self.run_it("key", "generate", "k", "--use", "ldap", secrets=[PASSWORD], status=65)

    def test_import(self):
        server = self.server(answers={"import_key": {"name": "k", "type": "rsa", "bits": 2048, "spki": "AAAA"}})
        run = lambda command: subprocess.run(command, shell=True, cwd=self.directory, check=True, stdout=subprocess.PIPE,  # noqa: E731
                                             stderr=subprocess.DEVNULL).stdout
        run("openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=x -days 3")
        run("openssl pkcs12 -export -inkey k.pem -in c.pem -passout pass:secret -out k.p12")
        run("openssl pkey -in k.pem -aes256 -passout pass:secret -out locked.pem")
        der = run("openssl pkcs8 -topk8 -nocrypt -in k.pem -outform DER")
        modulus = run("openssl rsa -in k.pem -noout -modulus")
        for name, secrets, chain in (("k.pem", [], False), ("k.p12", ["secret"], True), ("locked.pem", ["secret"], False)):
            _, errors = self.run_it("key", "import", "k", os.path.join(self.directory, name), "--use", "ldap", secrets=[PASSWORD, *secrets])
            self.assertIn("k imported (rsa 2048)", errors)
            body = Body(server.bodies("import_key")[-1])
            self.assertEqual((body.text(), body.number(4), body.number(1)), ("k", 16, 1))
            pkcs8, pem = body.blob(), body.blob()
            self.assertTrue(body.done())
            self.file("again.der", pkcs8)
            self.assertEqual(run("openssl rsa -inform DER -in again.der -noout -modulus"), modulus)
            self.assertEqual(pem.count(b"BEGIN CERTIFICATE"), 1 if chain else 0)
        self.assertIn(der[-100:], server.bodies("import_key")[0])
        for name, secrets, status in (("k.p12", ["wrong"], 77), ("c.pem", [], 65), ("none.pem", [], 65)):
            self.run_it("key", "import", "k", os.path.join(self.directory, name), "--use", "ldap", secrets=[PASSWORD, *secrets], status=status)
        self.run_it("key", "import", "k", "/dev/zero", "--use", "ldap", secrets=[PASSWORD], status=65)
        self.assertEqual(len(server.bodies("import_key")), 3)

    def test_destroy_and_zeroise(self):
        server = self.server()
        self.run_it("key", "destroy", "k", "--yes", secrets=[PASSWORD])
        self.assertEqual(server.bodies("destroy_key"), [text("k")])
        self.run_it("zeroise", "--yes", secrets=[PASSWORD])
        self.assertEqual(secret(server.bodies("zeroise")[0])[0], PASSWORD)
        server.answers["zeroise"] = (scripted_fipsd.ZEROISED, "zeroised", "last word")
        self.assertIn("fipsd is zeroised", self.run_it("zeroise", "--yes", secrets=[PASSWORD])[1])

    def test_certificates(self):
        subprocess.run("openssl req -x509 -newkey ed25519 -nodes -keyout k.pem -out c.pem -subj /CN=x -days 3; "
                       "openssl x509 -in c.pem -outform DER -out c.der", shell=True, cwd=self.directory, check=True, stderr=subprocess.DEVNULL)
        path = os.path.join(self.directory, "c.pem")
        with open(path, "rb") as file:
            certificate = file.read()
        server = self.server(answers={"make_request": b"0\x03\x02\x01\x05", "self_sign": certificate})
        output, _ = self.run_it("cert", "csr", "k", "--subject", "CN=mx", "--names", "mx.test,192.0.2.1", secrets=[PASSWORD])
        self.assertEqual(output, "-----BEGIN CERTIFICATE REQUEST-----\nMAMCAQU=\n-----END CERTIFICATE REQUEST-----\n")
        body = Body(server.bodies("make_request")[0])
        self.assertEqual((body.text(), body.text(), body.text()), ("k", "CN=mx", "mx.test,192.0.2.1"))
        out = os.path.join(self.directory, "out.pem")
        output, _ = self.run_it("cert", "self-sign", "k", "--subject", "CN=mx", "--days", "5", "-o", out, secrets=[PASSWORD])
        with open(out, "rb") as file:
            self.assertEqual((output, file.read()), ("", certificate))
        self.assertEqual(os.stat(out).st_mode & 0o777, 0o644)
        self.assertEqual(int.from_bytes(server.bodies("self_sign")[0][-4:], "big"), 5)
        self.assertEqual(server.bodies("put_certificate")[0], text("k") + blob(certificate))
        for name in ("c.pem", "c.der"):
            self.run_it("cert", "import", "k", os.path.join(self.directory, name), secrets=[PASSWORD])
            self.assertEqual(server.bodies("put_certificate")[-1], text("k") + blob(certificate))
        self.run_it("cert", "import", "k", os.path.join(self.directory, "k.pem"), secrets=[PASSWORD], status=65)
        self.run_it("cert", "drop", "k", secrets=[PASSWORD])
        self.assertEqual(server.bodies("drop_certificate"), [text("k")])

    def test_distrust(self):
        server = self.server()
        entry = "spki:" + "ab" * 32
        self.run_it("distrust", "add", entry, secrets=[PASSWORD])
        self.run_it("distrust", "remove", entry.upper().replace("SPKI", "spki"), secrets=[PASSWORD])
        self.assertEqual(server.bodies("distrust"), [b"\x01" + text(entry), b"\x00" + text(entry)])

    def test_selftest(self):
        results = [{"name": "sha-256", "passed": True, "approved": True, "detail": ""},
                   {"name": "ed25519", "passed": True, "approved": False, "detail": "the token does not know it" + ESCAPE}]
        server = self.server(answers={"self_test": results, "clear_error": results})
        output, _ = self.run_it("selftest", secrets=[PASSWORD])
        self.assertRegex(output, r"sha-256 +passed +yes\n")
        self.assertEqual(json.loads(self.run_it("selftest", "--json", secrets=[PASSWORD])[0]), results)
        self.run_it("selftest", "--clear-error", secrets=[PASSWORD])
        self.assertIn("clear_error", server.verbs())
        results[0]["passed"] = False
        self.assertIn("FAILED", self.run_it("selftest", secrets=[PASSWORD], status=1)[0])


class Backup(Case):
    PASSWORD = "backup password"

    def backup_file(self):
        """A backup as PROTOCOL.md says, made here a second time."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        salt, nonce = bytes(range(32)), bytes(range(12))
        header = (f'<postern-backup version="1" created="2026-01-02T03:04:05Z" kdf="scrypt" cost="14" '
                  f'salt="{base64.b64encode(salt).decode()}" nonce="{base64.b64encode(nonce).decode()}">')
        key = hashlib.scrypt(self.PASSWORD.encode(), salt=salt, n=1 << 14, r=8, p=1, maxmem=1 << 26, dklen=32)
        payload = json.dumps({"created": 1767323045, "token_serial": "s", "keys": [], "distrust": []}).encode()
        sealed = base64.b64encode(AESGCM(key).encrypt(nonce, blob(payload) + b"", header.encode())).decode()
        body = "".join(sealed[at:at + 76] + "\n" for at in range(0, len(sealed), 76))
        return (header + "\n" + body + "</postern-backup>\n").encode()

    def test_backup(self):
        server = self.server()
        server.blob = self.backup_file()
        server.answers["backup"] = lambda body: {"size": len(server.blob), "keys": 2, "left_out": ["k3" + ESCAPE]}
        path = os.path.join(self.directory, "keys.xml")
        _, errors = self.run_it("backup", path, secrets=[PASSWORD, self.PASSWORD])
        with open(path, "rb") as file:
            self.assertEqual(file.read(), server.blob)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertIn(f"2 keys, {len(server.blob)} bytes", errors)
        self.assertIn("not in the backup, since they may not leave the token: k3\\x1b", errors)
        self.assertEqual(secret(server.bodies("backup")[0])[0], self.PASSWORD)
        self.run_it("backup", path, secrets=[PASSWORD], backup=[self.PASSWORD])
        self.assertEqual(sorted(os.listdir(self.directory)), ["keys.xml", "officer.sock"])

    def test_a_backup_that_does_not_open_is_not_kept(self):
        server = self.server()
        good = self.backup_file()
        path = os.path.join(self.directory, "keys.xml")
        self.file("keys.xml", "the old one")
        for blob_now, password in ((good[:-30] + b"A" + good[-29:], self.PASSWORD), (good, "another"), (good[:100], self.PASSWORD)):
            server.blob = blob_now
            server.answers["backup"] = {"size": len(blob_now), "keys": 1, "left_out": []}
            self.assertIn(self.status_of("backup", path, secrets=[PASSWORD, password]), (65, 77))
            with open(path, "rb") as file:
                self.assertEqual(file.read(), b"the old one")
        server.answers["backup"] = {"size": len(good) + 1, "keys": 1, "left_out": []}
        self.assertEqual(self.status_of("backup", path, secrets=[PASSWORD, self.PASSWORD]), 69)
        server.answers["backup"] = {"size": 0}
        self.assertEqual(self.status_of("backup", path, secrets=[PASSWORD, self.PASSWORD]), 69)
        server.blob = good
        server.answers["backup"] = {"size": len(good), "keys": 1, "left_out": []}
        self.assertEqual(self.status_of("backup", os.path.join(self.directory, "no", "keys.xml"), secrets=[PASSWORD, self.PASSWORD]), 65)

    def status_of(self, *arguments, secrets):
        for status in (65, 69, 77):
            try:
                self.run_it(*arguments, secrets=secrets, status=status)
                return status
            except AssertionError:
                continue
        return None

    def test_restore(self):
        server = self.server(answers={"restore": {"keys": 4}})
        content = self.backup_file()
        # Large enough for several pieces; only fipsd opens it.
        lines = content.split(b"\n")
        large = b"\n".join([lines[0]] + [b"A" * 76] * 2000 + lines[-2:])
        path = self.file("keys.xml", large)
        _, errors = self.run_it("restore", path, secrets=[PASSWORD, self.PASSWORD])
        self.assertIn("4 keys restored", errors)
        self.assertEqual(server.put, large)
        self.assertGreater(server.verbs().count("blob_put"), 2)
        self.assertEqual(secret(server.bodies("restore")[0])[0], self.PASSWORD)
        for bad, words in ((b"<?xml version='1.0'?>" + content, "not a backup file"), (content[:-1], "not a backup file"),
                           (content.replace(b'version="1"', b'version="2"'), "format version 2"),
                           (content.replace(b'cost="14"', b'cost="40"'), "the cost")):
            _, errors = self.run_it("restore", self.file("bad.xml", bad), secrets=[PASSWORD, self.PASSWORD], status=65)
            self.assertIn(words, errors)
        self.assertEqual(server.verbs().count("restore"), 1)
        server.put = b""
        server.answers["restore"] = (scripted_fipsd.DENIED, "wrong password, or the file was changed")
        self.run_it("restore", path, secrets=[PASSWORD, self.PASSWORD], status=77)


class Terminal(Case):
    """A person: fipsconfig with a terminal of its own."""

    def begin(self, *arguments):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(PROGRAM, [PROGRAM, *arguments, "--socket", os.path.join(self.directory, "officer.sock")], environment())
        self.seen = ""
        self.ended = False
        self.addCleanup(os.close, self.terminal)

    def tearDown(self):
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def expect(self, words):
        """Reads until the words were printed; returns what stood before them."""
        while words not in self.seen:
            if not select.select([self.terminal], [], [], DEADLINE)[0]:
                raise AssertionError(f"waited for {words!r}, saw {self.seen!r}")
            try:
                data = os.read(self.terminal, 4096)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended before {words!r}: {self.seen!r}")
            self.seen += data.decode()
        before, self.seen = self.seen.split(words, 1)
        return before

    def expect_end(self, status):
        while True:
            try:
                data = os.read(self.terminal, 4096)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode()
        _, result = os.waitpid(self.pid, 0)
        self.ended = True
        self.assertEqual(os.waitstatus_to_exitcode(result), status, self.seen)
        return self.seen

    def echo(self):
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def prompt(self, words):
        """Waits for a prompt, and for the terminal to be without echo."""
        before = self.expect(words)
        self.assertFalse(self.echo(), "a secret is not shown")
        return before

    def type(self, words):
        os.write(self.terminal, words.encode())

    def test_passwords_are_not_shown(self):
        server = self.server()
        self.begin("passwd")
        self.prompt("Officer password: ")
        self.type(PASSWORD + "\n")
        self.prompt("New officer password: ")
        self.type("a new password\n")
        self.prompt("The same again: ")
        self.type("a new passwort\n")
        self.expect("The two differ.")
        self.prompt("New officer password: ")
        self.type("a new passwoo\x7frd\n")  # a person corrects a slip
        self.prompt("The same again: ")
        self.type("a new password\n")
        self.expect("The officer password is changed.")
        seen = self.expect_end(0)
        self.assertTrue(self.echo())
        self.assertNotIn("password\r\n", seen)
        self.assertEqual(secret(server.bodies("change_password")[0]), ("a new password", PASSWORD, ""))

    def test_three_different_pairs_end_it(self):
        server = self.server(state="uninitialised")
        self.begin("init")
        for _ in range(3):
            self.prompt("New officer password: ")
            self.type("one\n")
            self.prompt("The same again: ")
            self.type("two\n")
        self.expect("was not typed the same twice")
        self.expect_end(65)
        self.assertNotIn("initialise", server.verbs())

    def test_wrong_passwords_and_the_last_attempt(self):
        server = self.server()
        self.begin("passwd")
        self.prompt("Officer password: ")
        self.type("wrong one\n")
        self.expect("2 attempts left")
        self.prompt("Officer password: ")
        self.type("wrong two\n")
        self.expect("1 attempts left")
        self.expect("Only one attempt is left: a wrong password destroys all keys.")
        self.expect("Type yes to try: ")
        self.assertTrue(self.echo())
        self.type("y\n")
        self.expect("nothing was tried")
        self.expect_end(77)
        self.assertEqual(server.attempts, 1)
        self.begin("passwd")
        self.expect("Type yes to try: ")
        self.type("yes\n")
        self.prompt("Officer password: ")
        self.type("wrong three\n")
        self.expect("all keys are destroyed")
        self.expect_end(69)
        self.assertEqual(server.verbs().count("login"), 3)

    def test_the_last_attempt_may_be_right(self):
        server = self.server(attempts=1)
        self.begin("passwd")
        self.expect("Type yes to try: ")
        self.type("yes\n")
        self.prompt("Officer password: ")
        self.type(PASSWORD + "\n")
        self.prompt("New officer password: ")
        self.assertEqual(server.attempts, 3)

    def test_questions(self):
        server = self.server()
        for arguments, question in ((["zeroise"], "Type yes to destroy them: "), (["key", "destroy", "k1"], "Type yes to destroy k1 for ever: ")):
            self.begin(*arguments)
            self.expect(question)
            self.type("no\n")
            self.expect("nothing was destroyed")
            self.expect_end(1)
            self.begin(*arguments)
            self.expect(question)
            self.type("yes\n")
            self.prompt("Officer password: ")
            self.type(PASSWORD + "\n")
            self.expect_end(0)
        self.assertEqual(len(server.bodies("zeroise")), 1)
        self.assertEqual(server.bodies("destroy_key"), [text("k1")])

    def test_an_interrupt_gives_the_echo_back(self):
        server = self.server()
        for key, number in (("\x03", signal.SIGINT), ("\x1c", signal.SIGQUIT), (None, signal.SIGTERM), (None, signal.SIGHUP)):
            self.begin("passwd")
            before = self.echo()
            self.prompt("Officer password: ")
            self.type("half a pass")
            if key:
                self.type(key)
            else:
                os.kill(self.pid, number)
            _, result = os.waitpid(self.pid, 0)
            self.ended = True
            self.assertEqual(os.waitstatus_to_exitcode(result), -number)
            self.assertTrue(before and self.echo())
        self.assertNotIn("login", server.verbs())

    def test_the_end_of_input_is_no_password(self):
        server = self.server()
        self.begin("passwd")
        self.prompt("Officer password: ")
        self.type("\x04")
        self.expect("there is no password on the terminal")
        self.expect_end(64)
        self.assertNotIn("login", server.verbs())


if __name__ == "__main__":
    unittest.main(verbosity=2)
