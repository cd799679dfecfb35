# SPDX-License-Identifier: Apache-2.0
"""ScriptedSmtp: an SMTP server that fails as it is told: for the listener that posternd submits its own mail to."""
import re
import socket

from support.serving import serve_each


class ScriptedSmtp:
    """`at` and `answer` say where it does not do as asked: "MAIL", "RCPT", "DATA" (the command), "." (the end of the content) or
    "middle" (in the content); an answer "drop" closes the connection,
    "silent" (at the end) takes the content and says nothing. Content it took is in `taken` as (sender, recipients, bytes)."""

    def __init__(self, at=None, answer=None, port=0):
        self.at, self.answer = at, answer
        self.taken, self.attempts = [], 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._open = set()
        self._thread = serve_each(self._listener, self._serve)

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(10)

    def _serve(self, connection):
        self._open.add(connection)
        with connection, connection.makefile("rb") as lines:
            try:
                self._session(connection, lines)
            except OSError:
                pass
        self._open.discard(connection)

    def _session(self, connection, lines):
        def say(text):
            connection.sendall(text.encode() + b"\r\n")

        say("220 scripted.test ESMTP")
        sender, recipients = None, []
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            verb = line.split(" ", 1)[0].upper()
            if verb == "MAIL":
                self.attempts += 1
                sender, recipients = re.match(r"MAIL FROM:<(.*?)>", line, re.I).group(1), []
            if verb == self.at:
                if self.answer == "drop":
                    return
                say(self.answer)
                continue
            if verb == "RCPT":
                recipients.append(re.match(r"RCPT TO:<(.*?)>", line, re.I).group(1))
            if verb == "QUIT":
                say("221 bye")
                return
            if verb != "DATA":
                say("250 ok")
                continue
            say("354 go on")
            content = b""
            for part in lines:
                if part == b".\r\n":
                    break
                content += part[1:] if part.startswith(b".") else part
                if self.at == "middle":
                    return
            else:
                return
            if self.at == ".":
                if self.answer == "drop":
                    return
                if self.answer == "silent":
                    self.taken.append((sender, recipients, content))
                    lines.read()  # until the client is gone
                    return
                say(self.answer)
                continue
            self.taken.append((sender, recipients, content))
            say("250 taken")
