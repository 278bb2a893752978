"""istiod-lite as a real process on folders of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from mesh.net.ads import XdsEndpoint
from mesh.net.certs import CaEndpoint
from mesh.xds.node import Node
from tests.tokens_for_tests import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: uid-{name}, labels: {{app: {app}}},
           annotations: {{ambient.istio.io/redirection: enabled}}}}
spec: {{nodeName: {node}, serviceAccountName: {app}, containers: [{{name: app}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: "{ready}"}}]}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop, labels: {labels}}}
spec: {{clusterIP: {ip}, selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""


def pod(name: str, ip: str, *, app: str = "web", node: str = "node-1", ready: bool = True) -> str:
    return POD.format(name=name, app=app, node=node, ip=ip, ready=ready)


def service(name: str, ip: str, labels: str = "{}") -> str:
    return SERVICE.format(name=name, ip=ip, labels=labels)


class Istiod:
    """The program, its folders, and an issuer of tokens that it trusts."""

    def __init__(self, home: Path, host: str = "127.0.0.1") -> None:
        self.home = home
        self._host = host
        self.manifests, self.state = home / "objects", home / "state"
        self.generated, self.status = home / "generated", home / "status"
        self.issuer = Issuer()
        self.manifests.mkdir()
        (home / "jwks.json").write_text(self.issuer.jwks)
        self.port, self._ready_port = _free_port(), _free_port()
        self.options: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, *texts: str) -> None:
        """Replace one file of manifests at once, as the lab does."""
        partial = self.manifests / f".{name}"
        partial.write_text("\n---\n".join(texts))
        partial.rename(self.manifests / name)

    def start(self) -> None:
        """Start the program and wait until it is ready."""
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "istiod_lite", "serve", "--token-jwks", str(self.home / "jwks.json")),
                    *("--manifests", str(self.manifests), "--state", str(self.state)),
                    *("--generated", str(self.generated), "--status", str(self.status)),
                    *("--listen", f"{self._host}:{self.port}", "--ready-listen", f"127.0.0.1:{self._ready_port}"),
                    *self.options,
                ],
                stderr=log,
            )
        wait_until(self.is_ready, "istiod is ready")

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._ready_port}/healthz/ready", timeout=1) as answer:
                return answer.status == 200
        except (URLError, ConnectionError):
            return False

    def stop(self, *, kill: bool = False) -> int:
        """End the program; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill() if kill else process.terminate()
        return process.wait(10)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def token_file(self, token: str, name: str = "token") -> Path:
        path = self.home / name
        path.write_text(token)
        return path

    def ca(self, token: str) -> CaEndpoint:
        return CaEndpoint(
            f"127.0.0.1:{self.port}", self.state / "root-cert.pem", self.token_file(token), "istiod.istio-system.svc"
        )

    def xds(self, token: str, node: Node) -> XdsEndpoint:
        return XdsEndpoint(
            f"https://127.0.0.1:{self.port}",
            self.state / "root-cert.pem",
            self.token_file(token),
            "istiod.istio-system.svc",
            node=node,
        )


@contextmanager
def running(home: Path, *options: str, **manifests: str) -> Iterator[Istiod]:
    """istiod at work on these manifests (file stem to text)."""
    istiod = Istiod(home)
    istiod.options = options
    for name, text in manifests.items():
        istiod.write(f"{name}.yaml", text)
    istiod.start()
    try:
        yield istiod
    finally:
        istiod.stop()
    assert "Traceback" not in istiod.log, istiod.log


def wait_until(condition: object, what: str) -> None:
    """Poll until the condition holds; AssertionError when patience is over."""
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
