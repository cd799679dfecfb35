# SPDX-License-Identifier: Apache-2.0
"""A proxy between a mail server and a milter that counts packets in both directions and does something at the k-th.

The packets of a connection are forwarded one at a time, so what happens at packet k happens with exactly k-1 packets delivered. When
`at` is None every packet passes, and `trace` holds what went by: ("<" from the milter or ">" to it, letter).
"""
import os
import select
import socket
import struct
import threading

from support import milter


class Proxy:
    """`front` is the path the mail server connects to, `back` the milter's. `strike` is called once, instead of forwarding packet
    number `at` (from 1); the connection is then closed unless it returns True, which forwards the packet after all."""

    def __init__(self, front, back, group=None):
        self.back = back
        self.at = None
        self.strike = None
        self.trace = []
        self._count = 0
        self._open = 0
        self._lock = threading.Lock()
        self.front = front
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(front)
        os.chmod(front, 0o666)
        self._socket.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, at, strike):
        with self._lock:
            self.at, self.strike, self._count, self.trace = at, strike, 0, []

    def close(self):
        self._socket.close()
        if os.path.exists(self.front):
            os.unlink(self.front)

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self._open += 1
            threading.Thread(target=self._counted, args=(connection,), daemon=True).start()

    def idle(self):
        """Whether no connection is open: everything that was sent has gone by."""
        with self._lock:
            return self._open == 0

    def _counted(self, connection):
        try:
            self._serve(connection)
        finally:
            with self._lock:
                self._open -= 1

    def _serve(self, front):
        with front:
            try:
                back = milter.connect(self.back)
            except OSError:
                return
            with back:
                back.settimeout(None)
                pending = {front: bytearray(), back: bytearray()}
                while True:
                    for source in select.select([front, back], [], [])[0]:
                        try:
                            data = source.recv(1 << 18)
                        except OSError:
                            return
                        if not data:
                            return
                        pending[source] += data
                        if not self._forward(source, back if source is front else front, pending[source], source is front):
                            return

    def _forward(self, source, target, pending, to_milter):
        while len(pending) >= 4:
            size = 4 + struct.unpack("!I", pending[:4])[0]
            if len(pending) < size:
                return True
            with self._lock:
                self._count += 1
                self.trace.append((">" if to_milter else "<", bytes(pending[4:5])))
                struck = self._count == self.at
            if struck and not self.strike():
                return False
            try:
                target.sendall(pending[:size])
            except OSError:
                return False
            del pending[:size]
        return True
