"""Answers every GET with the name of its pod and the address that the question came from.

Asked to end (SIGTERM), it goes on until nobody has asked for a while: connections may be on their way to it for as long
as not everybody knows that its pod is ending.
"""

import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUIET_SECONDS = 0.5

last_asked = 0.0


class Who(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server.last_asked = time.monotonic()
        if self.path == "/end":
            os._exit(0)
        text = f"{socket.gethostname()} {sys.argv[2]} {self.client_address[0].removeprefix('::ffff:')}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        print(format % args, flush=True)


class BothFamilies(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    last_asked = 0.0


def end_when_quiet() -> None:
    asked_to_end = time.monotonic()
    while (left := max(server.last_asked, asked_to_end) + QUIET_SECONDS - time.monotonic()) > 0:
        time.sleep(left)
    server.shutdown()


server = BothFamilies(("", int(sys.argv[1])), Who)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end_when_quiet).start())
server.serve_forever()
