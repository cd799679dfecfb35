# SPDX-License-Identifier: Apache-2.0
"""Sink: an SMTP server that takes every message and keeps its envelope and its exact bytes.

The next hop of the mail servers under test. A recipient whose local part starts with "refuse" gets 550, with "defer" 451, so that
bounces can be provoked. It offers what a modern server offers, so that no mail server converts a message on its way here.
"""
import asyncio
import re
import threading

from support.process import wait_until

EXTENSIONS = ["PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"]
MAX_LINE = 1 << 20


class Delivery:
    """One transaction: sender, recipients, MAIL parameters and the message's bytes (CRLF lines, dots unstuffed)."""

    def __init__(self, sender, parameters, recipients, data, host, client):
        self.sender = sender
        self.host, self.client = host, client  # the addresses of the connection it came by
        self.parameters = parameters
        self.recipients = recipients
        self.data = data
        head, separator, body = data.partition(b"\r\n\r\n")
        self.head = head + (b"\r\n" if separator else b"")
        self.body = body

    def headers(self):
        """All header fields in order, each as its exact text without the final line end (folds as CRLF)."""
        fields = re.split(rb"\r\n(?![ \t])", self.head.rstrip(b"\r\n"))
        return [field.decode("utf-8", "surrogateescape") for field in fields if field]

    def values(self, name):
        prefix = name.lower() + ":"
        return [field[len(prefix):] for field in self.headers() if field.lower().startswith(prefix)]

    def queue_ids(self):
        return [match.group(1) for value in self.values("Received") for match in re.finditer(r"\bid\s+([0-9A-Za-z]+)", value)]


class Sink:
    """Runs in a thread of its own from construction to close(), on the same port of all of ADDRESSES."""

    ADDRESSES = ("127.0.0.1", "127.0.0.8")

    def __init__(self):
        self.deliveries = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    async def _listen(self):
        while True:
            servers = [await asyncio.start_server(self._session, self.ADDRESSES[0], 0, limit=MAX_LINE)]
            self.port = servers[0].sockets[0].getsockname()[1]
            try:
                for address in self.ADDRESSES[1:]:
                    servers.append(await asyncio.start_server(self._session, address, self.port, limit=MAX_LINE))
                return servers
            except OSError:  # somebody has that port on the other address
                for server in servers:
                    server.close()

    def _run(self, started):
        asyncio.set_event_loop(self._loop)
        servers = self._loop.run_until_complete(self._listen())
        started.set()
        self._loop.run_forever()
        for server in servers:
            server.close()
        sessions = asyncio.all_tasks(self._loop)
        for session in sessions:
            session.cancel()
        self._loop.run_until_complete(asyncio.gather(*sessions, return_exceptions=True))
        self._loop.close()

    def close(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def all(self):
        with self._lock:
            return list(self.deliveries)

    def with_queue_id(self, queue_id):
        return [delivery for delivery in self.all() if queue_id in delivery.queue_ids()]

    def wait_for(self, condition, what, deadline=None):
        """Waits until condition(list of deliveries) is true and returns its value."""
        return wait_until(lambda: condition(self.all()), what, deadline)

    async def _session(self, reader, writer):
        def say(text):
            writer.write(text.encode() + b"\r\n")

        sender, parameters, recipients = None, "", []
        say("220 sink.test ESMTP")
        try:
            while True:
                await writer.drain()
                line = await reader.readline()
                if not line:
                    break
                text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
                verb = text.split(" ", 1)[0].upper()
                if verb in ("EHLO", "LHLO"):
                    for extension in ["sink.test"] + EXTENSIONS[:-1]:
                        say("250-" + extension)
                    say("250 " + EXTENSIONS[-1])
                elif verb == "HELO":
                    say("250 sink.test")
                elif verb == "MAIL":
                    match = re.match(r"MAIL FROM:\s*<(.*?)>\s*(.*)$", text, re.I)
                    sender, parameters, recipients = match.group(1), match.group(2), []
                    say("250 2.1.0 ok")
                elif verb == "RCPT":
                    address = re.match(r"RCPT TO:\s*<(.*?)>", text, re.I).group(1)
                    if address.startswith("refuse"):
                        say("550 5.1.1 no such person")
                    elif address.startswith("defer"):
                        say("451 4.3.0 not now")
                    else:
                        recipients.append(address)
                        say("250 2.1.5 ok")
                elif verb == "DATA":
                    if not recipients:
                        say("554 5.5.1 no recipients")
                        continue
                    say("354 go on")
                    await writer.drain()
                    data = bytearray()
                    while True:
                        line = await reader.readline()
                        if not line:
                            return
                        if line == b".\r\n":
                            break
                        data += line[1:] if line.startswith(b".") else line
                    with self._lock:
                        self.deliveries.append(Delivery(sender, parameters, recipients, bytes(data), writer.get_extra_info("sockname")[0],
                                                        writer.get_extra_info("peername")[0]))
                    sender, recipients = None, []
                    say("250 2.0.0 kept")
                elif verb == "RSET":
                    sender, recipients = None, []
                    say("250 2.0.0 ok")
                elif verb == "QUIT":
                    say("221 2.0.0 bye")
                    await writer.drain()
                    break
                else:
                    say("250 2.0.0 ok")
        except (ConnectionError, asyncio.IncompleteReadError, ValueError, AttributeError):
            pass
        finally:
            writer.close()
