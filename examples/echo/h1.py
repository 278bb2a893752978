"""Echo over HTTP/1.1; a connection that opens with HTTP/2's preface is handed to h2c."""

import socket
import socketserver
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h2c
from request import Request, text, wish

PREFACE = b"PRI * HTTP/2.0"


class Echo(BaseHTTPRequestHandler):
    """Every method is answered alike."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Look at the first bytes (in clear text only) before reading them as HTTP/1.1."""
        clear = not isinstance(self.connection, ssl.SSLSocket)
        if clear and self.connection.recv(len(PREFACE), socket.MSG_PEEK | socket.MSG_WAITALL) == PREFACE:
            h2c.serve(self.connection)
        else:
            super().handle()

    def answer(self) -> None:
        """Say what arrived, in the way the client wished."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = tuple(self.headers.items())
        request = Request(self.command, self.path, self.headers.get("host", ""), self.request_version, headers, body)
        wished = wish(self.path)
        time.sleep(wished.delay)
        payload = text(request)
        self.send_response(wished.status)
        for name, value in (*wished.headers, ("content-type", "text/plain"), ("content-length", str(len(payload)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep silent: the proxies' access logs tell the same."""


class Server(ThreadingHTTPServer):
    """One thread a connection; with `tls`, the handshake runs in that thread too."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def server_bind(self) -> None:
        """Bind IPv6 and IPv4, without the name look-up of the base class."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "echo", self.server_address[1]

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """Put TLS around the connection when this port has it."""
        wrapped = self.tls.wrap_socket(request, server_side=True) if self.tls else request
        super().finish_request(wrapped, client_address)
