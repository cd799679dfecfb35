# SPDX-License-Identifier: Apache-2.0
"""A plain SMTP client that sends exactly the bytes it is given and keeps the reply of each step."""
import re
import socket


class Reply:
    """One SMTP reply: code and text; a multi-line reply's lines are joined by blanks."""

    def __init__(self, lines):
        self.code = int(lines[0][:3])
        self.text = " ".join(line[4:] for line in lines)

    def __str__(self):
        return f"{self.code} {self.text}".strip()

    @property
    def ok(self):
        return 200 <= self.code < 400


class Lost(ConnectionError):
    """The server closed the connection where a reply was due."""


class Client:
    """One SMTP connection. `source` is the loopback address the connection comes from."""

    def __init__(self, port, source=None, timeout=120, address="127.0.0.1"):
        self.socket = socket.create_connection((address, port), timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")
        self.extensions = []

    def close(self):
        self._file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read(self):
        lines = []
        while True:
            try:
                line = self._file.readline(65536)
            except (ConnectionResetError, BrokenPipeError):
                line = b""
            if not line:
                raise Lost("the server closed the connection")
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            if not re.match(r"\d{3}-", lines[-1]):
                return Reply(lines)

    def command(self, text):
        try:
            self.socket.sendall(text.encode("utf-8", "surrogateescape") + b"\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass
        return self.read()

    def ehlo(self, name="client.test"):
        reply = self.command("EHLO " + name)
        self.extensions = reply.text.split(" ")
        return reply

    def data(self, chunks):
        """Sends DATA and, after 354, the message: bytes or an iterable of bytes with CRLF lines, dots not yet stuffed.
        Returns (reply to DATA, reply to the final dot or None)."""
        first = self.command("DATA")
        if first.code != 354:
            return first, None
        at_line_start, last = True, b""
        try:
            for chunk in [chunks] if isinstance(chunks, bytes) else chunks:
                if not chunk:
                    continue
                stuffed = chunk.replace(b"\n.", b"\n..")
                if at_line_start and stuffed.startswith(b"."):
                    stuffed = b"." + stuffed
                self.socket.sendall(stuffed)
                at_line_start = chunk.endswith(b"\n")
                last = chunk
            self.socket.sendall((b"" if not last or at_line_start else b"\r\n") + b".\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass
        return first, self.read()


def queue_id(reply):
    """The queue id that Postfix ("queued as ID") or Sendmail ("ID Message accepted") put into the reply to the final dot."""
    match = re.search(r"queued as ([0-9A-Za-z]+)", reply.text) or re.search(r"(?:^|\s)([0-9A-Za-z]{10,}) Message accepted", reply.text)
    return match.group(1) if match else None


def send(port, sender, recipients, data, helo="client.test", source=None, parameters="", login=None):
    """Sends one message; returns {stage: Reply} up to and including the step that was refused; key "message" is the final dot.
    `login`: the client counts as authenticated by that name, by Postfix's XCLIENT or by our Sendmail's host name convention."""
    replies = {}
    with Client(port, source) as client:
        replies["connect"] = client.read()
        if not replies["connect"].ok:
            return replies
        if login:
            if "XCLIENT" in client.ehlo(helo).text:
                replies["connect"] = client.command("XCLIENT LOGIN=" + login)
                if not replies["connect"].ok:
                    return replies
            else:
                helo = f"auth.{login}.test"
        replies["helo"] = client.ehlo(helo)
        if not replies["helo"].ok:
            return replies
        replies["mail"] = client.command(f"MAIL FROM:<{sender}>{' ' + parameters if parameters else ''}")
        if not replies["mail"].ok:
            return replies
        replies["rcpt"] = [client.command(f"RCPT TO:<{recipient}>") for recipient in recipients]
        if not any(reply.ok for reply in replies["rcpt"]):
            return replies
        replies["data"], replies["message"] = client.data(data)
        if replies["message"] is None:
            del replies["message"]
        try:
            client.command("QUIT")
        except (Lost, TimeoutError):
            pass
    return replies
