# SPDX-License-Identifier: Apache-2.0
"""What the scripted servers have in common: a thread that accepts, and one for each connection."""
import threading


def serve_each(listener, serve):
    """Calls `serve(connection)` in a thread of its own for each connection of the listening socket, until that is closed or shut
    down. Returns the accepting thread."""

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    return thread
