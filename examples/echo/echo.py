"""An echo server in the shape that Gateway API's mesh conformance tests expect.

HTTP/1.1 and clear-text HTTP/2 on each --port, TLS on the port named by --tls (with a certificate of its own
making), gRPC `/proto.EchoTestService/Echo` on --grpc, and lines of TCP on --tcp.
"""

import argparse
import socket
import socketserver
import ssl
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import h1
import message
from config import POD
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from request import Request, text


class Lines(socketserver.StreamRequestHandler):
    """TCP: the pod's name, then every line back."""

    def handle(self) -> None:
        """Echo until the client has finished."""
        self.wfile.write(f"Hostname={POD}\n".encode())
        for line in self.rfile:
            self.wfile.write(line)


class LineServer(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


def echo(said: str, context: grpc.ServicerContext) -> str:
    """The gRPC method: the metadata comes back as request headers."""
    headers = tuple((str(name), str(value)) for name, value in context.invocation_metadata())
    return (
        "StatusCode=200\n"
        + text(Request("POST", "/proto.EchoTestService/Echo", "", "GRPC", headers, said.encode())).decode()
    )


def grpc_server(port: int) -> grpc.Server:
    """Generic handlers: the message is one string, see message.py."""
    method = grpc.unary_unary_rpc_method_handler(echo, message.decode, message.encode)
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("proto.EchoTestService", {"Echo": method}),))
    server.add_insecure_port(f"[::]:{port}")
    return server


def own_certificate() -> ssl.SSLContext:
    """A self-signed certificate for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "echo")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "echo.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(pem)
    return context


def main() -> None:
    """Listen everywhere, then wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, action="append", default=[])
    parser.add_argument("--tls", type=int)
    parser.add_argument("--tcp", type=int)
    parser.add_argument("--grpc", type=int)
    told, _ = parser.parse_known_args()
    servers: list[socketserver.BaseServer] = []
    for port in told.port:
        http = h1.Server(("::", port), h1.Echo)
        http.tls = own_certificate() if port == told.tls else None
        servers.append(http)
    if told.tcp:
        servers.append(LineServer(("::", told.tcp), Lines))
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    if told.grpc:
        grpc_side = grpc_server(told.grpc)
        grpc_side.start()
        grpc_side.wait_for_termination()


if __name__ == "__main__":
    main()
