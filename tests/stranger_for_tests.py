"""A pod that means harm: connections of its own, papers of any kind, and bytes as a test wants them."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator

from hpack import Encoder

from mesh.hbone import frames
from mesh.net.tls import Credentials
from tests.lab_for_tests import FOLDER, Lab

PATIENCE = 10.0


class Stranger:
    """Dials from a pod of the lab; every socket works as if the test were in that pod."""

    def __init__(self, there: Lab, pod: str, namespace: str) -> None:
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking.settimeout(PATIENCE)
        words = ("lab", "exec", pod, "-n", namespace, "--", "python", "netns/dialer.py")
        self._process = subprocess.Popen(
            [*there.prefix, sys.executable, "-m", "meshctl", *words],
            stdin=theirs,
            cwd=FOLDER,
            env=there.full_environment,
        )
        theirs.close()
        [found] = there.get("pods", namespace, pod)
        self.ip = str(found["status"]["podIP"])

    def dial(self, ip: str, port: int) -> socket.socket:
        """A connected socket. Raises ConnectionError with the reason when there is none."""
        self._asking.send(f"{ip} {port}".encode())
        told, descriptors, _, _ = socket.recv_fds(self._asking, 256, 1)
        if not descriptors:
            raise ConnectionError(told.decode())
        made = socket.socket(fileno=descriptors[0])
        made.settimeout(PATIENCE)
        return made

    def end(self) -> None:
        """Go away."""
        self._asking.close()
        self._process.wait(PATIENCE)


def name(sock: socket.socket) -> str:
    """Our end of a connection as logs write it."""
    ip, port = sock.getsockname()
    return f"{ip}:{port}"


def wrapped(sock: socket.socket, papers: Credentials | None) -> ssl.SSLSocket:
    """TLS with these papers or none, to whoever it is. Whether the peer lets us in shows at the first reading."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if papers is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(papers.key_pem + papers.chain_pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context.wrap_socket(sock)


def read_out(sock: socket.socket) -> bytes:
    """Everything that comes until the peer ends the connection, in whatever way it does."""
    found = bytearray()
    try:
        while data := sock.recv(65536):
            found += data
    except TimeoutError:
        raise
    except OSError:
        pass
    return bytes(found)


class Rough:
    """An HTTP/2 client without manners: it sends what it is told, and shows what comes back."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self._encoder = Encoder()
        self._buffer = bytearray()
        self.send(frames.PREFACE, frames.settings({}))

    def send(self, *pieces: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(b"".join(pieces))

    def head(self, stream: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """HEADERS that begin and end a request, with the CONTINUATIONs that they need."""
        block = self._encoder.encode([*fields], huffman=False)
        return frames.headers(stream, block, end_stream=False, max_frame=frames.SMALLEST_MAX_FRAME)

    def ask(self, stream: int, authority: str, *more: tuple[bytes, bytes], method: bytes = b"CONNECT") -> None:
        """Send a request."""
        self.send(self.head(stream, [(b":method", method), (b":authority", authority.encode()), *more]))

    def answer(self, stream: int) -> bytes:
        """The header block of the answer to a request; b"" when it was reset instead."""
        for kind, at, payload in self.frames():
            if at == stream and kind in {frames.HEADERS, frames.RST_STREAM}:
                return payload if kind == frames.HEADERS else b""
        raise AssertionError("the connection ended without an answer")

    def farewell(self) -> str:
        """The last GOAWAY, as text, once the peer has ended the connection; empty if there was none."""
        last = ""
        for kind, _, payload in self.frames():
            if kind == frames.GOAWAY:
                _, code, detail = frames.read_goaway(memoryview(payload))
                last = f"{frames.code_name(code)}: {detail.decode()}"
        return last

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """What comes: type, stream and payload of each frame, until the end of the connection."""
        while True:
            while len(self._buffer) >= frames.HEAD_SIZE:
                word, _, stream = frames.HEAD.unpack_from(self._buffer)
                end = frames.HEAD_SIZE + (word >> 8)
                if len(self._buffer) < end:
                    break
                payload = bytes(self._buffer[frames.HEAD_SIZE : end])
                del self._buffer[:end]
                yield word & 0xFF, stream, payload
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                return
            if not data:
                return
            self._buffer += data
