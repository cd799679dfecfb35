#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libmilter gives up: after accept has failed again and again, with growing pauses, smfi_main returns. posternd must say so and end with a
status that makes its supervisor start it again. Takes minutes, because libmilter's pauses do."""
import ctypes
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.posternd import Posternd  # noqa: E402
from support.world import scratch  # noqa: E402

PIDFD_GETFD = 438  # the same number on every architecture


class End(unittest.TestCase):
    def test_libmilter_gives_up(self):
        directory = scratch()
        daemon = Posternd(directory, os.path.join(directory, "milter.sock")).start()
        self.addCleanup(daemon.discard)
        # A listening socket that was shut down is readable for ever and fails every accept; its name is how it is found.
        pidfd = os.pidfd_open(daemon.pid)
        self.addCleanup(os.close, pidfd)
        libc = ctypes.CDLL(None, use_errno=True)
        shut = 0
        for name in os.listdir(f"/proc/{daemon.pid}/fd"):
            fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                continue
            try:
                with socket.socket(fileno=os.dup(fd)) as copy:
                    if copy.getsockname() == daemon.socket and copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        copy.shutdown(socket.SHUT_RDWR)
                        shut += 1
            except OSError:
                pass
            finally:
                os.close(fd)
        self.assertEqual(shut, 1)
        self.assertEqual(daemon.process.wait(deadline=400), 69)
        self.assertEqual(len(daemon.lines(r"\[milter-ended\]")), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
