"""What the CNI agent and a node's ztunnel say to each other about the pods to capture (the ZDS protocol), as values.

The agent listens on a SOCK_SEQPACKET unix socket, the proxy dials and sends `Hello`; from then on the agent asks and
the proxy answers each request with an `Ack` before the next one: first `Add` (with the pod's network namespace as the
one descriptor) or `Keep` for every pod, then `SnapshotSent`, later only `Add` and `Delete`. One protobuf per packet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from mesh.xds.pb import zds_pb2 as pb

LARGEST_PACKET: Final = 1024
"""Bytes; neither side reads more from one packet."""

ACK_DEADLINE: Final = 5.0
"""Seconds the agent waits for an `Ack`."""


class ZdsError(ValueError):
    """The other side sent something that this protocol does not have; the text says what."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The proxy's first packet."""

    version: int = pb.V1


@dataclass(frozen=True, slots=True)
class Add:
    """Capture this pod; the packet carries its network namespace. Adding a captured pod again changes nothing."""

    uid: str
    name: str
    namespace: str
    service_account: str
    names: bool = True
    """Whether its questions for names are captured; an agent of Istio says nothing of it, which means yes."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Go on serving this pod, whose namespace the agent has no longer; only before the snapshot's end."""

    uid: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Release this pod."""

    uid: str


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """All pods have been named: release every other."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to a request; an empty error means done."""

    error: str = ""


Request = Add | Keep | Delete | SnapshotSent


def encode_hello(hello: Hello) -> bytes:
    """The packet that greets the agent."""
    return pb.ZdsHello(version=pb.Version.Name(hello.version)).SerializeToString()


def parse_hello(packet: bytes) -> Hello:
    """Read a greeting; raises ZdsError on anything but version 1, the only one there is."""
    message = pb.ZdsHello()
    _parse(message, packet)
    if message.version != pb.V1:
        raise ZdsError(f"the proxy speaks version {message.version} of the protocol; only version {pb.V1} is known")
    return Hello(message.version)


def encode_request(request: Request) -> bytes:
    """The agent's packet; raises ZdsError if it would not fit in one."""
    message = pb.WorkloadRequest()
    match request:
        case Add(uid, name, namespace, account, captured):
            message.add.uid = uid
            message.add.workload_info.name = name
            message.add.workload_info.namespace = namespace
            message.add.workload_info.service_account = account
            message.add.workload_info.names_uncaptured = not captured
        case Keep(uid):
            message.keep.uid = uid
        case Delete(uid):
            getattr(message, "del").uid = uid
        case SnapshotSent():
            message.snapshot_sent.SetInParent()
    packet = message.SerializeToString()
    if len(packet) > LARGEST_PACKET:
        raise ZdsError(f"a request of {len(packet)} bytes does not fit in a packet of {LARGEST_PACKET}")
    return packet


def parse_request(packet: bytes) -> Request:
    """Read the agent's packet; raises ZdsError if it is no request or lacks what every pod has."""
    message = pb.WorkloadRequest()
    _parse(message, packet)
    match message.WhichOneof("payload"):
        case "add":
            info = message.add.workload_info
            uid = _required("uid", message.add.uid)
            names = (info.name, info.namespace, info.service_account)
            if not all(names):
                raise ZdsError(f"the request to add pod {uid} names no pod, namespace or service account: {names}")
            return Add(uid, *names, names=not info.names_uncaptured)
        case "keep":
            return Keep(_required("uid", message.keep.uid))
        case "del":
            return Delete(_required("uid", getattr(message, "del").uid))
        case "snapshot_sent":
            return SnapshotSent()
        case _:
            raise ZdsError("a request of an unknown kind")


def encode_ack(ack: Ack) -> bytes:
    """The proxy's answer; an error too long for a packet is cut."""
    error = ack.error.encode("utf-8", "replace")[: LARGEST_PACKET - 16].decode("utf-8", "ignore")
    message = pb.WorkloadResponse()
    message.ack.error = error
    message.ack.SetInParent()
    return message.SerializeToString()


def parse_ack(packet: bytes) -> Ack:
    """Read the proxy's answer; raises ZdsError if it is none."""
    message = pb.WorkloadResponse()
    _parse(message, packet)
    if message.WhichOneof("payload") != "ack":
        raise ZdsError("an answer that is no acknowledgement")
    return Ack(message.ack.error)


def _parse(message: pb.ZdsHello | pb.WorkloadRequest | pb.WorkloadResponse, packet: bytes) -> None:
    if len(packet) > LARGEST_PACKET:
        raise ZdsError(f"a packet of {len(packet)} bytes; at most {LARGEST_PACKET} are allowed")
    try:
        message.ParseFromString(packet)
    except DecodeError as error:
        raise ZdsError(f"a packet that cannot be read: {error}") from error


def _required(field: str, value: str) -> str:
    if not value:
        raise ZdsError(f"a request without {field}")
    return value


class Resync:
    """The beginning of one connection: which pods the agent has named, and whether it has named all.

    Decides what may still be said (a `Keep` only before the end of the snapshot, one end only) and, at the end, which
    of the held pods are to be released.
    """

    def __init__(self) -> None:
        self.complete = False
        self._named: set[str] = set()

    def take(self, request: Request) -> None:
        """Note one request; raises ZdsError if it may not come now, which ends the connection."""
        match request:
            case Add(uid=uid):
                self._named.add(uid)
            case Keep(uid):
                if self.complete:
                    raise ZdsError(f"a request to keep pod {uid} after the end of the snapshot")
                self._named.add(uid)
            case Delete(uid):
                self._named.discard(uid)
            case SnapshotSent():
                if self.complete:
                    raise ZdsError("a second end of the snapshot")
                self.complete = True

    def unnamed(self, held: frozenset[str]) -> frozenset[str]:
        """Those of the held pods that the snapshot did not name."""
        return held - self._named
