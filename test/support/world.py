# SPDX-License-Identifier: Apache-2.0
"""World: one mail server, a sink and a posternd put together for a test script; and the edits they look for."""
import os

from support import mta as mtas
from support import smtp
from support.posternd import Posternd
from support.process import temporary_directory
from support.sink import Sink


class World:
    """`behind`: posternd listens in its own directory instead of where the mail server looks, for a proxy to stand between."""

    def __init__(self, mta="postfix", config=None, rules=None, behind=False, start=True, **options):
        self.sink = Sink()
        self.mta = mtas.MTAS[mta](self.sink.port, **options)
        directory = os.path.join(self.mta.directory, "posternd")
        socket = os.path.join(directory, "milter.sock") if behind else self.mta.milter_socket
        self.daemon = Posternd(directory, socket, self.mta.milter_group, mta, config, rules)
        if start:
            self.daemon.start()
            self.mta.start()

    def send(self, data, sender="a@x.test", recipients=("b@y.test",), **options):
        """Returns ({stage: Reply}, queue id or None)."""
        replies = smtp.send(self.mta.port, sender, list(recipients), data, **options)
        last = replies.get("message")
        return replies, smtp.queue_id(last) if last is not None and last.ok else None

    def deliver(self, data, **options):
        """Sends a message that must be accepted and waits for it; returns its one delivery."""
        replies, queue_id = self.send(data, **options)
        if queue_id is None:
            raise AssertionError(f"not accepted: { {stage: str(reply) for stage, reply in replies.items()} }")
        self.mta.wait_settled(queue_id)
        deliveries = self.sink.with_queue_id(queue_id)
        if len(deliveries) != 1:
            raise AssertionError(f"{len(deliveries)} deliveries of {queue_id}")
        return deliveries[0]

    def close(self):
        try:
            self.mta.stop()
        finally:
            self.sink.close()
            self.daemon.discard()


def content(delivery, own_names=("Received", "Date", "Message-ID", "Message-Id")):
    """What a delivery says without what the mail server adds: (fields, body, recipients)."""
    fields = [field for field in delivery.headers() if field.split(":", 1)[0] not in own_names]
    return fields, delivery.body, sorted(delivery.recipients)


def scratch(prefix="postern-test-"):
    return temporary_directory(prefix)


def last_code(replies):
    """The code of the last reply of a transaction."""
    for stage in ("message", "data", "rcpt", "mail", "helo", "connect"):
        reply = replies.get(stage)
        if isinstance(reply, list):
            reply = reply[-1] if reply else None
        if reply is not None:
            return reply.code
    return 0
