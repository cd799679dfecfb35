# SPDX-License-Identifier: Apache-2.0
"""A DNS server for tests: answers TXT questions over UDP and TCP from a dictionary, in threads of this process."""
import socket
import struct
import threading

NXDOMAIN, SERVFAIL = 3, 2


class DnsServer:
    """`records` maps names to lists of texts; `failing` are names answered SERVFAIL; silent = True: no answer at all."""

    def __init__(self, records=None):
        self.records = dict(records or {})
        self.failing = set()
        self.silent = False
        for _ in range(20):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen()
        self.address = f"127.0.0.1:{self.port}"
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def answer(self, query, most):
        """The answer to one message; over UDP (`most` bytes) a long one says that it is cut off."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        question = query[12:at + 5]
        name = ".".join(labels).lower()
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        texts = self.records.get(name) if kind == 16 else None
        code = SERVFAIL if name in self.failing else 0 if name in self.records else NXDOMAIN
        data = b""
        for text in texts or []:
            raw = text.encode("latin-1")
            strings = b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255] for i in range(0, len(raw) or 1, 255))
            data += b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(strings)) + strings
        cut = len(data) + 12 + len(question) > most
        flags = 0x8480 | code | (0x0200 if cut else 0)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, 0 if cut else len(texts or []), 0, 0)
        return head + question + (b"" if cut else data)

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if not self.silent:
                self.udp.sendto(self.answer(query, 512), peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                size = stream.read(2)
                if len(size) == 2 and not self.silent:
                    answer = self.answer(stream.read(struct.unpack("!H", size)[0]), 65535)
                    connection.sendall(struct.pack("!H", len(answer)) + answer)

    def close(self):
        self.udp.close()
        self.tcp.close()
