"""Which proxy a subscriber is: what it says of itself in its first request, and what the server makes of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.xds.pb import discovery_pb2

ZTUNNEL: Final = "ztunnel"
WAYPOINT: Final = "waypoint"


@dataclass(frozen=True, slots=True)
class Node:
    """A proxy: its kind (ZTUNNEL, WAYPOINT), the pod it runs in, and what else it tells (GATEWAY_NAME, NODE_NAME)."""

    kind: str
    name: str
    namespace: str
    ip: str = "1.1.1.1"
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The form that Istio's proxies use: `kind~ip~pod.namespace~namespace.svc.cluster.local`."""
        return f"{self.kind}~{self.ip}~{self.name}.{self.namespace}~{self.namespace}.svc.cluster.local"

    @property
    def waypoint(self) -> str | None:
        """For a waypoint the `namespace/name` of its Gateway, whose routes and policies it may see."""
        if self.kind != WAYPOINT:
            return None
        return f"{self.namespace}/{self.metadata.get('GATEWAY_NAME', '')}"

    def message(self) -> discovery_pb2.Node:
        """What is sent."""
        sent = discovery_pb2.Node(id=self.id)
        sent.metadata.update({"NAME": self.name, "NAMESPACE": self.namespace, "INSTANCE_IPS": self.ip, **self.metadata})
        return sent

    @classmethod
    def read(cls, message: discovery_pb2.Node) -> Node:
        """The proxy behind a message; ValueError if its id is not of the form above."""
        parts = message.id.split("~")
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"node id {message.id!r} is not of the form kind~ip~pod.namespace~domain")
        kind, ip, pod, _ = parts
        name, _, namespace = pod.rpartition(".")
        metadata = {
            key: value.string_value
            for key, value in message.metadata.fields.items()
            if value.WhichOneof("kind") == "string_value"
        }
        return cls(kind, name, namespace, ip, metadata)
