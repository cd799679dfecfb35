# SPDX-License-Identifier: Apache-2.0
"""A scripted fipsd: speaks the protocol's frames on a SOCK_SEQPACKET socket, keeps what it was asked, and answers what the test says."""
import base64
import json
import os
import socket
import struct

from support.serving import serve_each

VERSION = 1
VERBS = {"ping": 1, "status": 2, "list": 3, "describe": 4, "certificate": 5, "sign": 6, "decrypt": 7, "login": 32, "logout": 33,
         "initialise": 34, "change_password": 35, "generate_key": 36, "import_key": 37, "destroy_key": 38, "make_request": 39,
         "self_sign": 40, "put_certificate": 41, "drop_certificate": 42, "distrust": 43, "backup": 44, "restore": 45, "zeroise": 46,
         "self_test": 47, "audit_read": 48, "blob_get": 49, "blob_put": 50, "clear_error": 51}
NAMES = {number: name for name, number in VERBS.items()}
OK, MALFORMED, NOT_FOUND, DENIED, NOT_ALLOWED, BUSY = 0, 1, 4, 5, 6, 7
UNAVAILABLE, ZEROISED, LOGIN_REQUIRED, WRONG_PASSWORD, EXISTS, FAILED = 9, 11, 13, 14, 15, 17


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def blob(value):
    return struct.pack(">I", len(value)) + value


class Body:
    """Takes a request's body apart."""

    def __init__(self, data):
        self.data = data

    def number(self, size):
        value, self.data = int.from_bytes(self.data[:size], "big"), self.data[size:]
        return value

    def bytes(self, length_size):
        size = self.number(length_size)
        value, self.data = self.data[:size], self.data[size:]
        return value

    def text(self):
        return self.bytes(2).decode()

    def blob(self):
        return self.bytes(4)

    def done(self):
        assert self.data == b"", self.data
        return True


def secret(data):
    """(password, extra, reported address) of a SecretBody."""
    body = Body(data)
    fields = (body.text(), body.text(), body.text())
    body.done()
    return fields


class ScriptedFipsd:
    """`answers` maps a verb's name to a reply or to a function of the body that returns one: bytes, something for JSON, or
    (status, text). `asked` lists (verb, body) in order. Passwords are judged like fipsd's, with `attempts` left at first."""

    def __init__(self, directory, password="correct horse battery", attempts=3, state="operational", answers=None):
        self.socket_path = os.path.join(directory, "officer.sock")
        self.password, self.attempts, self.state = password, attempts, state
        self.warnings = []
        self.status_more = {}
        self.answers = dict(answers or {})
        self.asked = []
        self.blob = b""
        self.put = b""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.socket_path)
        self.listener.listen(16)
        serve_each(self.listener, self._serve)

    def close(self):
        self.listener.close()

    def verbs(self):
        return [verb for verb, _ in self.asked]

    def bodies(self, verb):
        return [body for name, body in self.asked if name == verb]

    def status(self):
        return {"version": "0.1.0", "state": self.state, "token": {"present": True, "library": "SoftHSM 2.6", "manufacturer": "SoftHSM project",
                "model": "SoftHSM v2", "serial": "abc", "label": "postern", "firmware": "2.6", "hardware": "2.6"},
                "fips": "permissive", "validation": "policy mode, not a validated module", "failures": 3 - self.attempts,
                "attempts_left": self.attempts, "officer_session": False, "keys": 2, "keys_without_backup": 1,
                "certificates": [{"name": "mx", "not_after": "2027-01-01T00:00:00Z", "days": 100}],
                "not_approved": [{"name": "e1", "reason": "Ed25519"}], "distrusted": ["spki:" + "00" * 32],
                "self_test": {"at": "2026-01-01T00:00:00Z", "passed": 9, "failed": []},
                "audit": {"sequence": 5, "first": 1, "hash": "00" * 32, "full": False}, "counters": {"requests": 7}, "uptime_seconds": 60,
                **self.status_more}

    def _serve(self, connection):
        with connection:
            while True:
                try:
                    frame = connection.recv(1 << 17)
                except OSError:
                    return
                if not frame:
                    return
                version, verb, zero, number, deadline = struct.unpack(">BBHII", frame[:12])
                assert version == VERSION and zero == 0 and deadline > 0, frame[:12]
                name = NAMES[verb]
                self.asked.append((name, frame[12:]))
                status, body, *last = self._answer(name, frame[12:])
                connection.send(struct.pack(">BBHI", VERSION, status, 0, 0 if last else number) + body)
                if last:
                    return

    def _answer(self, name, body):
        answer = self.answers.get(name, getattr(self, "_" + name, None))
        if callable(answer):
            answer = answer(body)
        if answer is None:
            answer = {}
        if isinstance(answer, tuple):
            status, words, *last = answer
            return (status, words if isinstance(words, bytes) else words.encode(), *last)
        return OK, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def _status(self, _):
        return self.status()

    def _login(self, body):
        password = secret(body)[0]
        if password == self.password:
            self.attempts = 3
            return {"warnings": self.warnings}
        self.attempts -= 1
        if self.attempts == 0:
            self.state = "zeroised"
            return ZEROISED, "the third wrong password: all keys are destroyed", "last word"
        return WRONG_PASSWORD, f"wrong password; {self.attempts} attempts left"

    def _blob_get(self, body):
        piece = Body(body)
        offset = piece.number(4)
        return struct.pack(">II", offset, len(self.blob)) + blob(self.blob[offset:offset + 1000])

    def _blob_put(self, body):
        piece = Body(body)
        offset, total, data = piece.number(4), piece.number(4), piece.blob()
        assert piece.done() and offset == len(self.put) and offset + len(data) <= total
        self.put += data
        return b""

    def entries(self, entries, page=2):
        """Answers `list` with these, `page` at a time."""
        def answer(body):
            start = Body(body).number(4)
            end = start + page
            return struct.pack(">II", start, end if end < len(entries) else 0) + blob(json.dumps(entries[start:end]).encode())
        self.answers["list"] = answer

    def records(self, lines, page=3):
        """Answers `audit_read` with these lines, whose first is record 1, and tells of them in its status."""
        import hashlib

        def answer(body):
            start = Body(body).number(8)
            some = lines[start - 1:start - 1 + page]
            return struct.pack(">QQ", start, start + len(some)) + blob("".join(line + "\n" for line in some).encode())
        self.answers["audit_read"] = answer
        self.status_more["audit"] = {"sequence": len(lines), "first": 1, "full": False,
                                     "hash": hashlib.sha256(lines[-1].encode()).hexdigest()}


def base64_text(data):
    return base64.b64encode(data).decode()
