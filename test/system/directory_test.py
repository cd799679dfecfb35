#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""directory_test.py PROGRAM [unittest arguments]: engine/directory (through directory-ask) against real slapd instances and against a
scripted server that fails in every way: what is found, what is not there, and what nobody could say are never taken for each other."""
import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support import fake_ldap, pki, process, slapd  # noqa: E402

PROGRAM = None
MAIL = {"name": "mail", "filter": "(mail={a})", "attributes": ["mail", "cn"]}
QUERIES = [MAIL, {"name": "uid", "filter": "(uid={u})"},
           {"name": "member", "filter": "(&(cn={g})(member={dn}))", "dn_query": "uid", "any_entry": True},
           {"name": "nested", "filter": "(&(uid={u})(memberOf={g}))", "any_entry": True},
           {"name": "branch", "filter": "(uid={u})", "base": "ou={d},dc=example,dc=org"},
           {"name": "lost", "filter": "(uid={u})", "base": "ou=nowhere,dc=example,dc=org"},
           {"name": "all", "filter": "(objectClass=inetOrgPerson)"}]


class Asker:
    """One directory-ask."""

    def __init__(self, servers, queries=None, **settings):
        self.settings = {"servers": [getattr(server, "url", server) for server in servers], "queries": queries or QUERIES, **settings}
        self.popen = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.popen.stdin.write(json.dumps(self.settings) + "\n")

    def command(self, **command):
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError(f"directory-ask ended with {self.popen.wait()}")
        answer = json.loads(line)
        self.events += answer["events"]
        self.last = answer
        return answer

    def ask(self, query, *keys, **more):
        return self.command(ask=query, keys=list(keys), **more)["answers"]

    def kinds(self):
        kinds, self.events = [event["kind"] for event in self.events], []
        return kinds

    def close(self):
        self.popen.stdin.close()
        status = self.popen.wait(30)
        self.popen.stdout.close()
        if status != 0:
            raise AssertionError(f"directory-ask ended with {status}")


class Base(unittest.TestCase):
    def setUp(self):
        self.directory = process.temporary_directory("postern-ldap-")
        self.slapds = []

    def slapd(self, name, entries, **options):
        one = slapd.Slapd(self.directory, name, entries, **options).start()
        self.addCleanup(one.kill)
        return one

    def fake(self, behaviour, **options):
        server = fake_ldap.FakeLdap(behaviour, **options)
        self.addCleanup(server.close)
        return server

    def asker(self, servers, queries=None, **settings):
        asker = Asker(servers, queries, **settings)
        self.addCleanup(asker.close)
        return asker

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


PEOPLE = (slapd.person("anna", mail="anna@example.org", cn="Anna Müller") + slapd.person("bob", mail=["bob@example.org", "robert@example.org"]) +
          slapd.person("star*(x)", mail="star*(x)@example.org"))
GROUPS = slapd.group("staff", f"uid=anna,ou=people,{slapd.BASE}") + slapd.group("everybody", f"cn=staff,ou=groups,{slapd.BASE}",
                                                                                 f"uid=bob,ou=people,{slapd.BASE}")


class Slapd(Base):
    def test_answers(self):
        server = self.slapd("one", PEOPLE + GROUPS, extra="overlay dynlist\ndynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames*\n")
        asker = self.asker([server.ldapi], cache_entries=100)
        found = asker.ask("mail", "anna@example.org", "nobody@example.org", "ROBERT@example.org", "*", "*)(uid=*", "star*(x)@example.org")
        self.assertEqual([answer["found"] for answer in found], [True, False, True, False, False, True])
        self.assertEqual(found[0]["values"], [["anna@example.org"], ["Anna Müller"]])
        self.assertEqual(found[2]["values"][0], ["bob@example.org", "robert@example.org"])
        self.assertEqual(asker.last["misses"], 6)
        asker.ask("mail", "anna@example.org", "nobody@example.org", "anna@example.org")
        self.assertEqual((asker.last["misses"], asker.last["hits"]), (6, 3))
        # {dn} comes from another query; groups within groups by the server's overlay.
        self.assertTrue(asker.ask("member", "anna@example.org", group="staff")[0]["found"])
        self.assertFalse(asker.ask("member", "bob@example.org", group="staff")[0]["found"])
        self.assertFalse(asker.ask("member", "ghost@example.org", group="staff")[0]["found"])
        everybody = f"cn=everybody,ou=groups,{slapd.BASE}"
        self.assertTrue(asker.ask("nested", "anna@example.org", group=everybody)[0]["found"])
        self.assertFalse(asker.ask("nested", "bob@example.org", group=f"cn=staff,ou=groups,{slapd.BASE}")[0]["found"])
        # A base that depends on the address may be missing, one that does not may not.
        self.assertTrue(asker.ask("branch", "anna@people")[0]["found"])
        self.assertFalse(asker.ask("branch", "anna@nowhere")[0]["found"])
        self.assertEqual(asker.ask("lost", "anna@example.org")[0]["cause"], "misconfigured")
        # Which of several entries is meant nobody can tell.
        self.assertIn("more than one entry", asker.ask("all", "anna@example.org")[0]["error"])
        self.assertEqual(asker.kinds(), ["bad_answer", "bad_answer"])

    def test_many_questions_share_one_connection(self):
        server = self.slapd("one", "".join(slapd.person(f"u{i}", mail=f"u{i}@example.org") for i in range(300)))
        asker = self.asker([server.ldapi])
        answers = asker.ask("mail", *[f"u{i}@example.org" for i in range(300)], *[f"u{i}@example.org" for i in range(300)])
        self.assertTrue(all(answer["values"][0] == [f"u{i % 300}@example.org"] for i, answer in enumerate(answers)))
        self.assertEqual(asker.last["misses"], 300)
        self.assertEqual(asker.last["servers"][0]["connections"], 1)

    def test_connections_are_bounded_and_shared(self):
        server = self.slapd("one", PEOPLE)
        asker = self.asker([server.ldapi], connections=3)
        for _ in range(5):
            answers = asker.command(together=20, command={"ask": "mail", "keys": ["anna@example.org"]})["answers"]
            self.assertTrue(all(answer[0]["found"] for answer in answers))
        self.assertLessEqual(asker.last["servers"][0]["connections"], 3)
        self.assertEqual(asker.kinds(), [])

    def test_binds(self):
        server = self.slapd("one", PEOPLE, extra='access to * by dn.exact="uid=reader,dc=example,dc=org" read by dn.exact="%s" read by anonymous auth\n'
                            % slapd.ADMIN)
        secret = self.file("secret", slapd.PASSWORD + "\n")
        good = self.asker([server.ldapi], bind_dn=slapd.ADMIN, secret_file=secret)
        self.assertTrue(good.ask("mail", "anna@example.org")[0]["found"])
        external = self.asker([server.ldapi], sasl_external=True)
        self.assertTrue(external.ask("mail", "anna@example.org")[0]["found"])
        for settings, words in (({"bind_dn": slapd.ADMIN, "secret_file": self.file("wrong", "x")}, "Invalid credentials"),
                                ({"bind_dn": slapd.ADMIN, "secret_file": self.file("empty", "\n")}, "password is empty"),
                                ({"bind_dn": slapd.ADMIN, "secret_file": self.directory + "/none"}, "No such file")):
            bad = self.asker([server.ldapi], **settings)
            answer = bad.ask("mail", "anna@example.org")[0]
            self.assertEqual(answer["cause"], "unavailable")
            self.assertIn(words, answer["error"])
            self.assertEqual(bad.kinds(), ["server_down", "outage"])

    def test_failover_and_return(self):
        first, second = self.slapd("first", PEOPLE), self.slapd("second", PEOPLE)
        asker = self.asker([first, second], retry=500)
        self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
        first.kill()
        for _ in range(3):
            self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
        self.assertEqual(asker.kinds(), ["server_down"])
        second.kill()
        self.assertEqual(asker.ask("mail", "anna@example.org")[0]["cause"], "unavailable")
        self.assertEqual(asker.ask("mail", "anna@example.org")[0]["cause"], "unavailable")
        self.assertEqual(asker.kinds(), ["server_down", "outage"])
        second.start()
        process.wait_until(lambda: asker.ask("mail", "anna@example.org")[0].get("found"), "the second server")
        self.assertEqual(asker.kinds(), ["server_up", "recovery"])
        first.start()
        before = asker.last["servers"][0]["questions"]
        process.wait_until(lambda: asker.ask("mail", "anna@example.org")[0]["found"] and asker.last["servers"][0]["questions"] > before,
                           "the return to the first server")
        self.assertEqual(asker.kinds(), ["server_up"])

    def test_probe_notices_what_mail_does_not_ask(self):
        server = self.slapd("one", PEOPLE)
        asker = self.asker([server], retry=500)
        for _ in range(100):
            asker.command(reload=True)
            asker.command(probe=True)
        self.assertEqual(asker.kinds(), [])
        server.kill()
        fresh = self.asker([server], retry=500)
        fresh.command(probe=True)
        self.assertEqual(fresh.kinds(), ["server_down", "outage"])
        for _ in range(5):
            fresh.command(reload=True)
            fresh.command(probe=True)
            self.assertEqual(fresh.ask("mail", "anna@example.org")[0]["cause"], "unavailable")
        self.assertEqual(fresh.kinds(), [])
        server.start()
        process.wait_until(lambda: not fresh.command(probe=True)["outage"], "the all-clear")
        self.assertEqual(fresh.kinds(), ["server_up", "recovery"])

    def test_hung_server(self):
        first, second = self.slapd("first", PEOPLE), self.slapd("second", PEOPLE)
        asker = self.asker([first, second], timeout=3000, connect_timeout=3000)
        self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
        first.pause()
        self.addCleanup(first.resume)

        def told():  # what was asked before the process had stopped is still answered by it
            self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
            return asker.kinds() == ["server_down"]
        process.wait_until(told, "the first server to be given up")

    def test_load_balance(self):
        servers = [self.slapd(f"s{i}", PEOPLE) for i in range(3)]
        asker = self.asker(servers, load_balance=True)
        for _ in range(30):
            self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
        self.assertEqual([server["questions"] for server in asker.last["servers"]], [10, 10, 10])
        servers[1].kill()
        for _ in range(30):
            self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
        self.assertEqual(asker.kinds(), ["server_down"])


class Tls(Base):
    def setUp(self):
        super().setUp()
        self.authority = pki.Authority(self.directory)
        self.server_files = self.authority.issue("server")

    def server(self, entries=PEOPLE, client="never"):
        return self.slapd("tls", entries, tls=(self.authority.certificate, *self.server_files), client=client)

    def test_ldaps_and_starttls(self):
        server = self.server()
        for url, starttls in ((server.tls_url, False), (f"ldaps://127.0.0.1:{server.tls_port}", False), (f"ldap://localhost:{server.port}", True)):
            asker = self.asker([url], starttls=starttls, trusted=self.authority.certificate)
            self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"], url)
            self.assertEqual(asker.kinds(), [])

    def test_sasl_external_with_client_certificate(self):
        server = self.server(client="demand")
        certificate, key = self.authority.issue("anna", names=())
        # Who the server thinks we are: only our own entry's owner may read.
        asker = self.asker([server.tls_url], trusted=self.authority.certificate, certificate=certificate, key=key, sasl_external=True)
        self.assertTrue(asker.ask("mail", "anna@example.org")[0]["found"])
        none = self.asker([server.tls_url], trusted=self.authority.certificate, sasl_external=True)
        self.assertEqual(none.ask("mail", "anna@example.org")[0]["cause"], "unavailable")
        other = pki.Authority(process.temporary_directory("postern-ldap-")).issue("anna", names=())
        mixed = self.asker([server.tls_url], trusted=self.authority.certificate, certificate=certificate, key=other[1])
        self.assertIn("is not the key of", mixed.ask("mail", "anna@example.org")[0]["error"])

    def refused(self, url, words, **settings):
        settings.setdefault("trusted", self.authority.certificate)
        asker = self.asker([url], **settings)
        answer = asker.ask("mail", "anna@example.org")[0]
        self.assertEqual(answer.get("cause"), "unavailable", answer)
        self.assertIn(words, answer["error"])
        self.assertEqual(asker.kinds(), ["server_down", "outage"])
        return answer["error"]

    def context(self, files, maximum=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        context.minimum_version = ssl.TLSVersion.TLSv1
        if maximum:
            context.maximum_version = maximum
            context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def test_bad_servers(self):
        good = self.server_files
        other = pki.Authority(process.temporary_directory("postern-ldap-"), "Other CA").issue("other")
        cases = [(other, "certificate refused"), (self.authority.issue("elsewhere", names=("DNS:elsewhere.example",)), "hostname mismatch"),
                 (self.authority.issue("expired", days=-1), "certificate has expired")]
        for files, words in cases:
            server = self.fake(fake_ldap.one(), tls=self.context(files))
            error = self.refused(server.url, words)
            shown = ssl.PEM_cert_to_DER_cert(open(files[0], encoding="ascii").read())
            self.assertIn(":".join(f"{byte:02X}" for byte in hashlib.sha256(shown).digest()), error)
            self.assertEqual(server.searches, [])
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            self.refused(self.fake(fake_ldap.one(), tls=self.context(good, version)).url, "version")
        plain = self.fake(fake_ldap.one())
        self.refused(f"ldaps://localhost:{plain.port}", "TLS with localhost", connect_timeout=1000)
        self.refused(plain.url, "StartTLS refused", starttls=True)
        self.assertEqual(plain.searches, [])
        # The system's certificates do not vouch for the test's.
        self.refused(self.fake(fake_ldap.one(), tls=self.context(good)).url, "certificate refused", trusted="")

    def test_the_configured_certificate_and_no_other(self):
        context = self.context(self.server_files)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(self.authority.certificate)
        server = self.fake(fake_ldap.one(), tls=context)
        environment = os.environ.copy()
        self.addCleanup(lambda: os.environ.update(environment))
        certificate, key = self.authority.issue("client", names=())
        second = self.authority.issue("second", names=())
        # What libldap would read by itself is not used.
        os.environ.update(LDAPTLS_CERT=certificate, LDAPTLS_KEY=key)
        self.assertTrue(self.asker([server.url], trusted=self.authority.certificate).ask("mail", "a@b")[0]["found"])
        self.assertEqual(server.peer_certificates, [None])
        for name in ("LDAPTLS_CERT", "LDAPTLS_KEY"):
            del os.environ[name]
        mine = self.asker([server.url], trusted=self.authority.certificate, certificate=certificate, key=key)
        self.assertTrue(mine.ask("mail", "a@b")[0]["found"])
        mine.command(reload={**mine.settings, "certificate": second[0], "key": second[1]})
        self.assertTrue(mine.ask("mail", "a@b")[0]["found"])
        shown = [ssl.PEM_cert_to_DER_cert(open(path, encoding="ascii").read()) for path in (certificate, second[0])]
        self.assertEqual(server.peer_certificates[1:], shown)


class Faults(Base):
    """One scripted server, one way to fail each."""

    def outcome(self, behaviour, kinds, words, cause="unavailable", **settings):
        server = self.fake(behaviour)
        settings.setdefault("timeout", 10000)
        asker = self.asker([server], **settings)
        answer = asker.ask("mail", "old@example.org")[0]
        self.assertEqual(answer.get("cause"), cause, answer)
        self.assertIn(words, answer["error"])
        self.assertEqual(asker.kinds(), kinds)
        self.assertLess(asker.last["milliseconds"], 15000)
        return server

    DOWN = ["server_down", "outage"]

    def test_no_answer(self):
        self.outcome(fake_ldap.silent, self.DOWN, "no answer in time", timeout=1500)
        self.outcome(fake_ldap.half, self.DOWN, "closed the connection")
        self.outcome(fake_ldap.half_and_silence, self.DOWN, "no answer in time", timeout=1500)
        self.outcome(fake_ldap.closing, self.DOWN, "closed the connection")
        self.outcome(fake_ldap.junk, self.DOWN, "")
        self.outcome(fake_ldap.not_ldap, self.DOWN, "")
        stop = threading.Event()
        self.addCleanup(stop.set)
        self.outcome(fake_ldap.dripping(stop), self.DOWN, "no answer in time", timeout=1500)

    def test_errors_of_the_server(self):
        for number in (51, 52):
            self.outcome(fake_ldap.code(number, "not today"), self.DOWN, "not today")
        # About the question: whoever writes an address must not be able to take a directory away from everybody.
        for number in (1, 3, 11, 53, 80):
            self.outcome(fake_ldap.code(number, "not today"), ["bad_answer"], "not today")
        self.outcome(fake_ldap.code(4), ["bad_answer"], "Size limit")
        for number in (50, 34, 18, 2):
            self.outcome(fake_ldap.code(number), ["bad_answer"], "", "misconfigured")
        self.outcome(fake_ldap.code(32), ["bad_answer"], "there is no", "misconfigured")

    def test_references_are_not_followed(self):
        server = self.outcome(fake_ldap.referred, ["bad_answer"], "another directory", "malformed")
        self.assertEqual(len(server.searches), 1)
        server = self.outcome(fake_ldap.code(10, "", ["ldap://127.0.0.1:1/"]), ["bad_answer"], "another directory", "malformed")
        self.assertEqual(server.connections, 1)
        asker = self.asker([self.fake(fake_ldap.referred)], ignore_references=True)
        self.assertFalse(asker.ask("mail", "old@example.org")[0]["found"])

    def test_too_much(self):
        self.outcome(fake_ldap.many(2), ["bad_answer"], "more than one entry", "malformed")
        self.outcome(fake_ldap.many(10000), ["bad_answer"], "more than one entry", "malformed")
        self.outcome(fake_ldap.huge(100 << 20), ["bad_answer"], "larger than the limit", "malformed")
        values = lambda server, connection, number, wanted: connection.sendall(  # noqa: E731
            fake_ldap.entry(number, "uid=x", {"mail": [f"{i}@example.org" for i in range(101)]}) + fake_ldap.done(number))
        self.outcome(values, ["bad_answer"], "more than 100 values", "malformed")
        # Where one entry is as good as any, many are no fault.
        asker = self.asker([self.fake(fake_ldap.many(10000))], [{"name": "any", "filter": "(x={a})", "any_entry": True}], timeout=10000)
        self.assertTrue(asker.ask("any", "old@example.org")[0]["found"])
        self.assertEqual(asker.kinds(), [])

    def test_next_server_answers(self):
        good = self.fake(fake_ldap.one())
        stop = threading.Event()
        self.addCleanup(stop.set)
        for behaviour in (fake_ldap.silent, fake_ldap.half, fake_ldap.code(51), fake_ldap.junk, fake_ldap.closing, fake_ldap.dripping(stop)):
            bad = self.fake(behaviour)
            asker = self.asker([bad, good], timeout=3000)
            answer = asker.ask("mail", *[f"old{i}@example.org" for i in range(50)])
            self.assertTrue(all(one["values"][0] == ["new@example.org"] for one in answer))
            self.assertEqual(asker.kinds(), ["server_down"])
        asker = self.asker([self.fake(fake_ldap.code(11)), good])
        self.assertEqual(asker.ask("mail", "old@example.org")[0]["values"][0], ["new@example.org"])
        self.assertEqual(asker.kinds(), ["bad_answer"])

    def test_too_long_an_address_is_not_asked_about(self):
        server = self.fake(fake_ldap.one())
        asker = self.asker([server])
        answers = asker.ask("mail", "a" * 309 + "@example.org", "a" * 308 + "@example.org")
        self.assertEqual([answer["found"] for answer in answers], [False, True])
        self.assertEqual(len(server.searches), 1)

    def test_a_dead_idle_connection_is_no_outage(self):
        server = self.fake(fake_ldap.one())
        asker = self.asker([server])
        for _ in range(5):
            self.assertTrue(asker.ask("mail", "old@example.org")[0]["found"])
            server.drop()
        self.assertEqual(asker.kinds(), [])

    def test_the_callers_time_is_not_the_servers_fault(self):
        asker = self.asker([self.fake(fake_ldap.silent)], timeout=60000)
        self.assertEqual(asker.ask("mail", "old@example.org", deadline=3000)[0]["cause"], "unavailable")
        self.assertEqual(asker.kinds(), [])

    def test_unreachable(self):
        for url, words in ((f"ldap://127.0.0.1:{process.free_port()}", "refused"), ("ldapi:///nowhere/at/all", "No such file"),
                           ("ldap://no-such-host.invalid", "name look-up")):
            asker = self.asker([url])
            answer = asker.ask("mail", "old@example.org")[0]
            self.assertEqual(answer["cause"], "unavailable")
            self.assertIn(words, answer["error"])
            self.assertEqual(asker.kinds(), self.DOWN)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(warnings="ignore")
