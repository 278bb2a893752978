"""HTTP/1.1 with JSON bodies: one server class and one call, on the standard library."""

import http.client
import json
import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

TIMEOUT = 5.0


class Handler(BaseHTTPRequestHandler):
    """Answers with JSON; a subclass writes `do_GET` and the like."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "shop"
    passed_on: ClassVar = ("x-user", "x-request-id", "traceparent")

    def reply(self, status: int, body: Mapping[str, Any]) -> None:
        """Send `body`, after reading away what the client sent, so that the connection stays usable."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        payload = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def caller_headers(self) -> dict[str, str]:
        """The headers that a request carries along from service to service."""
        return {name: self.headers[name] for name in self.passed_on if name in self.headers}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        print(self.address_string(), format % args, flush=True)


class Server(ThreadingHTTPServer):
    """Listens on IPv6 and IPv4 where the pod has both, and waits for no thread at its end."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without the name look-up of the base class, which asks the DNS at start-up."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "shop", self.server_address[1]


def serve(port: int, handler: type[Handler]) -> None:
    """Serve for ever."""
    Server(("::", port), handler).serve_forever()


def get(host_and_port: str, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    """One GET on a connection of its own; the status and the decoded body.

    Raises OSError or http.client.HTTPException when there is no answer.
    """
    connection = http.client.HTTPConnection(host_and_port, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else body.decode(errors="replace")
