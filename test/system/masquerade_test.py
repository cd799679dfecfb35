#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Masquerade under Postfix, with real slapd instances that are killed and stopped, and a scripted server for what slapd does not do.

A message is masqueraded completely or answered 451 with nothing changed; after recovery it goes through, once."""
import json
import os
import random
import re
import ssl
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import fake_ldap, pki, process, slapd, smtp  # noqa: E402
from support.webhook import Webhook  # noqa: E402
from support.world import World, last_code  # noqa: E402


def people(prefix, count=10):
    return "".join(slapd.person(f"{prefix}{i}", objectClass="inetLocalMailRecipient", mailLocalAddress=f"{prefix}{i}@in.example",
                                mail=f"{prefix.upper()}.{i}@example.org", displayName=f"{prefix} Nr. {i}") for i in range(count))


# For a server that hangs. Others have more time: a busy machine must not look like one.
IMPATIENT = {"timeout": "1s", "connect-timeout": "1s"}


def profile(*servers, **settings):
    return {"servers": list(servers), "base": slapd.BASE, "starttls": "off", "timeout": "5s", "connect-timeout": "5s", "retry": "1s", "cache-size": 0,
            "queries": {"mail": {"filter": "(mailLocalAddress={a})", "address": "mail"},
                        "named": {"filter": "(mailLocalAddress={a})", "address": "mail", "name": "displayName"}}, **settings}


def message(number, sender="a0", others=("b1", "a2")):
    to = ", ".join(f"{name}@in.example" for name in others)
    return (f"From: Sender <{sender}@in.example>\r\nTo: {to}\r\nCc: Team: B <b3@in.example>;, far@keep.example\r\nReply-To: a4@in.example\r\n"
            f"X-Number: {number}\r\nSubject: x\r\n\r\nbody a0@in.example\r\n").encode()


def complete(delivery):
    """Whether a delivery is masqueraded wholly; None when it is not at all."""
    fields = "".join("".join(delivery.values(name)) for name in ("From", "To", "Cc", "Reply-To")) + delivery.sender
    inside = fields.count("@in.example")
    outside = fields.count("@example.org")
    assert inside + outside == 6, fields
    return None if outside == 0 else inside == 0


def answer(server, connection, number, wanted):
    """The second directory of the chain in good health."""
    match = re.search(r"=(b\d)@in.example", wanted)
    found = fake_ldap.entry(number, "uid=b", {"mail": [f"{match.group(1).upper()}@example.org"]}) if match else b""
    connection.sendall(found + fake_ldap.done(number))


def one_entry(*values):
    def behaviour(server, connection, number, wanted):
        connection.sendall(fake_ldap.entry(number, "uid=b", {"mail": list(values)}) + fake_ldap.done(number))
    return behaviour


def faults(stop):
    """What a directory may answer that must not become mail; `stop` ends what drips."""
    return {"busy": fake_ldap.code(51), "unavailable": fake_ldap.code(52), "sizeLimit": fake_ldap.code(4), "timeLimit": fake_ldap.code(3),
            "silent": fake_ldap.silent, "half": fake_ldap.half, "half, then silence": fake_ldap.half_and_silence,
            "dripping": fake_ldap.dripping(stop), "closing": fake_ldap.closing, "junk": fake_ldap.junk, "two entries": fake_ldap.many(2),
            "10,000 entries": fake_ldap.many(10000), "two values": one_entry("x@example.org", "y@example.org"),
            "injection": one_entry("x@example.org\r\nBcc: evil@example.org"), "reference": fake_ldap.referred,
            "referral": fake_ldap.code(10, "", ["ldap://127.0.0.1:1/"]), "100 MiB": fake_ldap.huge(100 << 20), "denied": fake_ldap.code(50)}


def server_context(files):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files)
    return made


class Base(unittest.TestCase):
    default_action = "tempfail"  # Postfix's milter_default_action

    def world(self, ldap, queries=("one.mail", "two.mail"), masquerade=None, extra=None, **config):
        world = World(extra=extra, default_action=self.default_action, config={"ldap": ldap, "masquerade": {"corporate": masquerade or {"queries": list(queries)}},
                              "flows": [{"name": "out", "masquerade": ["corporate"]}], "on-unknown": {}, **config})
        self.addCleanup(world.close)
        return world

    def slapd(self, name, entries, **options):
        server = slapd.Slapd(self.directory, name, entries, **options).start()
        self.addCleanup(server.kill)
        return server

    def fake(self, behaviour, **options):
        server = fake_ldap.FakeLdap(behaviour, **options)
        self.addCleanup(server.close)
        return server

    def setUp(self):
        self.directory = process.temporary_directory("postern-masquerade-")

    def sent(self, world, number, **more):
        replies, queue_id = world.send(message(number, **more), sender="a0@in.example", recipients=["x@y.test"])
        return last_code(replies), str(replies.get("message", "")), queue_id

    def deferred(self, world, number):
        code, text, _ = self.sent(world, number)
        self.assertEqual(code, 451, text)
        self.assertIn("4.4.3", text)

    def goes_through(self, world, number, wait=False):
        """The message is accepted, `wait`: in time, and arrives once, complete."""
        if wait:
            found = process.wait_until(lambda: (lambda sent: sent if sent[0] == 250 else None)(self.sent(world, number)), "the directory to be back")
        else:
            found = self.sent(world, number)
            self.assertEqual(found[0], 250, found[1] + world.daemon.log_text()[-3000:])
        world.mta.wait_settled(found[2])
        deliveries = [one for one in world.sink.all() if one.values("X-Number")[0].strip() == str(number)]
        self.assertEqual(len(deliveries), 1)
        self.assertTrue(complete(deliveries[0]), deliveries[0].head)
        return deliveries[0]


class Masquerade(Base):
    def test_envelope_and_header(self):
        one = self.slapd("one", people("a") + people("b"))
        world = self.world({"one": profile(one.ldapi, **{"cache-size": 1000})}, ["one.named"])
        delivery = self.goes_through(world, 1)
        self.assertEqual(delivery.sender, "A.0@example.org")
        self.assertEqual(delivery.values("From"), [' "a Nr. 0" <A.0@example.org>'])
        self.assertEqual(delivery.values("Cc"), [' Team: "b Nr. 3" <B.3@example.org>;, far@keep.example'])
        self.assertIn(b"body a0@in.example", delivery.body)
        # A second message asks nobody.
        process.wait_until(lambda: len(world.daemon.lines("masquerade-done")) >= 6, lambda: "six log lines\n" + world.daemon.log_text()[-3000:])
        one.kill()
        self.goes_through(world, 2)

    def test_broken_to(self):
        one = self.slapd("one", people("a"))
        # By default Postfix itself takes such fields apart, for clients in mynetworks.
        world = self.world({"one": profile(one.ldapi)}, masquerade={"queries": ["one.mail"], "quarantine": "Policy"},
                           extra={"local_header_rewrite_clients": ""})
        wanted = (("=?utf-8?Q?Anna_<a1=40in.example>?=", "Anna <A.1@example.org>"),
                  ("=?utf-8?B?YTFAaW4uZXhhbXBsZQ==?=", "A.1@example.org"),
                  ("=?iso-8859-1?Q?M=FCller_=3Ca1=40in.example=3E?=", "=?utf-8?q?M=C3=BCller?= <A.1@example.org>"))
        for raw, now in wanted:
            delivery = world.deliver(f"From: a@keep.example\r\nTo: {raw}\r\nSubject: x\r\n\r\nx\r\n".encode())
            self.assertEqual(delivery.values("To"), [" " + now])
        for raw in ("=?utf-8?Q?a1=40in.example=2C_a2=40in.example?=", "a1@in.example a2@in.example", "=?utf-8?B?YTFAaW4?= =?utf-8?B?####?="):
            _, queue_id = world.send(f"From: a1@in.example\r\nTo: {raw}\r\nSubject: x\r\n\r\nx\r\n".encode())
            self.assertIsNotNone(queue_id)
            process.wait_until(lambda: queue_id in world.mta.held(), "the message to be held")
            world.daemon.wait_log(r"To left alone.*\[masquerade-left\]")

    def test_left_alone_is_kept_in_the_store(self):
        one = self.slapd("one", people("a"))
        world = self.world({"one": profile(one.ldapi)}, masquerade={"queries": ["one.mail"], "quarantine": "Policy"},
                           extra={"local_header_rewrite_clients": ""}, store=f"sqlite:{self.directory}/postern.db")
        data = b"From: a1@in.example\r\nTo: a1@in.example a2@in.example\r\nSubject: x\r\n\r\nx\r\n"
        _, queue_id = world.send(data)
        world.mta.wait_settled(queue_id)
        self.assertEqual(world.sink.all(), [])
        (kept,) = json.loads(world.daemon.command("quarantine", "list", "--json", "-c", world.daemon.config_file).stdout)
        self.assertEqual([(hold["quarantine"], hold["filter"]) for hold in kept["holds"]], [("Policy", "masquerade")])
        self.assertIn("To left alone", kept["holds"][0]["reason"])

    def test_trace_and_reload(self):
        one = self.slapd("one", people("a") + people("b"))
        world = self.world({"one": profile(one.ldapi)}, ["one.mail"])
        with tempfile.NamedTemporaryFile(dir=self.directory) as file:
            file.write(message(1))
            file.flush()
            traced = json.loads(world.daemon.command("trace", "-c", world.daemon.config_file, "--from", "a0@in.example", "--json", file.name).stdout)
        self.assertEqual([(stage["outcome"], stage["detail"]) for stage in traced["stages"] if stage["name"] == "masquerade"], [("done", "6 addresses changed")])
        self.assertEqual(traced["envelope"]["from"], "A.0@example.org")
        for _ in range(100):
            world.daemon.reload()
        self.goes_through(world, 1)
        self.assertEqual(world.daemon.lines(r"ldap-(outage|server-down|recovery)"), [])

    def test_command(self):
        one = self.slapd("one", people("a"))
        world = self.world({"one": profile(one.url)}, ["one.named"])

        def ldap(*words):
            done = world.daemon.command("ldap", words[0], "-c", world.daemon.config_file, *words[1:], check=False)
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        self.assertEqual(ldap("test", "one.named", "a1@in.example"),
                         (0, f"dn: uid=a1,ou=people,{slapd.BASE}\nmail: A.1@example.org\ndisplayName: a Nr. 1\n", ""))
        status, out, _ = ldap("test", "--json", "one.mail", "a1@in.example")
        self.assertEqual((status, json.loads(out)["attributes"]), (0, {"mail": ["A.1@example.org"]}))
        self.assertEqual(ldap("test", "one.mail", "*@in.example"), (1, "no entry\n", ""))
        self.assertEqual(ldap("test", "one.nothing", "a@b.example")[0], 64)
        process.wait_until(lambda: '"connections": 1' in ldap("status", "--json")[1], "the daemon's first connection")
        status, out, _ = ldap("status")
        self.assertEqual(status, 0)
        self.assertIn("one: good;", out)
        one.kill()
        self.assertEqual(ldap("test", "one.mail", "a1@in.example")[0], 69)
        self.deferred(world, 1)
        status, out, _ = ldap("status")
        self.assertEqual(status, 1)
        self.assertIn("NO SERVER ANSWERS", out)


class Outages(Base):
    """F09 and F10 with slapd: one alert, one all-clear, nothing half done."""

    def setUp(self):
        super().setUp()
        self.one, self.two = self.slapd("one", people("a")), self.slapd("two", people("b"))

    def chain(self, **settings):
        self.both = self.world({"one": profile(self.one.url, **settings), "two": profile(self.two.url, **settings)})

    def test_down(self):
        self.chain()
        number = 0
        for server in (self.one, self.two):
            self.goes_through(self.both, number)
            after = len(self.both.daemon.log_text())
            server.kill()
            for _ in range(3):
                number += 1
                self.deferred(self.both, number)
            self.both.daemon.wait_log("not masqueraded, nothing was changed: .*masquerade-failed", after)
            self.both.daemon.wait_log("does not answer: .*ldap-server-down", after)
            server.start()
            self.goes_through(self.both, number, wait=True)
            number += 1
            self.both.daemon.wait_log("ldap-recovery", after)
            self.both.daemon.wait_log("ldap-server-up", after)
            self.assertEqual(len(self.both.daemon.lines("ldap-outage", after)), 1)
            self.assertEqual(len(self.both.daemon.lines("ldap-recovery", after)), 1)

    def test_stopped(self):
        self.chain(**IMPATIENT)
        for number, server in enumerate((self.one, self.two)):
            server.pause()
            self.deferred(self.both, number)
            server.resume()
            self.goes_through(self.both, number, wait=True)

    def test_all_clear_without_mail(self):
        self.chain()
        self.one.kill()
        self.deferred(self.both, 1)
        self.both.daemon.wait_log(r"LDAP profile one has no server.*\[ldap-outage\]")
        self.one.start()
        self.both.daemon.wait_log(r"LDAP profile one is answered again.*\[ldap-recovery\]")
        self.goes_through(self.both, 1, wait=True)


class OutagesAccepting(Outages):
    """What a mail server is set to do without its filter makes no difference: the filter is there, and answers in time."""

    default_action = "accept"


class AlertsOfOutages(Base):
    def test_loaded_in_an_outage(self):
        """A profile loaded while its server is down, then slow, then up: one alert and one all-clear, reloads or not."""
        one = self.slapd("one", people("a") + people("b"))
        one.kill()
        hook = Webhook()
        self.addCleanup(hook.close)
        world = self.world({"one": profile(one.url)}, ["one.mail"], alerts={"ops": {"webhook": hook.url}})
        process.wait_until(lambda: hook.seen("ldap-outage", "raised"), lambda: f"an alert: {hook.posted}")
        world.daemon.reload()
        self.deferred(world, 1)
        # Not slapd stopped after its start: posternd may ask it in between, and then there are two outages.
        slow = self.fake(fake_ldap.silent, port=one.port)
        self.deferred(world, 1)
        world.daemon.reload()
        slow.close()
        one.start()
        self.goes_through(world, 1, wait=True)
        cleared = process.wait_until(lambda: hook.seen("ldap-outage", "cleared"), lambda: f"the all-clear: {hook.posted}")
        self.assertEqual((cleared[0]["class"], cleared[0]["key"]), ("Directory", "one"))
        world.daemon.reload()
        self.goes_through(world, 2)
        self.assertEqual((len(hook.seen("ldap-outage", "raised")), len(hook.seen("ldap-outage", "cleared"))), (1, 1))
        self.assertEqual((len(world.daemon.lines("ldap-outage")), len(world.daemon.lines("ldap-recovery"))), (1, 1))


class Faults(Base):
    """F10, F11, F12: the second of the chain is a scripted server."""

    def setUp(self):
        super().setUp()
        self.one = self.slapd("one", people("a"))

    def test_faults(self):
        two = self.fake(answer)
        world = self.world({"one": profile(self.one.url), "two": profile(two.url, **IMPATIENT)})
        stop = threading.Event()
        self.addCleanup(stop.set)

        behaviours = faults(stop)
        for number, (name, behaviour) in enumerate(behaviours.items()):
            with self.subTest(name):
                two.behaviour = behaviour
                self.deferred(world, number)
                two.behaviour = answer
                self.goes_through(world, number, wait=True)
        world.daemon.wait_log(r"gave an answer of no use: .*\[ldap-bad-answer\]")
        # No entry is an answer: what nobody knows stays as it is.
        two.behaviour = fake_ldap.nobody
        queue_id = process.wait_until(lambda: self.sent(world, "none")[2], "a message to be accepted")
        world.mta.wait_settled(queue_id)
        self.assertEqual(world.sink.with_queue_id(queue_id)[0].values("To"), [" b1@in.example, A.2@example.org"])

    def test_certificates(self):
        authority = pki.Authority(self.directory)
        good, expired = authority.issue("good"), authority.issue("expired", days=-1)
        swapped = pki.Authority(process.temporary_directory("postern-masquerade-"), "Other").issue("swapped")

        two = self.fake(answer, tls=server_context(good))
        world = self.world({"one": profile(self.one.url), "two": profile(two.url, trusted=authority.certificate)})
        self.goes_through(world, "before")
        for number, files in enumerate((expired, swapped)):
            two.tls = server_context(files)
            two.drop()
            self.deferred(world, number)
            world.daemon.wait_log(r"LDAP profile two has no server that answers: ldaps://localhost:\d+: .*certificate refused .*fingerprint "
                                  r"[0-9A-F:]{95}.*\[ldap-outage\]")
            two.tls = server_context(good)
            self.goes_through(world, number, wait=True)


class Storm(Base):
    """20 senders while directories misbehave. A sender tries until its message is accepted, as a mail server would."""

    senders = 20

    def storm(self, world, trouble, each):
        """`trouble(finished, deferred)` does harm until `finished` is set and leaves all well; `deferred` is set once a message was."""
        problems, deferrals, finished, deferred = [], [0], threading.Event(), threading.Event()
        lock = threading.Lock()

        def sender(name):
            try:
                for i in range(each):
                    number = f"{name}-{i}"
                    end = time.monotonic() + 120
                    while True:
                        try:
                            replies, queue_id = world.send(message(number), sender="a0@in.example", recipients=["x@y.test"])
                            code = last_code(replies)
                        except smtp.Lost:
                            replies, queue_id, code = {}, None, 421
                        if queue_id:
                            break
                        deferred.set()
                        with lock:
                            deferrals[0] += 1
                            if not 400 <= code < 500:
                                problems.append((number, code, str(replies.get("message"))))
                        if time.monotonic() > end:
                            problems.append((number, "never accepted"))
                            break
            except Exception as error:  # noqa: BLE001
                problems.append((name, repr(error)))

        threads = [threading.Thread(target=sender, args=(n,)) for n in range(self.senders)]
        harm = threading.Thread(target=trouble, args=(finished, deferred))
        for thread in [*threads, harm]:
            thread.start()
        for thread in threads:
            thread.join()
        finished.set()
        harm.join()
        self.assertEqual(problems, [])
        total = self.senders * each
        world.sink.wait_for(lambda deliveries: len(deliveries) >= total, f"{total} deliveries")
        deliveries = world.sink.all()
        numbers = [delivery.values("X-Number")[0].strip() for delivery in deliveries]
        states = [complete(delivery) for delivery in deliveries]
        print(f"{self.id().rpartition('.')[2]}: {total} messages by {self.senders} senders, {deferrals[0]} answers 4xx: lost {total - len(set(numbers))}, "
              f"duplicated {len(numbers) - len(set(numbers))}, half masqueraded {states.count(False)}, not masqueraded {states.count(None)}", file=sys.stderr)
        self.assertEqual(sorted(numbers), sorted(f"{n}-{i}" for n in range(self.senders) for i in range(each)))
        self.assertEqual(states, [True] * total)
        self.assertGreater(deferrals[0], 0)
        # Nothing was bounced for the directory's sake.
        self.assertNotIn("status=bounced", world.mta.log_text())
        self.assertEqual(world.daemon.lines("[Bb]ounce"), [])

    def test_servers_die(self):
        """slapd instances are killed, stopped and started all the while, one of the second profile's two among them."""
        one, two, spare = self.slapd("one", people("a")), self.slapd("two", people("b")), self.slapd("spare", people("b"))
        world = self.world({"one": profile(one.url, **IMPATIENT), "two": profile(two.url, spare.url, **IMPATIENT)})
        rng = random.Random(20261126)

        def trouble(finished, deferred):
            one.kill()
            deferred.wait(process.DEADLINE)
            one.start()
            while not finished.is_set():
                server = rng.choice((one, two, spare))
                if rng.random() < 0.6:
                    server.kill()
                    finished.wait(rng.random() * 0.6)
                    server.start()
                else:
                    server.pause()
                    finished.wait(rng.random() * 1.5)
                    server.resume()
                finished.wait(rng.random() * 0.4)

        self.storm(world, trouble, int(os.environ.get("POSTERN_STORM_MESSAGES", "10")))

    def test_answers_are_bad(self):
        """The second directory of the chain is good for a moment, then faulty in each way in turn, its certificate among them."""
        authority = pki.Authority(self.directory)
        good, expired = authority.issue("good"), authority.issue("expired", days=-1)
        swapped = pki.Authority(process.temporary_directory("postern-masquerade-"), "Other").issue("swapped")
        one = self.slapd("one", people("a"))
        two = self.fake(answer, tls=server_context(good))
        world = self.world({"one": profile(one.url), "two": profile(two.url, trusted=authority.certificate, **IMPATIENT)})
        dripping = threading.Event()
        self.addCleanup(dripping.set)
        variants = [*faults(dripping).items(), ("expired", expired), ("swapped", swapped)]
        random.Random(20261127).shuffle(variants)
        seen = []

        def trouble(finished, deferred):
            two.behaviour = fake_ldap.code(51)
            deferred.wait(process.DEADLINE)
            while not finished.is_set() or len(seen) < len(variants):
                name, fault = variants[len(seen) % len(variants)]
                if isinstance(fault, tuple):
                    two.tls = server_context(fault)
                    two.drop()
                else:
                    two.behaviour = fault
                finished.wait(0.3)
                two.behaviour, two.tls = answer, server_context(good)
                finished.wait(0.3)
                seen.append(name)

        self.storm(world, trouble, int(os.environ.get("POSTERN_STORM_MESSAGES", "10")))


@unittest.skipUnless("POSTERN_STORM_MESSAGES" in os.environ, "only of a long storm")
class StormAccepting(Storm):
    default_action = "accept"


if __name__ == "__main__":
    unittest.main(warnings="ignore")
