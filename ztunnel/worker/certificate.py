"""The certificate of a worker. Its key is made here and stays here; the supervisor only carries requests for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import trio
from cryptography.x509 import CertificateRevocationList

from mesh import pki, revocation
from mesh.identity import Identity
from mesh.net.certs import SigningFailed, keep
from mesh.net.tls import ClientTls, Credentials, ServerTls
from mesh.refusal import Reason, Refusal
from mesh.revocation import RevocationList
from ztunnel.channel.message import Sign, Signed, Unsigned

_log = logging.getLogger("worker")

_PATIENCE: Final = 30.0
"""Seconds in which the supervisor must be there and answer."""


class Petitioner:
    """Carries certificate requests to the supervisor and its answers back, one at a time."""

    def __init__(self, send: Callable[[Sign], bool]) -> None:
        self._send = send
        self._answer: Signed | Unsigned | None = None
        self._news = trio.Event()

    async def sign(self, csr: bytes, _identity: Identity) -> pki.Chain:
        """Have a request signed; raises mesh.net.certs.SigningFailed. A lost supervisor is asked again when back."""
        self._answer = None
        sent = False
        with trio.move_on_after(_PATIENCE):
            while self._answer is None:
                sent = self._send(Sign(csr.decode("ascii")))
                await self._news.wait()
        answer: Signed | Unsigned | None = self._answer
        if answer is None:
            raise SigningFailed("the node's supervisor gave no answer" if sent else "the node's supervisor is away")
        if isinstance(answer, Unsigned):
            raise SigningFailed(answer.refusal.detail)
        return pki.Chain(answer.chain.encode(), answer.roots.encode())

    def take(self, answer: Signed | Unsigned) -> None:
        """The supervisor answered."""
        self._answer = answer
        self.stir()

    def stir(self) -> None:
        """A connection to the supervisor began; what was asked on the last one is asked again."""
        self._news.set()
        self._news = trio.Event()


class Certificate:
    """The certificate in force. Connections that live are left alone by a renewal, and by an expiry."""

    def __init__(self, utcnow: Callable[[], datetime] | None = None) -> None:
        self._utcnow = utcnow or _utcnow
        self._expires: datetime | None = None
        self._server: ServerTls | None = None
        self._client: ClientTls | None = None
        self.revoked = RevocationList()
        """Peers that are no longer to be talked to."""
        self._lists: tuple[CertificateRevocationList, ...] = ()
        self._authorities = b""
        self.present = trio.Event()
        self.installed: Callable[[datetime], None] = _nothing
        """Called with the end of every new certificate."""
        self.renewed: Callable[[ClientTls], None] = _nothing
        """Called with every new certificate but the first."""

    async def keep(self, petitioner: Petitioner, identity: Identity) -> None:
        """Get a certificate and renew it, for ever."""
        await keep(petitioner.sign, identity, self.install, utcnow=self._utcnow)

    def install(self, credentials: Credentials) -> None:
        """Use these from now on; if TLS cannot, go on with those in force."""
        try:
            server, client = ServerTls(credentials, self.revoked), ClientTls(credentials, self.revoked)
        except ValueError as fault:
            _log.error("the authority's answer is of no use for TLS: %s", fault)
            return
        self._expires = pki.leaf_of(credentials.chain_pem).not_valid_after_utc
        self._server, self._client = server, client
        self._authorities = credentials.roots_pem + credentials.chain_pem
        self._believe()
        self.installed(self._expires)
        if self.present.is_set():
            self.renewed(client)
        self.present.set()

    def revoke(self, lists: str) -> None:
        """These lists (PEM) are in force from now on; what cannot be read changes nothing."""
        try:
            self._lists = revocation.read(lists.encode())
        except ValueError as fault:
            _log.error("revocation lists that cannot be read: %s", fault)
        self._believe()

    def _believe(self) -> None:
        if not self._authorities:
            return
        strange = self.revoked.replace(self._lists, self._authorities)
        if strange:
            _log.warning("%d revocation lists were signed by no authority of ours and are not believed", strange)

    @property
    def expires(self) -> datetime | None:
        """The end of the certificate in force; None if there is none yet."""
        return self._expires

    def client(self) -> ClientTls | Refusal:
        """For calls; a Refusal when there is no certificate that is still good."""
        return self._refusal() or self._client or _NONE

    def server(self) -> ServerTls | Refusal:
        """For callers; a Refusal when there is no certificate that is still good."""
        return self._refusal() or self._server or _NONE

    def _refusal(self) -> Refusal | None:
        if self._expires is not None and self._expires <= self._utcnow():
            return Refusal(Reason.CERTIFICATE_EXPIRED, f"our certificate expired at {self._expires.isoformat()}")
        return None


_NONE: Final = Refusal(Reason.NO_CERTIFICATE, "no certificate has been signed for this pod yet")


def _utcnow() -> datetime:
    return datetime.now(UTC)


def _nothing(_: object) -> None:
    return
