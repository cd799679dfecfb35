# SPDX-License-Identifier: Apache-2.0
"""A scripted LDAP server: speaks just enough of RFC 4511 to answer binds and searches in the ways real servers do on bad days.

`behaviour(server, connection, message_id, filter_text)` answers one search; the functions below are the behaviours.
"""
import contextlib
import socket
import ssl
import threading


def ber(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(value, tag=2):
    return ber(tag, value.to_bytes(max(1, (value.bit_length() + 8) // 8), "big"))


def text(value, tag=4):
    return ber(tag, value if isinstance(value, bytes) else value.encode())


def message(number, *parts):
    return ber(0x30, integer(number), *parts)


def result(number, tag, code, diagnostic="", referrals=()):
    extra = [ber(0xA3, *[text(url) for url in referrals])] if referrals else []
    return message(number, ber(tag, integer(code, 10), text(""), text(diagnostic), *extra))


def done(number, code=0, diagnostic="", referrals=()):
    return result(number, 0x65, code, diagnostic, referrals)


def entry(number, dn, attributes):
    rows = [ber(0x30, text(name), ber(0x31, *[text(value) for value in values])) for name, values in attributes.items()]
    return message(number, ber(0x64, text(dn), ber(0x30, *rows)))


def reference(number, *urls):
    return message(number, ber(0x73, *[text(url) for url in urls]))


def read_element(data, at=0):
    """Returns (tag, contents, end) or None when there is not enough."""
    if len(data) < at + 2:
        return None
    tag, size, head = data[at], data[at + 1], 2
    if size & 0x80:
        count = size & 0x7F
        if len(data) < at + 2 + count:
            return None
        size, head = int.from_bytes(data[at + 2:at + 2 + count], "big"), 2 + count
    if len(data) < at + head + size:
        return None
    return tag, data[at + head:at + head + size], at + head + size


def elements(data):
    at, out = 0, []
    while at < len(data):
        found = read_element(data, at)
        if found is None:
            raise ValueError("an element that is cut off")
        tag, body, at = found
        out.append((tag, body))
    return out


def filter_text(tag, body):
    if tag in (0xA0, 0xA1):
        return "(" + "&|"[tag - 0xA0] + "".join(filter_text(*part) for part in elements(body)) + ")"
    if tag == 0xA3:
        name, value = (part[1].decode("latin-1") for part in elements(body))
        return f"({name}={value})"
    if tag == 0x87:
        return f"({body.decode('latin-1')}=*)"
    if tag == 0xA9:
        parts = {part[0]: part[1].decode("latin-1") for part in elements(body)}
        return f"({parts.get(0x82, '')}:{parts.get(0x81, '')}:={parts[0x83]})"
    return f"(?{tag:02x})"


class FakeLdap:
    """Listens on 127.0.0.1. `behaviour` may be changed at any time. `tls`: an ssl.SSLContext, used at once (ldaps) or after StartTLS."""

    def __init__(self, behaviour, tls=None, starttls=None, port=0):
        self.behaviour = behaviour
        self.tls = tls
        self.starttls = starttls
        self.searches = []
        self.peer_certificates = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'ldaps' if tls else 'ldap'}://localhost:{self.port}"
        self.open = []
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()

    def drop(self):
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.open = []

    def _accept(self):
        while not self.closed:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _wrap(self, connection, context):
        connection = context.wrap_socket(connection, server_side=True)
        self.peer_certificates.append(connection.getpeercert(binary_form=True))
        self.open.append(connection)
        return connection

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError, IndexError, ssl.SSLError):
            if self.tls:
                connection = self._wrap(connection, self.tls)
            data = b""
            while True:
                while (found := read_element(data)) is None:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    data += piece
                data = data[found[2]:]
                parts = elements(found[1])
                number = int.from_bytes(parts[0][1], "big")
                operation, body = parts[1]
                if operation == 0x60:
                    connection.sendall(result(number, 0x61, 0))
                elif operation == 0x77:
                    if not self.starttls:
                        connection.sendall(result(number, 0x78, 2, "no TLS here"))
                        continue
                    connection.sendall(result(number, 0x78, 0))
                    connection = self._wrap(connection, self.starttls)
                elif operation == 0x63:
                    wanted = filter_text(*elements(body)[6])
                    self.searches.append(wanted)
                    if self.behaviour(self, connection, number, wanted) == "close":
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                elif operation == 0x42:
                    return


# Behaviours.
def nobody(server, connection, number, wanted):
    connection.sendall(done(number))


def one(mail="new@example.org", dn="uid=x,dc=example,dc=org", **attributes):
    values = {"mail": [mail], **attributes}
    return lambda server, connection, number, wanted: connection.sendall(entry(number, dn, values) + done(number))


def many(count):
    def answer(server, connection, number, wanted):
        for i in range(count):
            connection.sendall(entry(number, f"uid={i},dc=example,dc=org", {"mail": [f"u{i}@example.org"]}))
        connection.sendall(done(number))
    return answer


def code(number_of_result, diagnostic="", referrals=()):
    return lambda server, connection, number, wanted: connection.sendall(done(number, number_of_result, diagnostic, referrals))


def silent(server, connection, number, wanted):
    pass


def half(server, connection, number, wanted):
    whole = entry(number, "uid=x,dc=example,dc=org", {"mail": ["new@example.org"]}) + done(number)
    connection.sendall(whole[:len(whole) // 2])
    return "close"


def half_and_silence(server, connection, number, wanted):
    whole = entry(number, "uid=x,dc=example,dc=org", {"mail": ["new@example.org"]}) + done(number)
    connection.sendall(whole[:len(whole) // 2])


def dripping(stop):
    """One byte at a time, for ever: something always comes, the end never."""
    def answer(server, connection, number, wanted):
        whole = entry(number, "uid=x,dc=example,dc=org", {"mail": ["x" * 100000]})
        for i in range(len(whole)):
            if stop.wait(0.02):
                return
            connection.sendall(whole[i:i + 1])
    return answer


def huge(size):
    """An entry with a value of about `size` bytes, sent as far as it is read."""
    def answer(server, connection, number, wanted):
        connection.sendall(b"\x30\x84" + size.to_bytes(4, "big"))
        while True:
            connection.sendall(b"x" * 65536)
    return answer


def referred(server, connection, number, wanted):
    connection.sendall(reference(number, server.url + "/dc=example,dc=org") + done(number))


def junk(server, connection, number, wanted):
    connection.sendall(b"\x30\x80" + b"\xff" * 64)


def not_ldap(server, connection, number, wanted):
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def closing(server, connection, number, wanted):
    return "close"
