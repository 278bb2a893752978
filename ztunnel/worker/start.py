"""What a worker is born with: its pod, its listeners and its settings. The zygote hands it over at the fork."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.identity import Identity

if TYPE_CHECKING:
    import socket


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that a worker serves, as the node was told of it; `uid` is the Kubernetes uid of the pod."""

    uid: str
    name: str
    namespace: str
    service_account: str
    names: bool = True
    """Whether its questions for names are captured."""

    def identity(self, trust_domain: str) -> Identity:
        """The only identity that the worker may ever ask a certificate for."""
        return Identity(trust_domain, self.namespace, self.service_account)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may turn; every limit is per worker, and going over it refuses with a reason."""

    trust_domain: str = "cluster.local"
    cluster_id: str = "Kubernetes"
    network: str = ""
    secret_ttl: int = 86_400
    """Seconds of life asked for a certificate."""
    drain_seconds: float = 5.0
    """How long live connections may go on after SIGTERM."""
    relieved_seconds: float = 3_600.0
    """How long they may go on when another worker serves the pod."""
    connections: int = 16_384
    """The pod's own calls, and as many by its callers, of which one alone gets half (mesh.quota.Quota)."""
    handshakes: int = 256
    """TLS handshakes in flight on 15008."""
    handshakes_of_one: int = 32
    """Those of a single caller's address: whoever leaves them half done keeps nobody else out."""
    connect_timeout: float = 10.0
    """Seconds to reach the application, or a peer."""
    nameservers: str = ""
    """IP addresses of those who are asked for the names that the mesh does not know, the first first."""
    traced: bool = False
    """Whether connections are told of so that spans can be made of them."""
    trace_share: float = 0.0
    """Of new traces, those that are kept; from 0 to 1."""
    queries: int = 256
    """Questions for names that are answered at the same time."""


@dataclass(frozen=True, slots=True)
class Start:
    """One worker's beginning."""

    pod: Pod
    outbound: socket.socket
    """15001: what the pod's processes call."""
    inbound_plaintext: socket.socket
    """15006: who calls the pod without a tunnel."""
    inbound: socket.socket
    """15008: who calls the pod by HBONE."""
    supervisor: str
    """Path of the supervisor's socket."""
    ready: int
    """A descriptor: once the worker serves, one byte `R` is written to it and it is closed."""
    settings: Settings = Settings()
    names: tuple[socket.socket, ...] = ()
    """15053, on the loopback: the pod's questions for names; UDP and TCP sockets."""
