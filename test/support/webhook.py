# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on 127.0.0.1 that takes alerts."""
import http.server
import json
import threading


class Webhook:
    """Keeps what is posted; `status` is what it answers."""

    def __init__(self):
        self.posted, self.status = [], 204
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posted.append((hook.status, json.loads(body)))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alert"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def seen(self, event, state):
        return [alert for status, alert in self.posted if status == 204 and (alert["event"], alert["state"]) == (event, state)]
