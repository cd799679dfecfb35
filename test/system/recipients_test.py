#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Recipients and groups by real slapd instances under Postfix: which recipients there are, where their mail goes, who is in which group and
who may send as whom; each also while the directory is not there."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import fake_ldap, process, slapd, smtp  # noqa: E402
from support.world import World, last_code  # noqa: E402

MAIL = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: s\r\n\r\nx\r\n"


def laser(uid, **attributes):
    """A person as the LDAP mail routing draft has them."""
    return slapd.person(uid, objectClass="inetLocalMailRecipient", mailLocalAddress=f"{uid}@in.example", mail=f"{uid}@in.example", **attributes)


PEOPLE = (laser("anna", mailRoutingAddress="anna.new@y.test") + laser("bob", description=["bob1@y.test", "bob2@y.test"]) + laser("carl") +
          laser("host1", mailHost="[127.0.0.8]") + laser("host2", mailHost="other.example") + laser("bad", mailRoutingAddress="no address at all"))
GROUPS = (slapd.group("staff", f"uid=anna,ou=people,{slapd.BASE}") + slapd.group("everybody", f"cn=staff,ou=groups,{slapd.BASE}") +
          slapd.group("others", f"uid=bob,ou=people,{slapd.BASE}"))
# Who is in a group of a group is in it too.
NESTED = "overlay dynlist\ndynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames*\n"
QUERIES = {"there": {"filter": "(mailLocalAddress={a})"}, "route": {"filter": "(mailLocalAddress={a})", "address": "mailRoutingAddress"},
           "several": {"filter": "(&(mailLocalAddress={a})(description=*))", "address": "description"}, "host": {"filter": "(mailLocalAddress={a})", "host": "mailHost"}, "sender": {"filter": "(&(mailLocalAddress={a})(!(uid={f})))"},
           "member": {"filter": "(&(mailLocalAddress={a})(memberOf={g}))"}, "logins": {"filter": "(mailLocalAddress={a})", "login": "uid"}}


def group_name(name):
    return f"cn={name},ou=groups,{slapd.BASE}"


class Recipients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = process.temporary_directory("postern-recipients-")
        cls.slapd = slapd.Slapd(cls.directory, "one", PEOPLE + GROUPS, extra=NESTED)

    def setUp(self):
        self.slapd.start()
        self.addCleanup(self.slapd.kill)

    def world(self, flow, rules=None, servers=None, timeout="5s", **config):
        profile = {"servers": servers or [self.slapd.url], "base": slapd.BASE, "starttls": "off", "timeout": timeout, "connect-timeout": timeout,
                   "retry": "1s", "cache-size": 0, "queries": QUERIES}
        world = World(config={"ldap": {"one": profile}, "flows": [{"name": "in", **flow}], "on-unknown": {}, **config}, rules=rules)
        self.addCleanup(world.close)
        return world

    def rcpt(self, world, *recipients, sender="a@x.test"):
        """The answers to RCPT of each."""
        with smtp.Client(world.mta.port) as client:
            client.read()
            client.ehlo()
            self.assertTrue(client.command(f"MAIL FROM:<{sender}>").ok)
            return [str(client.command(f"RCPT TO:<{one}>")) for one in recipients]

    def test_accept(self):
        world = self.world({"accept": {"queries": [{"query": "one.there", "domains": ["in.example", ".in.example"]}]}})
        known, unknown, below, elsewhere, wild = self.rcpt(world, "anna@in.example", "nobody@in.example", "anna@sub.in.example", "nobody@y.test", "*@in.example")
        self.assertTrue(known.startswith("250"), known)
        self.assertTrue(elsewhere.startswith("250"), elsewhere)
        for reply in unknown, below, wild:
            self.assertIn("550 5.1.1", reply)
        world.daemon.wait_log(r"To: <nobody@in\.example> refused by accept: 550 5\.1\.1")
        self.slapd.kill()
        for reply in self.rcpt(world, "anna@in.example", "nobody@in.example"):
            self.assertIn("451 4.4.3", reply)
        self.assertIn("250", self.rcpt(world, "nobody@y.test")[0])
        self.slapd.start()
        process.wait_until(lambda: self.rcpt(world, "anna@in.example")[0].startswith("250"), "the directory to be back")
        self.assertIn("550 5.1.1", self.rcpt(world, "nobody@in.example")[0])

    def test_accept_while_unavailable(self):
        world = self.world({"accept": {"queries": [{"query": "one.there", "domains": "*"}], "when-unavailable": "accept"}})
        self.assertIn("550 5.1.1", self.rcpt(world, "nobody@in.example")[0])
        self.slapd.kill()
        self.assertTrue(self.rcpt(world, "nobody@in.example")[0].startswith("250"))
        world.daemon.wait_log(r"To: <nobody@in\.example> accepted without a directory's answer: .*\[recipient-unchecked\]")

    def test_sender_in_accept_query(self):
        world = self.world({"accept": {"queries": ["one.sender"]}})
        self.assertTrue(self.rcpt(world, "anna@in.example", sender="b@x.test")[0].startswith("250"))
        self.assertIn("550 5.1.1", self.rcpt(world, "anna@in.example", sender="anna")[0])

    def test_silent_directory(self):
        """A directory that takes connections and says nothing costs a recipient 451, in time."""
        silent = fake_ldap.FakeLdap(fake_ldap.silent)
        self.addCleanup(silent.close)
        world = self.world({"accept": {"queries": ["one.there"]}}, servers=[silent.url], timeout="1s")
        self.assertIn("451 4.4.3", self.rcpt(world, "anna@in.example")[0])

    def test_route(self):
        with open(os.path.join(self.directory, "domains"), "w", encoding="ascii") as file:
            file.write("@old.example @y.test\n@.old.example @sub.y.test\n")
        world = self.world({"route": {"table": os.path.join(self.directory, "domains"), "queries": ["one.several", "one.route"]}})
        delivery = world.deliver(MAIL, recipients=["anna@in.example", "bob@in.example", "carl@in.example", "x@old.example", "x@a.b.old.example"])
        self.assertEqual(sorted(delivery.recipients), ["anna.new@y.test", "bob1@y.test", "bob2@y.test", "carl@in.example", "x@sub.y.test", "x@y.test"])
        world.daemon.wait_log(r"To: <bob@in\.example> routed to <bob1@y\.test>, <bob2@y\.test>.*\[recipient-routed\]")
        # Two recipients that become the same one get one copy.
        delivery = world.deliver(MAIL, recipients=["anna@in.example", "anna.new@y.test"])
        self.assertEqual(delivery.recipients, ["anna.new@y.test"])
        replies, _ = world.send(MAIL, recipients=["bad@in.example", "anna@in.example"])
        self.assertIn("451 4.4.3", str(replies["message"]))
        world.daemon.wait_log(r"not routed, nothing was changed: .*something that is no address for bad@in\.example.*\[route-failed\]")
        self.slapd.kill()
        replies, _ = world.send(MAIL, recipients=["anna@in.example"])
        self.assertIn("451 4.4.3", str(replies["message"]))
        self.slapd.start()
        process.wait_until(lambda: world.send(MAIL, recipients=["carl@in.example"])[1], "the directory to be back")
        self.assertEqual(world.deliver(MAIL, recipients=["anna@in.example"]).recipients, ["anna.new@y.test"])

    def test_route_host(self):
        world = self.world({"route": {"queries": ["one.host"]}})
        replies = self.rcpt(world, "host1@in.example", "host2@in.example", "carl@in.example", "host1@in.example")
        self.assertEqual([reply[:9] for reply in replies], ["250 2.1.5", "452 4.5.3", "452 4.5.3", "250 2.1.5"])
        letter = os.path.join(self.directory, "letter")
        with open(letter, "wb") as file:
            file.write(MAIL)
        traced = world.daemon.command("trace", "-c", world.daemon.config_file, "--rcpt", "host1@in.example", letter).stdout.decode()
        self.assertIn("next hop [127.0.0.8]", traced)
        self.assertIn("X-Postern-Alt-Mailhost", traced)
        delivery = world.deliver(MAIL, recipients=["host1@in.example"])
        world.daemon.wait_log(r"routed to the host \[127\.0\.0\.8\].*\[message-routed\]")
        self.assertEqual((delivery.host, delivery.values("X-Postern-Alt-Mailhost")), ("127.0.0.8", []))
        self.slapd.kill()
        self.assertIn("451 4.4.3", self.rcpt(world, "host1@in.example")[0])

    RULES = """
filters:
  - {name: sender, if: 'mail-from-group == "%(staff)s"', then: [{insert-header: {name: X-Group, value: sender}}]}
  - {name: nested, if: 'mail-from-group == "%(everybody)s"', then: [{insert-header: {name: X-Group, value: nested}}]}
  - {name: any, if: 'rcpt-to-group == "%(others)s"', then: [{insert-header: {name: X-Group, value: rcpt}}]}
  - {name: one, phase: rcpt, if: 'rcpt-to-group == "%(staff)s"', then: [{reject: {text: "Staff only"}}]}
  - {name: login, if: 'smtp-auth-id-in-directory == "one.logins"', then: [{insert-header: {name: X-Group, value: login}}]}
""" % {name: group_name(name) for name in ("staff", "everybody", "others")}

    def groups(self, world, **options):
        return [value.strip() for value in world.deliver(MAIL, **options).values("X-Group")]

    def test_groups(self):
        world = self.world({}, self.RULES, **{"group-query": ["one.member"]})
        self.assertEqual(self.groups(world, sender="anna@in.example"), ["sender", "nested"])
        self.assertEqual(self.groups(world, sender="bob@in.example", recipients=["b@y.test", "bob@in.example"]), ["rcpt"])
        self.assertEqual(self.groups(world, sender=""), [])
        self.assertEqual(self.groups(world, sender="bob@in.example", login="bob"), ["login"])
        self.assertEqual(self.groups(world, sender="bob@in.example", login="anna"), [])
        refused, taken = self.rcpt(world, "anna@in.example", "bob@in.example")
        self.assertIn("Staff only", refused)
        self.assertTrue(taken.startswith("250"), taken)
        # Unknown is not "no": what only the directory can tell is deferred.
        self.slapd.kill()
        self.assertTrue(self.rcpt(world, "anna@in.example")[0].startswith("451"))
        replies, _ = world.send(MAIL, sender="anna@in.example")
        self.assertEqual(last_code(replies), 451)

    def test_matching_rule(self):
        """Nested groups as Active Directory has them: the server walks the groups, by a matching rule of its own."""
        asked = []

        def answer(server, connection, number, wanted):
            asked.append(wanted)
            found = fake_ldap.entry(number, "uid=anna", {}) if "(mail=anna@in.example)" in wanted and "everybody" in wanted else b""
            connection.sendall(found + fake_ldap.done(number))

        server = fake_ldap.FakeLdap(answer)
        self.addCleanup(server.close)
        queries = {"member": {"filter": "(&(mail={a})(memberOf:1.2.840.113556.1.4.1941:={g}))"}}
        config = {"ldap": {"ad": {"servers": [server.url], "base": slapd.BASE, "starttls": "off", "queries": queries}}, "group-query": "ad.member",
                  "flows": [{"name": "in"}]}
        rules = "filters:\n  - {name: n, if: 'mail-from-group == \"%s\"', then: [{insert-header: {name: X-Group, value: in}}]}\n" % group_name("everybody")
        world = World(config=config, rules=rules)
        self.addCleanup(world.close)
        self.assertEqual(self.groups(world, sender="anna@in.example"), ["in"])
        self.assertEqual(self.groups(world, sender="bob@in.example"), [])
        self.assertTrue(any("memberOf:1.2.840.113556.1.4.1941:=" in wanted for wanted in asked), asked)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
