"""Everything that is compared, in one lab: our pods, plain ones, and those with an Envoy beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from bench import load, papers, peer, pods
from bench.lab import Lab, Pod, lab
from bench.measure import Side
from bench.peer import Tunnel
from bench.pods import CLIENTS, IPERF, REDIS, SERVERS

_FIRST_PORT: Final = 16001
_HERE: Final = "127.0.0.1"
_OURS: Final = ("zt-",)
_ENVOYS: Final = ("envoy",)
_BOTH: Final = (*_OURS, *_ENVOYS)

Ends = tuple[tuple[str, int], tuple[str, int]]
"""Where iperf and Redis are reached."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The sides of all comparisons."""

    lab: Lab
    direct: Side
    """No proxy at all: what the load generators and the kernel can do here."""
    ours: Side
    envoys: Side
    ours_passed: Side
    """From a pod in the mesh to one that is not."""
    envoy_passed: Side
    ours_to_envoy: Side
    envoy_to_ours: Side
    ours_unpooled: Side
    """A TLS handshake for each connection, our worker being the called side; an Envoy calls, here and below."""
    envoys_unpooled: Side


@contextmanager
def stage() -> Iterator[Stage]:
    """Bring it all up."""
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder, lab(pods.ours()) as there:
        keys = Path(folder)
        keys.chmod(0o755)
        yield _with_envoys(there, keys)


def _with_envoys(there: Lab, keys: Path) -> Stage:
    papers.issue(there, (*CLIENTS, *SERVERS), keys)
    ports = count(_FIRST_PORT)
    tunnels: dict[str, list[Tunnel]] = {name: [] for name in CLIENTS}

    def carried(client: str, upstream: str, **how: bool) -> Ends:
        """Have a client's Envoy carry two ports of its own to where an upstream's iperf and Redis are."""
        made = [Tunnel(next(ports), upstream, target, **how) for target in (IPERF, REDIS)]
        tunnels[client] += made
        return (_HERE, made[0].port), (_HERE, made[1].port)

    there.apply(pods.envoys(_written({name: peer.inbound(name, (IPERF, REDIS), keys) for name in SERVERS}, keys)))
    mesh, other_mesh, plain, envoy, other_envoy = (
        there.address(Pod(*place.split("/")))
        for place in ("mesh/server", "mesh/other-server", "plain/server", "peer/server", "peer/other-server")
    )
    calling, other = Pod("mesh", "client"), Pod("mesh", "other")
    its, others = Pod("peer", "client"), Pod("peer", "other")
    beside = Side("envoys, other pair", others, *carried("other", other_envoy), _ENVOYS)
    made = Stage(
        there,
        direct=Side("direct", Pod("plain", "client"), *_at(plain), ()),
        ours=Side("ours", calling, *_at(mesh), _OURS, Side("ours, other pair", other, *_at(other_mesh), _OURS)),
        envoys=Side("envoys", its, *carried("client", envoy), _ENVOYS, beside),
        ours_passed=Side("ours, passed through", calling, *_at(plain), _OURS),
        envoy_passed=Side("envoy, passed through", its, *carried("client", plain, plain=True), _ENVOYS),
        ours_to_envoy=Side("ours to envoy", calling, *_at(envoy), _BOTH),
        envoy_to_ours=Side("envoy to ours", its, *carried("client", mesh), _BOTH),
        ours_unpooled=Side("ours, called anew", its, *carried("client", mesh, pooled=False), ("zt-server",)),
        envoys_unpooled=Side("envoy, called anew", its, *carried("client", envoy, pooled=False), ("/server.json",)),
    )
    there.apply(pods.envoys(_written({name: peer.outbound(name, tunnels[name], keys) for name in CLIENTS}, keys)))
    for side in (made.direct, made.ours, made.envoys, made.envoy_passed, beside):
        there.wait(f"an answer to {side.name}", side.client, load.made_once(*side.redis))
    return made


def _at(ip: str) -> Ends:
    return (ip, IPERF), (ip, REDIS)


def _written(configurations: Mapping[str, peer.Config], keys: Path) -> dict[str, Path]:
    return {name: peer.write(one, keys / f"{name}.json") for name, one in configurations.items()}
