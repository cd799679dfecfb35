#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Edit scripts under real mail servers: changes-dump makes messages, edits and diff()'s scripts; a milter written in Python sends
each script as it stands, and what Postfix or Sendmail delivers must be the edited message, field for field in order. The models of
both servers that the unit tests use (test/support/fake_mta.h) are thereby held against the servers themselves: hand-made
cases at the end do what diff() never does, and must go wrong in the way the models say.

Usage: changes_test.py postfix|sendmail CHANGES-DUMP [COUNT]"""
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import milter, smtp  # noqa: E402
from support import mta as mtas  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.sink import Sink  # noqa: E402

# Fields the servers add on their own; no case has them.
OWN = {"date", "from", "message-id", "to", "return-path"}


def packets(script, body):
    """The milter replies that a script is on the wire."""
    for operation, name, index, value in script:
        if operation in ("change-header", "delete-header"):
            yield milter.CHANGE_HEADER, struct.pack("!I", index) + milter.strings(name, value)
        elif operation == "insert-header":
            yield milter.INSERT_HEADER, struct.pack("!I", index) + milter.strings(name, value)
        elif operation == "add-header":
            yield milter.ADD_HEADER, milter.strings(name, value)
        elif operation == "change-from":
            yield milter.CHANGE_FROM, milter.strings("<%s>" % value)
        elif operation == "add-recipient":
            yield milter.ADD_RCPT, milter.strings("<%s>" % value)
        elif operation == "delete-recipient":
            yield milter.DEL_RCPT, milter.strings("<%s>" % value)
        elif operation == "replace-body":
            yield milter.REPLACE_BODY, body.encode()
        else:
            raise AssertionError(operation)


class Run:
    def __init__(self, name):
        self.sink = Sink()
        self.mta = mtas.MTAS[name](self.sink.port)
        self.milter = milter.Milter(self.mta.milter_socket, steps=milter.LEADING_SPACE)
        self.mta.start()
        self.faults = 0

    def close(self):
        self.mta.stop()
        self.milter.close()
        self.sink.close()

    def deliver(self, case):
        """Sends the message, has the script carried out; returns (fields, senders, recipients, bodies) as delivered."""
        self.milter.received.clear()
        self.milter.answers = {milter.END: list(packets(case["script"], case["final_body"])) + [(milter.CONTINUE, b"")]}
        head = "".join("%s:%s\n" % (name, value) for name, value in case["received"]).replace("\n", "\r\n")
        data = (head + "\r\n" + case["body"]).encode()
        replies = smtp.send(self.mta.port, "sender@x.example", case["recipients"], data)
        last = replies.get("message")
        if last is None or not last.ok:
            raise AssertionError("not accepted: %s" % {stage: str(reply) for stage, reply in replies.items()})
        queue_id = smtp.queue_id(last)
        self.mta.wait_settled(queue_id)
        deliveries = self.sink.with_queue_id(queue_id)
        fields = []
        for delivery in deliveries:
            fields.append([])
            for field in delivery.headers():
                name, _, value = field.partition(":")
                if name.lower() in OWN or (name == "Received" and "mta.test" in value):
                    continue
                fields[-1].append([name, value.replace("\r\n", "\n")])
        return (fields, sorted({d.sender for d in deliveries}), sorted(r for d in deliveries for r in d.recipients),
                [d.body.decode() for d in deliveries])

    def check(self, case):
        # What the filter was shown is what the model takes as received: not the server's own Received field.
        fields, senders, recipients, bodies = self.deliver(case)
        shown = [milter.split(data) for letter, data in self.milter.received if letter == milter.HEADER]
        shown = [(item + [""])[:2] for item in shown if item[0].lower() not in OWN]
        problems = []
        if shown != case["received"]:
            problems.append("shown to the filter: %r" % shown)
        if not fields or any(one != case["final"] for one in fields):
            problems.append("fields: %r" % fields)
        if senders != [case["final_from"]]:
            problems.append("sender: %r" % senders)
        # One copy to a mailbox, spelled as decided; Sendmail takes two spellings for two mailboxes.
        wanted = case["final_recipients"]
        copies = {address.lower() for address in recipients} if self.mta.name == "sendmail" else [r.lower() for r in recipients]
        if sorted(copies) != sorted({address.lower() for address in wanted}) or not set(recipients) <= set(wanted):
            problems.append("recipients: %r" % recipients)
        if any(body != case["final_body"] for body in bodies):
            problems.append("body: %r" % bodies)
        if problems:
            self.faults += 1
            print("--- case\n%s\n  %s" % (json.dumps(case, indent=1), "\n  ".join(problems)))

    def check_model(self, what, case, expected):
        """A script that diff() never makes, and what the models say comes of it."""
        got = self.deliver(case)
        if got[0] != [expected["fields"]] or got[2] != expected["recipients"]:
            self.faults += 1
            print("--- %s: %s: the model is wrong\n  got %r\n  want %r" % (self.mta.name, what, got, expected))


def hand_made(received, script, recipients=("a@x.example", "b@x.example")):
    return {"received": received, "recipients": list(recipients), "body": "body\r\n", "script": script, "final_body": "body\r\n"}


def main():
    name, dump = sys.argv[1], sys.argv[2]
    count = sys.argv[3] if len(sys.argv) > 3 else "60"
    cases = [json.loads(line) for line in subprocess.run([dump, "20260103", count], stdout=subprocess.PIPE, check=True).stdout.splitlines()]
    run = Run(name)
    try:
        for case in cases:
            run.check(case)
        postfix = name == "postfix"
        three = [["X", " 1"], ["X", " 2"], ["X", " 3"]]
        both = ["a@x.example", "b@x.example"]
        run.check_model("deleting forwards",
                        hand_made(three, [["delete-header", "X", 1, ""], ["delete-header", "X", 2, ""]]),
                        {"fields": [["X", " 2"]] if postfix else [["X", " 3"]], "recipients": both})
        run.check_model("a change of a missing instance adds",
                        hand_made(three, [["change-header", "X", 9, " 9"]]),
                        {"fields": three + [["X", " 9"]] if postfix else [["X", " 9"]] + three, "recipients": both})
        run.check_model("a change to nothing deletes",
                        hand_made(three, [["change-header", "X", 2, ""]]),
                        {"fields": [["X", " 1"], ["X", " 3"]], "recipients": both})
        run.check_model("a change keeps or takes the spelling of the name",
                        hand_made(three, [["change-header", "x", 2, " 9"]]),
                        {"fields": [["X", " 1"], ["x" if postfix else "X", " 9"], ["X", " 3"]], "recipients": both})
        run.check_model("an addition of a name that is there",
                        hand_made([["A", " 1"]] + three, [["add-header", "X", 0, " 9"]]),
                        {"fields": [["A", " 1"]] + (three + [["X", " 9"]] if postfix else [["X", " 9"]] + three), "recipients": both})
        run.check_model("an insertion past the end",
                        hand_made(three, [["insert-header", "X", 1000000, " 9"], ["insert-header", "N", 1000000, " n"]]),
                        {"fields": three + [["X", " 9"], ["N", " n"]], "recipients": both})
        run.check_model("an address added that is there",
                        hand_made(three, [["add-recipient", "", 0, "a@x.example"]]),
                        {"fields": three, "recipients": ["a@x.example"] + both if postfix else both})
        run.check_model("an address added twice",
                        hand_made(three, [["add-recipient", "", 0, "c@x.example"], ["add-recipient", "", 0, "c@x.example"]]),
                        {"fields": three, "recipients": both + ["c@x.example"]})
        spellings = ["a@x.example", "A@x.example", "b@x.example"]
        run.check_model("two spellings of an address, the first deleted",
                        hand_made(three, [["delete-recipient", "", 0, "a@x.example"]], spellings),
                        {"fields": three, "recipients": ["b@x.example"] if postfix else ["A@x.example", "b@x.example"]})
        run.check_model("two spellings of an address, the second deleted",
                        hand_made(three, [["delete-recipient", "", 0, "A@x.example"]], spellings),
                        {"fields": three, "recipients": both})
    finally:
        run.close()
    print("%s: %d scripts carried out, %d faults" % (name, len(cases), run.faults))
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
