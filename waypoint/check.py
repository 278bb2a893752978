"""What an external authorizer is asked about a request (envoy.service.auth.v3, CheckRequest). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.identity import Identity
from mesh.policy import Authorizer
from mesh.refusal import Refusal
from mesh.xds.pb import extauthz_pb2 as pb
from waypoint.callee import Callee
from waypoint.endpoint import Endpoint
from waypoint.http.events import Headers, RequestHead, value


@dataclass(frozen=True, slots=True)
class Check:
    """What is to be asked, of whom, before a request goes on."""

    authorizer: Authorizer
    policy: str
    """The key of the CUSTOM policy that matches."""
    endpoint: Endpoint | Refusal
    message: bytes


def check_message(identity: Identity, source: str, callee: Callee, request: RequestHead, now: float) -> bytes:
    """A CheckRequest about this request, which is what came, and its path in normal form."""
    length = value(request.headers, b"content-length")
    http = pb.HttpRequest(
        id=_text(value(request.headers, b"x-request-id") or b""),
        method=_text(request.method),
        headers=_joined(request.headers),
        path=_text(request.path),
        host=_text(request.authority),
        scheme=_text(request.scheme),
        size=int(length) if length is not None and length.isdigit() and len(length) < 18 else -1,
    )
    asked = pb.Request(http=http)
    asked.time.FromNanoseconds(int(now * 1e9))
    at = pb.SocketAddress(address=str(callee.address.ip), port_value=callee.port)
    context = pb.AttributeContext(
        source=pb.Peer(
            address=pb.Address(socket_address=pb.SocketAddress(address=source)),
            principal=str(identity),
        ),
        destination=pb.Peer(address=pb.Address(socket_address=at), service=callee.name),
        request=asked,
    )
    return pb.CheckRequest(attributes=context).SerializeToString()


def _joined(headers: Headers) -> dict[str, str]:
    """By name; several lines of one are joined by a comma (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for raw, content in headers:
        name, text = _text(raw), content.decode("utf-8", "replace")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
