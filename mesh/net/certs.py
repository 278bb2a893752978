"""A proxy's certificate: asking for it, and keeping it fresh for as long as the proxy lives."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import trio

from mesh import pki
from mesh.net.controlplane import Endpoint, reason_of
from mesh.net.tls import Credentials
from mesh.xds.pb.citadel_pb2 import IstioCertificateRequest, IstioCertificateResponse

if TYPE_CHECKING:
    from mesh.controlplane import ControlPlane
    from mesh.identity import Identity


@dataclass(frozen=True, slots=True)
class CaEndpoint(Endpoint):
    """The certificate authority of a control plane."""

    @classmethod
    def of(cls, plane: ControlPlane) -> CaEndpoint:
        """The authority of this control plane."""
        return cls(plane.ca_address, plane.root_ca, plane.token, plane.server_name, plane.cluster_id)


Sign = Callable[[bytes, "Identity"], Awaitable[pki.Chain]]
"""Has a request (PEM) for an identity signed, or raises SigningFailed."""

_METHOD: Final = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
_PATIENCE: Final = 10.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 150.0

_log = logging.getLogger("certs")


class SigningFailed(Exception):
    """The authority refused or could not be reached; the message says why, in one line."""


async def sign(
    endpoint: CaEndpoint, csr_pem: bytes, identity: Identity, ttl_seconds: int, *, impersonate: bool
) -> pki.Chain:
    """Have a request signed by the control plane, within 10 seconds.

    `impersonate` says that the caller is a node's proxy which asks on behalf of a pod. Raises SigningFailed.
    """
    import grpc  # only the few processes that ask an authority themselves pay for it

    request = IstioCertificateRequest(csr=csr_pem.decode("ascii"), validity_duration=ttl_seconds)
    if impersonate:
        request.metadata.update({"ImpersonatedIdentity": str(identity)})

    def call() -> list[str]:
        with endpoint.channel() as channel:
            method: Any = channel.unary_unary(
                _METHOD,
                request_serializer=IstioCertificateRequest.SerializeToString,
                response_deserializer=IstioCertificateResponse.FromString,
            )
            return list(method(request, timeout=_PATIENCE, metadata=endpoint.metadata()).cert_chain)

    try:
        chain = await trio.to_thread.run_sync(call, abandon_on_cancel=True)
    except grpc.RpcError as fault:
        raise SigningFailed(reason_of(fault)) from fault
    except (OSError, UnicodeError) as fault:
        raise SigningFailed(str(fault)) from fault
    if len(chain) < 2:
        raise SigningFailed("the authority's answer lacks its roots")
    *certificates, roots = (part.encode() for part in chain)
    return pki.Chain(b"".join(certificates), roots)


def _utcnow() -> datetime:
    return datetime.now(UTC)


async def keep(
    sign: Sign, identity: Identity, on_new: Callable[[Credentials], None], *, utcnow: Callable[[], datetime] = _utcnow
) -> None:
    """Get a certificate for `identity`, and a new one with a new key whenever half its life is over; for ever.

    When `sign` fails it is asked again after 0.5 s, doubling to 150 s, give or take a fifth; meanwhile the old
    certificate serves until it expires. The key never leaves this process. All waiting is on trio's clock.
    """
    pause, held = 0.0, "there is none"
    while True:
        try:
            credentials, leaf = await _renewed(sign, identity, utcnow)
        except SigningFailed as fault:
            pause = min(_LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)
            _log.warning(
                "no new certificate for %s, %s: %s; asking again in about %.1f s", identity, held, fault, pause
            )
            await trio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads clients, guards nothing
            continue
        pause = 0.0
        _log.info("certificate for %s, good until %s", identity, leaf.not_valid_after_utc.isoformat())
        held = f"the one in force is good until {leaf.not_valid_after_utc.isoformat()}"
        on_new(credentials)
        await trio.sleep(max(_FIRST_PAUSE, (pki.renew_at(leaf) - utcnow()).total_seconds()))


async def _renewed(
    sign: Sign, identity: Identity, utcnow: Callable[[], datetime]
) -> tuple[Credentials, pki.Certificate]:
    key = pki.new_key()
    chain = await sign(pki.csr(key, identity), identity)
    try:
        leaf = pki.leaf_of(chain.certificates)
    except ValueError as fault:
        raise SigningFailed(f"the authority's answer cannot be read: {fault}") from fault
    if pki.identity_of(leaf) != identity or leaf.public_key() != key.public_key():
        raise SigningFailed("the authority answered with another certificate than was asked for")
    if leaf.not_valid_after_utc <= utcnow():
        raise SigningFailed("the authority answered with an expired certificate")
    return Credentials(identity, pki.key_pem(key), chain.certificates, chain.roots), leaf
