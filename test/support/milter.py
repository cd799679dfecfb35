# SPDX-License-Identifier: Apache-2.0
"""The milter protocol on the wire, version 6: packets, an MTA's side (Mta), and a milter that does as a script says (Milter).

A packet is a 32-bit length in network order, a command or reply letter, and data; the length counts letter and data. The names
follow libmilter's mfdef.h. Nothing here shares code with posternd, so both can be wrong only independently.
"""
import os
import socket
import struct

from support.serving import serve_each

# Commands, MTA to milter.
ABORT, BODY, CONNECT, MACRO, END, HELO, QUIT_NEW, HEADER = b"A", b"B", b"C", b"D", b"E", b"H", b"K", b"L"
MAIL, END_OF_HEADER, OPTIONS, QUIT, RCPT, DATA, UNKNOWN = b"M", b"N", b"O", b"Q", b"R", b"T", b"U"
# Replies, milter to MTA.
ADD_RCPT, DEL_RCPT, ADD_RCPT_PAR, SHUTDOWN, ACCEPT, REPLACE_BODY = b"+", b"-", b"2", b"4", b"a", b"b"
CONTINUE, DISCARD, CHANGE_FROM, CONNECTION_FAILED, ADD_HEADER, INSERT_HEADER = b"c", b"d", b"e", b"f", b"h", b"i"
SET_SYMBOLS, CHANGE_HEADER, PROGRESS, QUARANTINE, REJECT, SKIP, TEMPFAIL, REPLY_CODE = b"l", b"m", b"p", b"q", b"r", b"s", b"t", b"y"
FINAL = {ACCEPT, CONTINUE, DISCARD, REJECT, TEMPFAIL, REPLY_CODE, SHUTDOWN, CONNECTION_FAILED}

# What a milter may do.
ACTIONS = {"add-headers": 0x01, "replace-body": 0x02, "add-rcpt": 0x04, "delete-rcpt": 0x08, "change-headers": 0x10,
           "quarantine": 0x20, "change-from": 0x40, "add-rcpt-par": 0x80, "set-symbols": 0x100}
ALL_ACTIONS = 0x1FF
# Steps a milter can do without, and steps it will not answer.
NO_CONNECT, NO_HELO, NO_MAIL, NO_RCPT, NO_BODY, NO_HEADERS, NO_END_OF_HEADER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
NO_REPLY_HEADERS, NO_UNKNOWN, NO_DATA, CAN_SKIP, REJECTED_RCPT = 0x80, 0x100, 0x200, 0x400, 0x800
NO_REPLY_CONNECT, NO_REPLY_HELO, NO_REPLY_MAIL, NO_REPLY_RCPT, NO_REPLY_DATA = 0x1000, 0x2000, 0x4000, 0x8000, 0x10000
NO_REPLY_UNKNOWN, NO_REPLY_END_OF_HEADER, NO_REPLY_BODY, LEADING_SPACE = 0x20000, 0x40000, 0x80000, 0x100000
ALL_STEPS = 0x1FFFFF
NO_STEP = {CONNECT: NO_CONNECT, HELO: NO_HELO, MAIL: NO_MAIL, RCPT: NO_RCPT, DATA: NO_DATA, HEADER: NO_HEADERS,
           END_OF_HEADER: NO_END_OF_HEADER, BODY: NO_BODY, UNKNOWN: NO_UNKNOWN}
NO_REPLY = {CONNECT: NO_REPLY_CONNECT, HELO: NO_REPLY_HELO, MAIL: NO_REPLY_MAIL, RCPT: NO_REPLY_RCPT, DATA: NO_REPLY_DATA,
            HEADER: NO_REPLY_HEADERS, END_OF_HEADER: NO_REPLY_END_OF_HEADER, BODY: NO_REPLY_BODY, UNKNOWN: NO_REPLY_UNKNOWN}
CHUNK = 65535


class Closed(ConnectionError):
    """The other side closed the connection."""


def packet(letter, data=b""):
    return struct.pack("!I", len(data) + 1) + letter + data


def strings(*values):
    return b"".join((value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")) + b"\0" for value in values)


def split(data):
    return [part.decode("utf-8", "surrogateescape") for part in data.rstrip(b"\0").split(b"\0")] if data else []


def receive(connection, size):
    data = bytearray()
    while len(data) < size:
        try:
            got = connection.recv(size - len(data))
        except (ConnectionResetError, BrokenPipeError):
            got = b""
        if not got:
            raise Closed("closed after %d of %d octets" % (len(data), size))
        data += got
    return bytes(data)


def read_packet(connection, limit=1 << 26):
    """Returns (letter, data)."""
    length = struct.unpack("!I", receive(connection, 4))[0]
    if not 1 <= length <= limit:
        raise Closed("a packet of %d octets" % length)
    data = receive(connection, length)
    return data[:1], data[1:]


def connect(address, timeout=30):
    """Connects to "unix:PATH", a bare path, or "inet:PORT@HOST"."""
    if address.startswith("inet:"):
        port, _, host = address[5:].partition("@")
        return socket.create_connection((host or "127.0.0.1", int(port)), timeout)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(address.removeprefix("unix:"))
    return connection


class Result:
    """What a milter answered to one step: the final letter ("" when the step is not sent or not answered) and edits before it."""

    def __init__(self, letter=b"", data=b"", edits=()):
        self.letter, self.data, self.edits = letter, data, list(edits)

    @property
    def goes_on(self):
        return self.letter in (b"", CONTINUE, SKIP)

    @property
    def reply(self):
        """The SMTP reply as text: the milter's own, or what an MTA says for a bare verdict."""
        if self.letter == REPLY_CODE:
            return self.data.rstrip(b"\0").decode("utf-8", "replace")
        return {TEMPFAIL: "451 4.7.1", REJECT: "550 5.7.1", SHUTDOWN: "421 4.7.0"}.get(self.letter, "250 2.0.0")

    def __repr__(self):
        return f"Result({self.letter!r}, {self.data!r}, {self.edits!r})"


class Mta:
    """An MTA's side of one milter connection. The methods send a step if the milter wants it and read the answer if there is one."""

    def __init__(self, address, steps=ALL_STEPS, actions=ALL_ACTIONS, version=6, timeout=30, negotiate=True):
        self.connection = connect(address, timeout)
        self.steps = self.actions = 0
        self.offered_steps = steps
        self.symbols = {}
        if negotiate:
            self.negotiate(version, actions, steps)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def negotiate(self, version, actions, steps):
        self.send(OPTIONS, struct.pack("!III", version, actions, steps))
        letter, data = read_packet(self.connection)
        if letter != OPTIONS or len(data) < 12:
            raise Closed(f"answered {letter!r} to the options")
        self.version, self.actions, self.steps = struct.unpack("!III", data[:12])
        rest = data[12:]
        while len(rest) >= 5:
            stage = struct.unpack("!I", rest[:4])[0]
            names, _, rest = rest[4:].partition(b"\0")
            self.symbols[stage] = names.decode().split()

    def send(self, letter, data=b""):
        try:
            self.connection.sendall(packet(letter, data))
        except (ConnectionResetError, BrokenPipeError):
            raise Closed("closed while sending") from None

    def send_raw(self, data):
        try:
            self.connection.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            raise Closed("closed while sending") from None

    def answer(self):
        edits = []
        while True:
            letter, data = read_packet(self.connection)
            if letter in FINAL or letter == SKIP:
                return Result(letter, data, edits)
            if letter != PROGRESS:
                edits.append((letter, data))

    def step(self, letter, data=b"", macros=None):
        if self.steps & NO_STEP.get(letter, 0):
            return Result()
        if macros is not None:
            self.macros(letter, macros)
        self.send(letter, data)
        if self.steps & NO_REPLY.get(letter, 0):
            return Result()
        return self.answer()

    def macros(self, letter, values):
        flat = [text for name, value in values.items() for text in (name, value)]
        self.send(MACRO, letter + strings(*flat))

    def connect(self, name="client.test", address="192.0.2.1", port=40000, family=b"4", macros=None):
        data = strings(name) + family
        if family != b"U":
            data += struct.pack("!H", port) + strings(address)
        return self.step(CONNECT, data, macros if macros is not None else {"j": "mta.test", "{daemon_name}": "smtpd"})

    def helo(self, name="client.test"):
        return self.step(HELO, strings(name))

    def mail(self, sender="a@example.org", *parameters, macros=None):
        return self.step(MAIL, strings(f"<{sender}>", *parameters), macros)

    def rcpt(self, recipient="b@example.net", *parameters, macros=None):
        return self.step(RCPT, strings(f"<{recipient}>", *parameters), macros)

    def data(self, macros=None):
        return self.step(DATA, b"", macros if macros is not None else {"i": "QUEUEID"})

    def header(self, name, value):
        """`value` as after the colon, folds as LF; its leading space is swallowed where that was not negotiated."""
        if not self.steps & LEADING_SPACE and value.startswith(" "):
            value = value[1:]
        return self.step(HEADER, strings(name, value))

    def end_of_header(self):
        return self.step(END_OF_HEADER)

    def body(self, data):
        for start in range(0, len(data), CHUNK):
            result = self.step(BODY, data[start:start + CHUNK])
            if result.letter == SKIP or not result.goes_on:
                return result
        return Result()

    def end(self):
        self.send(END)
        return self.answer()

    def message(self, head, body, sender="a@example.org", recipients=("b@example.net",)):
        """A whole transaction from MAIL on. Returns (step name, Result) of the last step taken."""
        for name, act in ([("mail", lambda: self.mail(sender))] +
                          [("rcpt", lambda r=recipient: self.rcpt(r)) for recipient in recipients] +
                          [("data", self.data)] +
                          [("header", lambda n=n, v=v: self.header(n, v)) for n, v in head] +
                          [("end-of-header", self.end_of_header), ("body", lambda: self.body(body))]):
            result = act()
            if not result.goes_on:
                return name, result
        return "message", self.end()


class Milter:
    """A milter that answers as it is told: `answers` maps a command letter to a list of (letter, data) packets to send back;
    what is not named is continued. It records every packet it gets. Each connection has its own thread until close()."""

    def __init__(self, path, answers=None, steps=0, mode=0o666):
        self.answers = answers or {}
        self.steps = steps
        self.received = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, mode)
        self.socket.listen(64)
        serve_each(self.socket, self._serve)

    def close(self):
        self.socket.close()

    def _serve(self, connection):
        with connection:
            try:
                while True:
                    letter, data = read_packet(connection)
                    self.received.append((letter, data))
                    if letter == OPTIONS:
                        version, actions, steps = struct.unpack("!III", data[:12])
                        connection.sendall(packet(OPTIONS, struct.pack("!III", min(version, 6), actions & ALL_ACTIONS,
                                                                       steps & self.steps)))
                    elif letter == QUIT:
                        return
                    elif letter in (MACRO, ABORT, QUIT_NEW):
                        continue
                    else:
                        if self.steps & NO_REPLY.get(letter, 0):
                            continue
                        for reply in self.answers.get(letter, [(CONTINUE, b"")]):
                            connection.sendall(packet(*reply))
            except (Closed, OSError):
                return
