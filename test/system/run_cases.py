#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs case files against a real mail server with posternd as its milter.

    run_cases.py --mta postfix|sendmail [--list] [NAME…]

A case is test/system/cases/NAME.yaml; the same files serve both mail servers:

    what: one sentence
    mta: [postfix]                    # only where one of the two cannot do it; the reason belongs into `what`
    config: {…}                       # laid over a small postern.yaml
    store: true                       # quarantined mail is kept in a store
    dkim: {…}                         # mail of example.org is signed with both keys of a fake fipsd; the map is laid over the profile
    outbox: true                      # there is a store, and the mail server has a listener for mail that filters make (Postfix only)
    rules: |                          # the rule file; or `filters:`, a list
    files: {generics: "…"}            # files beside postern.yaml, such as dictionaries.d/words.txt
    messages:
      - from: a@x.test                # "" is the null sender
        to: [b@y.test]
        helo: …, source: 127.0.0.9, login: alice, parameters: SMTPUTF8 BODY=8BITMIME
        submit: true                  # handed in by a local program instead of by SMTP
        data: |                       # lines end in CRLF on the wire; Date and Message-ID are put before it unless `bare: true`
        charset: latin-1              # the encoding of `data` on the wire, UTF-8 where not given
        fipsd: denied                 # the status that the fake fipsd answers from now on ("ok" puts it right again)
        fill: 60000000                # so many octets of filler lines are added to the body
        expect:
          connect, helo, mail, data, message: "250"       # the reply starts so, or matches "~regex"; 2xx/3xx where not given
          rcpt: ["250", "550 5.7.1"]
          delivered: false            # nothing may arrive
          kept: ["copy Policy"]       # what of it is in the store afterwards, nothing where not given
          held: true                  # quarantined by the mail server; `reason` is compared where it shows one
          from: …, to: […]            # the envelope delivered; as sent where not given
          headers: [ … ]              # every field in order, exactly ("~" for a regex), without the server's own Received, and without
                                      # Date and Message-ID where the runner put them; as sent where not given
          body: | …                   # exactly; as sent where not given
          body-matches: [ … ]         # regexes, instead of body
          parts: ["text/plain", "image/png a.png"]        # leaves as Python's email package reads them, with file names
          texts: ["…", null]          # their decoded texts; null is not compared
          host: 127.0.0.8             # the address the mail server delivered to, and from which
          client: 127.0.0.9
          signatures: [ … ]           # "DOMAIN SELECTOR pass|fail|error" as two verifiers say, from the top
          later: [{to: […], headers-match: [ … ]}]        # further mail that arrives, such as a bounce
          postfix: {…}, sendmail: {…} # laid over the above for one of the two
    log: [ … ]                        # regexes, each must match a line of posternd's log
    no-log: [ … ]
    load-error: [ … ]                 # instead of messages: `postern check` refuses the configuration and says this
"""
import argparse
import email
import email.policy
import json
import os
import re
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import yaml  # noqa: E402

from support import mta as mtas  # noqa: E402
from support import smtp  # noqa: E402
from support.fake_fipsd import FakeFipsd  # noqa: E402
from support.daemon import merge  # noqa: E402
from support.posternd import Posternd  # noqa: E402
from support.process import Timeout, free_port, wait_until  # noqa: E402
from support.sink import Sink  # noqa: E402

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases")
STAGES = ("connect", "helo", "mail", "rcpt", "data", "message")
MESSAGE_KEYS = {"from", "to", "helo", "source", "login", "parameters", "submit", "data", "charset", "fill", "bare", "fipsd", "expect"}
EXPECT_KEYS = {*STAGES, "delivered", "kept", "held", "reason", "from", "to", "headers", "body", "body-matches", "parts", "texts", "later", "host", "client",
               "signatures", "postfix", "sendmail"}
CASE_KEYS = {"what", "dkim", "outbox", "store", "load-error", "mta", "config", "rules", "filters", "files", "messages", "log", "no-log"}


class Failed(AssertionError):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def matches(value, expected):
    """`expected` is exact, or a regex for the whole value after "~"."""
    if expected.startswith("~"):
        return re.fullmatch(expected[1:], value, re.S) is not None
    return value == expected


def reply_matches(reply, expected):
    # Sendmail names the address between code and text of a milter's reply.
    text = re.sub(r"^(\d{3} \d\.\d+\.\d+) <[^>]*>\.\.\. ", r"\1 ", str(reply))
    return re.match(expected[1:], text) is not None if expected.startswith("~") else text.startswith(expected)


def load(name):
    with open(os.path.join(CASES, name + ".yaml"), encoding="utf-8") as file:
        case = yaml.safe_load(file)
    unknown = set(case) - CASE_KEYS
    for message in case.setdefault("messages", []):
        unknown |= set(message) - MESSAGE_KEYS
        unknown |= set(message.get("expect") or {}) - EXPECT_KEYS
    check(not unknown, f"{name}: unknown keys {sorted(unknown)}")
    return case


def build(message, number):
    """The message's bytes, and the fields the runner added in front."""
    text = message.get("data", "Subject: test\n\nHello.\n")
    data = text.encode(message.get("charset", "utf-8")).replace(b"\n", b"\r\n")
    added = []
    if not message.get("bare"):
        added = ["Date: Thu, 01 Jan 2026 00:00:00 +0000", f"Message-ID: <case-{number}@x.test>"]
    data = "".join(field + "\r\n" for field in added).encode() + data
    if message.get("fill"):
        line = b"x" * 70 + b"\r\n"
        data += line * (message["fill"] // len(line))
    return data, added


def fields_of(data):
    head = data.partition(b"\r\n\r\n")[0]
    return [field.decode("utf-8", "surrogateescape") for field in re.split(rb"\r\n(?![ \t])", head)]


def leaves(data):
    """(type, file name, decoded text or None) of every leaf, as Python's email package reads the message."""
    found = []
    for part in email.message_from_bytes(data, policy=email.policy.default).walk():
        if part.is_multipart():
            continue
        name = part.get_filename()
        try:
            text = part.get_content() if part.get_content_maintype() == "text" else None
        except (LookupError, ValueError):
            text = None
        found.append((part.get_content_type() + (" " + name if name else ""), text))
    return found


class Runner:
    def __init__(self, mta_name):
        self.name = mta_name
        self.sink = Sink()
        self.mta = mtas.MTAS[mta_name](self.sink.port)
        self.extra = {}
        if mta_name == "postfix":
            self.mta.reinject_port = free_port()
        self.mta.start()
        self.messages = 0
        self.fipsd = FakeFipsd(os.path.join(self.mta.directory, "fake-fipsd"))

    def run(self, name):
        case = load(name)
        directory = os.path.join(self.mta.directory, "case-" + name)
        config = case.get("config")
        if "dkim" in case:
            if self.fipsd.process is None:
                self.fipsd.start()
            self.fipsd.answer()
            config = merge(self.fipsd.config(**(case["dkim"] or {})), config)
        if case.get("outbox"):
            os.makedirs(directory, exist_ok=True)
            config = merge({"state-directory": directory, "store": f"sqlite:{directory}/postern.db",
                            "reinject": {"server": f"127.0.0.1:{self.mta.reinject_port}"}}, config)
        if case.get("store"):
            config = merge(config or {}, {"store": f"sqlite:{directory}/postern.db"})
        daemon = Posternd(directory, self.mta.milter_socket, self.mta.milter_group, self.name, config,
                          case.get("rules") or case.get("filters"))
        for file_name, text in case.get("files", {}).items():
            path = os.path.join(directory, file_name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        try:
            if "load-error" in case:
                self.refused(daemon, case["load-error"])
                return
            daemon.start()
            kept = []
            for message in case["messages"]:
                self.message(message)
                if case.get("store"):
                    self.stored(daemon, (message.get("expect") or {}).get("kept", []), kept)
            for pattern in case.get("log", []):
                try:
                    wait_until(lambda: daemon.lines(pattern), "log")
                except Timeout:
                    raise Failed(f"no log line matches {pattern!r}") from None
            daemon.stop()
            for pattern in case.get("no-log", []):
                check(not daemon.lines(pattern), f"a log line matches {pattern!r}: {daemon.lines(pattern)}")
        except Exception:
            print(f"---- posternd's log of {name}\n{daemon.log_text()[-6000:]}")
            print(f"---- {self.name}'s log\n" + "\n".join(self.mta.log_text().splitlines()[-40:]))
            raise
        finally:
            daemon.discard()

    def stored(self, daemon, expected, known):
        """Compares what the last message left in the store; `known` are the entries of those before it."""
        entries = json.loads(daemon.command("quarantine", "list", "-c", daemon.config_file, "--json").stdout)
        found = sorted(f"{entry['copy']} {hold['quarantine']}" for entry in entries[len(known):] for hold in entry["holds"])
        check(found == sorted(expected), f"kept are {found}")
        known[:] = entries

    def refused(self, daemon, patterns):
        run = daemon.command("check", "-c", daemon.config_file, check=False)
        text = run.stderr.decode()
        check(run.returncode == 78, f"postern check ended with status {run.returncode}:\n{text}")
        for pattern in patterns:
            check(re.search(pattern, text), f"postern check does not say {pattern!r}:\n{text}")

    def message(self, message):
        self.messages += 1
        expect = dict(message.get("expect") or {})
        own = expect.pop(self.name, None)
        for key in ("postfix", "sendmail"):
            expect.pop(key, None)
        expect.update(own or {})
        if "fipsd" in message:
            self.fipsd.answer(message["fipsd"])
        data, added = build(message, f"{os.getpid()}-{self.messages}")
        recipients = message.get("to", ["b@y.test"])
        if message.get("submit"):
            queue_id, accepted = self.mta.submit(message.get("from", "a@x.test"), data), recipients
        else:
            queue_id, accepted = self.smtp(message, expect, data, recipients)
        if queue_id:
            self.mta.wait_settled(queue_id)
        if expect.get("held"):
            check(self.mta.state(queue_id) == "held", f"{queue_id} is not quarantined but {self.mta.state(queue_id)}")
            held = self.mta.held()
            check(queue_id in held, f"{queue_id} is not listed as quarantined: {held}")
            if "reason" in expect and self.name == "sendmail":
                check(matches(held[queue_id], expect["reason"]), f"quarantine reason {held[queue_id]!r}")
            check(not self.sink.with_queue_id(queue_id), "a quarantined message was delivered")
            return
        deliveries = self.sink.with_queue_id(queue_id) if queue_id else []
        for later in expect.get("later", []):
            self.later(later)
        if not queue_id or expect.get("delivered") is False:
            check(not deliveries, "the message was delivered")
            return
        check(self.mta.state(queue_id) == "gone", f"{queue_id} is {self.mta.state(queue_id)}")
        check(deliveries, "the message was not delivered")
        wanted = sorted(expect.get("to", accepted))
        got = sorted(recipient for delivery in deliveries for recipient in delivery.recipients)
        check(got == wanted, f"delivered to {got}, not {wanted}")
        for delivery in deliveries:
            self.compare(delivery, message, expect, data, added)

    def smtp(self, message, expect, data, recipients):
        replies = smtp.send(self.mta.port, message.get("from", "a@x.test"), recipients, data, message.get("helo", "client.test"),
                            message.get("source"), message.get("parameters", ""), message.get("login"))
        stopped = None
        for stage in STAGES:
            if stage == "rcpt":
                got = replies.get("rcpt", [])
                if not got:
                    check("rcpt" not in expect or stopped, "no reply to RCPT")
                    continue
                wanted = expect.get("rcpt", ["2"] * len(recipients))
                check(len(got) == len(wanted) and all(map(reply_matches, got, wanted)),
                      f"RCPT was answered {[str(reply) for reply in got]}, not {wanted}")
                if not any(reply.ok for reply in got):
                    stopped = stage
                continue
            reply = replies.get(stage)
            if reply is None:
                check(stage not in expect, f"no reply at {stage}; the last was {stopped}: {replies.get(stopped)}")
                continue
            check(reply_matches(reply, expect.get(stage, "~[23]")), f"{stage} was answered {reply}, not {expect.get(stage, '2xx')}")
            if not reply.ok:
                stopped = stage
        if stopped:
            return None, []
        accepted = [recipient for recipient, reply in zip(recipients, replies["rcpt"]) if reply.ok]
        queue_id = smtp.queue_id(replies["message"])
        check(queue_id, f"no queue id in {replies['message']}")
        return queue_id, accepted

    def compare(self, delivery, message, expect, data, added):
        sender = expect.get("from", message.get("from", "a@x.test"))
        for key, value in (("host", delivery.host), ("client", delivery.client)):
            check(value == expect.get(key, "127.0.0.1"), f"the {key} is {value}, not {expect.get(key, '127.0.0.1')}")
        check(delivery.sender == sender, f"delivered from <{delivery.sender}>, not <{sender}>")
        sent_lines = set(data.split(b"\r\n"))
        for line in delivery.head.split(b"\r\n"):
            check(len(line) <= 998 or line in sent_lines, f"a header line of {len(line)} octets: {line[:100]!r}")
        got = [field for field in delivery.headers()
               if not (field.startswith("Received:") and "mta.test" in field) and field not in added]
        if message.get("submit") and self.name == "postfix":
            got = [field for field in got if not field.startswith("From: ") or field in expect.get("headers", [field])]
        if "headers" in expect:
            wanted = [field if field.startswith("~") else field.replace("\n", "\r\n") for field in expect["headers"]]
        else:
            wanted = [field for field in fields_of(data) if field not in added]
        check(len(got) == len(wanted) and all(map(matches, got, wanted)),
              "the header is\n  " + "\n  ".join(map(repr, got)) + "\nnot\n  " + "\n  ".join(map(repr, wanted)))
        if "signatures" in expect:
            found = self.fipsd.verify(delivery.data)
            check(found == expect["signatures"], f"the signatures are {found}, not {expect['signatures']}")
        body = delivery.body.decode(message.get("charset", "utf-8"), "surrogateescape")
        if "body-matches" in expect:
            for pattern in expect["body-matches"]:
                check(re.search(pattern, body.replace("\r\n", "\n"), re.S | re.M), f"the body does not match {pattern!r}:\n{body[:4000]}")
        elif "parts" not in expect:
            wanted = (expect["body"].replace("\n", "\r\n") if "body" in expect else
                      data.partition(b"\r\n\r\n")[2].decode(message.get("charset", "utf-8"), "surrogateescape"))
            check(body == wanted, f"the body is\n{body[:4000]!r}\nnot\n{wanted[:4000]!r}")
        if "parts" in expect:
            found = leaves(delivery.data)
            check([part for part, _ in found] == expect["parts"], f"the parts are {[part for part, _ in found]}, not {expect['parts']}")
            for index, wanted in enumerate(expect.get("texts", [])):
                if wanted is not None:
                    got_text = (found[index][1] or "").replace("\r\n", "\n")
                    check(matches(got_text, wanted), f"part {index} reads {got_text!r}, not {wanted!r}")

    def later(self, later):
        def arrived():
            for delivery in self.sink.all():
                if sorted(delivery.recipients) == sorted(later["to"]) and all(
                        any(re.search(pattern, field) for field in delivery.headers()) for pattern in later.get("headers-match", [])):
                    return delivery
            return None
        wait_until(arrived, lambda: f"mail to {later['to']} with {later.get('headers-match')}; there is " +
                   str([(delivery.recipients, delivery.headers()) for delivery in self.sink.all()[-3:]]))

    def close(self):
        self.mta.stop()
        self.fipsd.stop()
        self.sink.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mta", choices=sorted(mtas.MTAS), required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    names = arguments.names or sorted(name[:-5] for name in os.listdir(CASES) if name.endswith(".yaml"))
    names = [name for name in names if arguments.mta in load(name).get("mta", [arguments.mta])]
    if arguments.list:
        print("\n".join(names))
        return 0
    runner = Runner(arguments.mta)
    failed = []
    for name in names:
        started = time.monotonic()
        try:
            runner.run(name)
            print(f"ok      {name} ({time.monotonic() - started:.2f} s)", flush=True)
        except (Failed, Timeout, Exception) as error:  # a case that breaks must not hide the others
            failed.append(name)
            if not isinstance(error, (Failed, Timeout)):
                traceback.print_exc(file=sys.stdout)
            print(f"FAILED  {name}: {error}", flush=True)
    runner.close()
    print(f"{len(names) - len(failed)} cases passed, {len(failed)} failed ({arguments.mta})" +
          (": " + " ".join(failed) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
