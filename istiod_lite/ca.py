"""The certificate authority's service: who may have which certificate, and signing it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc

from istiod_lite.facts import Pod
from mesh import pki
from mesh.identity import Identity
from mesh.refusal import Reason, Refusal
from mesh.xds.pb.citadel_pb2 import IstioCertificateRequest, IstioCertificateResponse

if TYPE_CHECKING:
    from istiod_lite.doorkeeper import Doorkeeper
    from istiod_lite.present import Present
    from istiod_lite.tokens import Caller
    from istiod_lite.world import World

SERVICE: Final = "istio.v1.auth.IstioCertificateService"
_IMPERSONATED: Final = "ImpersonatedIdentity"
_PATIENCE: Final = 2.0

_log = logging.getLogger("ca")


def entitlement(
    caller: Caller, asked: str, world: World, trust_domain: str, trusted: frozenset[str]
) -> Identity | Refusal:
    """The identity that the caller gets, or why it gets none.

    `asked` is the SPIFFE id that the caller wants to act for, "" for its own. Only node proxies (`trusted`, as
    `namespace/account`) may ask for another's, and only for that of a living pod on the node of their own token.
    """
    own = Identity(trust_domain, caller.namespace, caller.service_account)
    if not asked:
        return own
    try:
        wanted = Identity.parse(asked)
    except ValueError as fault:
        return Refusal(Reason.BAD_REQUEST, str(fault))
    return wanted if wanted == own else _impersonation(caller, wanted, world, trust_domain, trusted)


def _impersonation(
    caller: Caller, wanted: Identity, world: World, trust_domain: str, trusted: frozenset[str]
) -> Identity | Refusal:
    if f"{caller.namespace}/{caller.service_account}" not in trusted:
        return Refusal(Reason.WRONG_IDENTITY, f"{caller} is no node proxy and may not ask for {wanted}")
    if wanted.trust_domain != trust_domain:
        return Refusal(Reason.WRONG_TRUST_DOMAIN, f"{wanted} is not of trust domain {trust_domain}")
    if not caller.node:
        return Refusal(Reason.WRONG_IDENTITY, f"the token of {caller} names no node")
    if not any(_runs(pod, caller.node, wanted) for pod in world.all(Pod)):
        return Refusal(Reason.UNKNOWN_WORKLOAD, f"no pod of {wanted} runs on node {caller.node}")
    return wanted


def _runs(pod: Pod, node: str, identity: Identity) -> bool:
    return (
        pod.node == node
        and not pod.finished
        and pod.meta.namespace == identity.namespace
        and pod.service_account == identity.service_account
    )


class CertificateService:
    """`istio.v1.auth.IstioCertificateService`."""

    def __init__(
        self,
        authority: pki.Authority,
        doorkeeper: Doorkeeper,
        present: Present,
        trust_domain: str,
        trusted: frozenset[str],
    ) -> None:
        self._authority = authority
        self._doorkeeper = doorkeeper
        self._present = present
        self._trust_domain = trust_domain
        self._trusted = trusted

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What the gRPC server is to be given."""
        method = grpc.unary_unary_rpc_method_handler(
            self.create,
            request_deserializer=IstioCertificateRequest.FromString,
            response_serializer=IstioCertificateResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"CreateCertificate": method})

    async def create(
        self, request: IstioCertificateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> IstioCertificateResponse:
        """Sign a request, or end the call with the reason why not."""
        caller = await self._doorkeeper.admit(context)
        asked = request.metadata.fields[_IMPERSONATED].string_value if _IMPERSONATED in request.metadata.fields else ""
        identity = await self._entitled(caller, asked)
        if isinstance(identity, Refusal):
            _log.warning("refused %s: %s", caller, identity.detail)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, identity.detail)
        chain = pki.issue(
            self._authority, request.csr.encode(), identity, _ttl(request.validity_duration), datetime.now(UTC)
        )
        if isinstance(chain, Refusal):
            _log.warning("refused %s a certificate of %s: %s", caller, identity, chain.detail)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, chain.detail)
        _log.info("signed %s for %s", identity, caller)
        return IstioCertificateResponse(cert_chain=[chain.certificates.decode(), chain.roots.decode()])

    async def _entitled(self, caller: Caller, asked: str) -> Identity | Refusal:
        """What `entitlement` says; a pod that is not known is waited for, for its node may be ahead of the folder."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    found = entitlement(caller, asked, self._present.world, self._trust_domain, self._trusted)
                    if not isinstance(found, Refusal) or found.reason is not Reason.UNKNOWN_WORKLOAD:
                        return found
                    await self._present.change()
        except TimeoutError:
            return found


def _ttl(seconds: int) -> timedelta:
    """The validity asked for; what a timedelta cannot hold is too long in any case."""
    return timedelta(seconds=min(max(seconds, -1), 10**9))
