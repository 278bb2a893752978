"""The scene of test_bad_input.py and test_floods.py: a shop in the mesh, busy all the time, and a pod outside it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh import pki
from mesh.identity import Identity
from mesh.net.tls import ClientTls, Credentials
from mesh.net.tunnel import Stream, Tunnel
from mesh.net.tunnel_stream import TunnelStream
from tests.lab_for_tests import Lab
from tests.pki_for_tests import credentials
from tests.stranger_for_tests import Stranger
from tests.tunnel_ends import running_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

WHO = "netns/meshctl/who.py"
LOAD = ("python", "../examples/shop/load.py")
STEADILY = ("--until-eof", "--pause", "0.05", "--timeout", "5", "--json")
STRANGER = Identity("cluster.local", "outside", "stranger")


def service(name: str, app: str, waypoint: str = "") -> str:
    labels = f", labels: {{istio.io/use-waypoint: {waypoint}}}" if waypoint else ""
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop{labels}}}
spec: {{selector: {{app: {app}}}, ports: [{{name: http, port: 80, targetPort: 8080, appProtocol: http}}]}}
"""


def server(name: str) -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: {name}
    command: [python, {WHO}, "8080", {name}]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
"""


def client(name: str, namespace: str) -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{{name: {name}, command: [sleep, infinity]}}]
"""


SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: outside}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: shop}}
spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}
{server("web")}{service("web", "web")}
{server("catalog")}{service("catalog", "catalog", "waypoint")}
{service("empty", "nobody")}{service("empty-catalog", "nobody", "waypoint")}{service("orphan", "web", "nowhere")}
{client("client", "shop")}{client("late", "shop")}{client("stranger", "outside")}
"""


@dataclass(frozen=True)
class Log:
    """The files of one component's log."""

    folder: Path
    pattern: str

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(path.read_text() for path in sorted(self.folder.glob(self.pattern)))

    def line(self, *words: str, seconds: float = 10.0) -> str:
        """The first line with all these words, once it is there."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.text.splitlines():
                if all(word in line for word in words):
                    return line
            assert time.monotonic() < deadline, f"no line with {words} in the last of\n{self.text[-3000:]}"
            time.sleep(0.02)


@dataclass(frozen=True)
class Target:
    """An HBONE listener that is attacked: that of the worker of pod web, or the waypoint's."""

    ip: str
    authority: str
    """What may be asked of it."""
    log: Log


@dataclass(frozen=True)
class Mesh:
    """The lab with everything in it."""

    lab: Lab
    root: Path
    stranger: Stranger
    authority: pki.Authority

    def papers(self, identity: Identity = STRANGER, *, expired: bool = False) -> Credentials:
        """Papers of the mesh's own root."""
        return credentials(identity, root=self.authority, expired=expired)

    def log(self, pattern: str) -> Log:
        """The log of a part of the mesh."""
        return Log(self.root / "logs", pattern)

    def pod(self, app: str) -> str:
        """A pod's address."""
        [found] = [pod for pod in self.lab.get("pods", "shop") if pod["metadata"]["name"].startswith(app)]
        return str(found["status"]["podIP"])

    def vip(self, name: str) -> str:
        """A service's address."""
        return str(self.lab.get("service", "shop", name)[0]["spec"]["clusterIP"])

    def ask(self, url: str, *options: str, pod: str = "client") -> str:
        """What curl in a pod gets: status and the reason of a failure."""
        asked = self.lab.exec(
            pod, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", *options, url,
            namespace="shop", code=None,
        )  # fmt: skip
        return f"{asked.out} {asked.err}".strip()


@contextmanager
def scene(there: Lab) -> Iterator[Mesh]:
    """The mesh; at the end it is seen that the good requests all were answered."""
    there.up(SHOP)
    found = re.match(r"lab \S+ in (\S+)", there.meshctl("lab", "status").out)
    assert found is not None
    root = Path(found[1])
    pem = (root / "state" / "root.pem").read_bytes()
    stranger = Stranger(there, "stranger", "outside")
    loads = [good_requests(there, url) for url in ("http://web/", "http://catalog/")]
    try:
        yield Mesh(there, root, stranger, pki.load_authority(pem, pem))
        for load in loads:
            told = outcome(load)
            assert told["requests"] > 20, told
            assert told["answers"] == {"200": told["requests"]}, told
    finally:
        stranger.end()
        for load in loads:
            load.kill()
            load.wait()


def good_requests(there: Lab, url: str) -> subprocess.Popen[str]:
    """Requests by the client that go on until they are told to end, each on a connection of its own."""
    load = there.start("lab", "exec", "client", "-n", "shop", "--", *LOAD, url, *STEADILY)
    assert load.stderr is not None
    assert load.stderr.readline().startswith("sending")
    return load


def outcome(load: subprocess.Popen[str]) -> dict[str, Any]:
    """End a load; what it counted."""
    out, err = load.communicate(timeout=20)
    assert load.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


@asynccontextmanager
async def tunnel(mesh: Mesh, target: Target) -> AsyncIterator[Tunnel]:
    """A tunnel as it should be, by the stranger."""
    papers = mesh.papers()
    accepts = frozenset({Identity("cluster.local", "shop", "waypoint")})
    async with running_relay() as relay:
        made = await Tunnel.over(relay, mesh.stranger.dial(target.ip, 15008), ClientTls(papers), accepts)
        yield made
        made.abort()


async def connected(to_waypoint: Tunnel, authority: str) -> TunnelStream:
    stream = await to_waypoint.connect(authority)
    assert isinstance(stream, Stream)
    return stream.open()
