"""Answers every GET with the name of its pod and the address that the question came from."""

import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Who(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
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


BothFamilies(("", int(sys.argv[1])), Who).serve_forever()
