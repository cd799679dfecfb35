# SPDX-License-Identifier: Apache-2.0
"""fipsd's protocol spoken by hand (keystore/PROTOCOL.md), so that the daemon is not judged by its own client."""
import socket
import struct

VERBS = {"ping": 1, "status": 2, "list": 3, "describe": 4, "certificate": 5, "sign": 6, "decrypt": 7, "login": 32, "logout": 33,
         "initialise": 34, "change-password": 35, "generate": 36, "import": 37, "destroy": 38, "request": 39, "self-sign": 40,
         "put-certificate": 41, "drop-certificate": 42, "distrust": 43, "backup": 44, "restore": 45, "zeroise": 46, "self-test": 47,
         "audit-read": 48, "blob-get": 49, "blob-put": 50, "clear-error": 51}
STATUSES = ("ok", "malformed", "version", "unknown-verb", "not-found", "denied", "not-allowed", "busy", "expired", "unavailable",
            "uninitialised", "zeroised", "error-state", "login-required", "wrong-password", "exists", "audit-full", "failed")
PKCS1, PSS, ECDSA, EDDSA = 1, 2, 3, 4
NONE, SHA1, SHA256, SHA384, SHA512 = range(5)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def blob(value):
    return struct.pack(">I", len(value)) + value


def sign_body(key, algorithm, digest, value):
    return text(key) + bytes([algorithm, digest]) + blob(value)


def secret_body(password, extra="", address=""):
    return text(password) + text(extra) + text(address)


class FipsdClient:
    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.next_id = 1

    def send(self, verb, body=b"", deadline_ms=30000):
        number = self.next_id
        self.next_id += 1
        self.socket.send(struct.pack(">BBHII", 1, VERBS[verb], 0, number, deadline_ms) + body)
        return number

    def receive(self):
        """Returns (id, status word, body), or None when the connection was closed."""
        frame = self.socket.recv(1 << 17)
        if not frame:
            return None
        version, status, zero, number = struct.unpack(">BBHI", frame[:8])
        if version != 1 or zero != 0:
            raise AssertionError(f"a bad frame: {frame[:16]!r}")
        return number, STATUSES[status], frame[8:]

    def ask(self, verb, body=b"", deadline_ms=30000):
        """One request and its answer: (status word, body)."""
        number = self.send(verb, body, deadline_ms)
        answer = self.receive()
        if answer is None:
            return "closed", b""
        if answer[0] not in (number, 0):
            raise AssertionError(f"an answer to {answer[0]} instead of {number}")
        return answer[1], answer[2]

    def sign(self, key, algorithm, digest, value):
        return self.ask("sign", sign_body(key, algorithm, digest, value))

    def close(self):
        self.socket.close()

    __del__ = close
