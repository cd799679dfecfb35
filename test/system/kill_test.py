#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posternd dies at every packet of a transaction in turn, under a real mail server told to answer 4xx when a milter fails.

A proxy between the two kills posternd (SIGKILL) instead of forwarding packet k, for every k of a transaction that edits header, body and
recipients. After each death either the sender saw a 4xx, or no more was needed from posternd and the message arrives with every edit.
Nothing accepted is lost, nothing arrives half edited, and the next posternd starts over the dead one's socket.

    kill_test.py postfix|sendmail
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import smtp  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.world import World, content, last_code  # noqa: E402

RULES = """
filters:
  - {name: early, phase: rcpt, if: 'rcpt-to == "^nobody@"', then: [{reject: "no such user"}]}
  - name: edit
    if: 'subject == "edit me"'
    then:
      - edit-header-text: {name: Subject, pattern: 'edit me', replacement: "edited"}
      - strip-header: X-Old
      - insert-header: {name: X-New, value: "one"}
      - insert-header: {name: X-New, value: "two"}
      - add-footer: "The last line"
      - add-rcpt-to: audit@y.test
"""


def message(number):
    head = f"From: a@x.test\r\nTo: b@y.test\r\nX-Old: 1\r\nX-Number: {number}\r\nX-Old: 2\r\nSubject: edit me\r\n\r\n"
    return head.encode() + b"a line of seventy characters, more or less, to fill some milter chunks\r\n" * 3000


def main():
    name = sys.argv[1]
    world = World(name, rules=RULES, behind=True, start=False)
    world.daemon.start()
    proxy = Proxy(world.mta.milter_socket, world.daemon.socket)
    world.mta.start()
    restarts = 0
    try:
        proxy.arm(None, None)
        fields, body, recipients = content(world.deliver(message(0)))
        wait_until(proxy.idle, "the last packets")
        trace = list(proxy.trace)
        wanted = {"Subject: edited", "X-New: one", "X-New: two"}
        assert wanted <= set(fields) and b"The last line" in body and recipients == ["audit@y.test", "b@y.test"], (fields, recipients)
        assert not any(field.startswith("X-Old") for field in fields), fields
        assert sum(letter == b"b" for side, letter in trace if side == "<") >= 3, "the body must take several packets"

        accepted = refused = 0
        for at in range(1, len(trace) + 1):
            direction, letter = trace[at - 1]
            where = f"at packet {at} of {len(trace)} ({direction}{letter.decode()})"

            def strike():
                world.daemon.kill()
                return False

            proxy.arm(at, strike)
            try:
                replies, queue_id = world.send(message(at))
                code = last_code(replies)
            except smtp.Lost:
                queue_id, code = None, 421
            wait_until(proxy.idle, "the last packets")
            if world.daemon.process.alive():
                # The mail server made do with fewer packets than the first time; nothing was struck.
                assert queue_id, f"{where}: nothing was killed, yet the answer was {code}"
            else:
                world.daemon.start()
                restarts += 1
            if queue_id is None:
                assert 400 <= code < 500, f"{where}: the sender saw {code}"
                refused += 1
            else:
                accepted += 1
                world.mta.wait_settled(queue_id)
                deliveries = world.sink.with_queue_id(queue_id)
                assert len(deliveries) == 1, f"{where}: answered {code}, delivered {len(deliveries)} times"
                got_fields, got_body, got_recipients = content(deliveries[0])
                assert got_fields == [field.replace("X-Number: 0", f"X-Number: {at}") for field in fields], f"{where}: {got_fields}"
                assert got_body == body and got_recipients == recipients, f"{where}: half edited: {got_recipients} {got_body[-200:]}"
        # Nothing that was refused may arrive later.
        proxy.arm(None, None)
        world.deliver(message(9999))
        numbers = [delivery.values("X-Number")[0].strip() for delivery in world.sink.all()]
        assert len(numbers) == len(set(numbers)) == accepted + 2, f"{accepted} accepted, delivered: {numbers}"
        assert refused >= len(trace) // 2 and restarts >= len(trace) - 3, f"{refused} refused, {restarts} killed of {len(trace)}"
        world.daemon.stop()
        print(f"killed at {restarts} of {len(trace)} packets: {refused} answered 4xx, {accepted} complete, 0 lost, 0 half edited")
    except BaseException:
        print(world.daemon.log_text()[-5000:], "\n".join(world.mta.log_text().splitlines()[-40:]))
        raise
    finally:
        proxy.close()
        world.close()


if __name__ == "__main__":
    main()
