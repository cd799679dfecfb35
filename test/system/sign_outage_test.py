#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fipsd goes away, hangs and comes back while Postfix takes mail that must be signed: every message is either accepted with good
signatures or deferred, none is lost, none goes on unsigned, posternd answers within its time, and signing goes on within seconds."""
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import smtp  # noqa: E402
from support.fake_fipsd import FakeFipsd  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.world import World, scratch  # noqa: E402

HANG = 60  # seconds; five are promised, and what it took is printed
DATA = b"From: Alice <alice@example.org>\r\nTo: b@y.test\r\nSubject: test\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nHello.\r\n"


class Load:
    """Clients that send one message after the other and keep what became of each."""

    def __init__(self, world, clients=4):
        self.world = world
        self.over = threading.Event()
        self.accepted, self.deferred, self.wrong = [], [], []
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over.is_set():
            try:
                replies, queue_id = self.world.send(DATA)
            except (smtp.Lost, OSError) as error:
                self.wrong.append(repr(error))
                return
            last = replies.get("message")
            if queue_id:
                self.accepted.append(queue_id)
            elif last is not None and last.code == 451:
                self.deferred.append(time.monotonic())
            else:
                self.wrong.append(str(last))

    def more(self, kind, count=5, deadline=None):
        """Waits until `count` more messages of this kind are there, for the first one no longer than `deadline`; returns the seconds it took
        for that one."""
        found = getattr(self, kind)
        before, start = len(found), time.monotonic()
        wait_until(lambda: len(found) > before, f"a message to be {kind}: {self.wrong[-3:]}", deadline)
        first = time.monotonic() - start
        wait_until(lambda: len(found) >= before + count, f"messages to be {kind}: {self.wrong[-3:]}")
        return first

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def main():
    fipsd = FakeFipsd(os.path.join(scratch(), "fipsd"))
    fipsd.start()
    config = fipsd.config()
    config["keys"]["timeout"] = "2s"
    world = World("postfix", config=config)
    load = Load(world)
    recoveries = []
    try:
        load.more("accepted")

        fipsd.signal(signal.SIGSTOP)
        load.more("deferred")
        fipsd.signal(signal.SIGCONT)
        recoveries.append(load.more("accepted", deadline=HANG))

        for _ in range(3):
            fipsd.process.kill()
            load.more("deferred")
            fipsd.start()
            recoveries.append(load.more("accepted", deadline=HANG))

        fipsd.signal(signal.SIGSTOP)
        load.more("deferred")
        fipsd.process.kill()
        fipsd.start()
        recoveries.append(load.more("accepted", deadline=HANG))
    finally:
        load.stop()

    assert not load.wrong, load.wrong[:5]
    for queue_id in load.accepted:
        world.mta.wait_settled(queue_id)
    unsigned = 0
    for queue_id in load.accepted:
        deliveries = world.sink.with_queue_id(queue_id)
        assert len(deliveries) == 1, f"{queue_id}: {len(deliveries)} deliveries"
        if len([field for field in deliveries[0].headers() if field.startswith("DKIM-Signature:")]) != 2:
            unsigned += 1
    assert unsigned == 0, f"{unsigned} of {len(load.accepted)} went on unsigned"
    for queue_id in load.accepted[:: max(1, len(load.accepted) // 20)]:
        found = fipsd.verify(world.sink.with_queue_id(queue_id)[0].data)
        assert found == ["example.org r2026 pass", "example.org e2026 pass"], found
    world.daemon.stop()
    world.close()
    fipsd.stop()
    print(f"{len(load.accepted)} messages accepted and signed, {len(load.deferred)} deferred, none lost or unsigned; signing went on after "
          f"{', '.join(f'{took:.1f}' for took in recoveries)} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
