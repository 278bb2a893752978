"""Mutual TLS between workloads: TLS 1.3, HTTP/2 by ALPN, identities by SPIFFE id (SPIFFE X509-SVID, section 5).

Host names play no part: a client sends none and accepts a set of identities; a server accepts its own trust domain.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, cast

from mesh.identity import Identity
from mesh.refusal import Reason, Refusal

_RECORD: Final = 16_384
"""The most plaintext that one record holds (RFC 8446, section 5.1)."""
_EXPIRED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves an identity: its key, its certificate and those between it and a root, and the roots it trusts."""

    identity: Identity
    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    roots_pem: bytes


class PeerRefused(Exception):
    """The peer's certificate is genuine, but it is not one to talk to."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Session:
    """One TLS connection between two memory buffers. Raises ssl.SSLError for what the peer does wrong."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.closed = False
        """Whether the peer has said that it will send no more."""
        self._tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server)
        self._read = cast("Callable[[int, memoryview], int]", self._tls.read)
        self._write = self._tls.write
        self._take = self.outgoing.read

    def handshake(self) -> bool:
        """Go as far as possible; False when bytes from the peer are needed first."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, plain: memoryview | bytes) -> bytes:
        """Records that carry `plain`."""
        self._write(plain)
        return self._take()

    def decrypt(self, cipher: memoryview | bytes, plain: memoryview, offset: int) -> int:
        """Write what `cipher` holds into `plain` from `offset` on; returns where it ends. Partial records are kept."""
        incoming, read = self.incoming, self._read
        incoming.write(cipher)
        try:
            while incoming.pending:
                count = read(_RECORD, plain[offset:])
                if not count:
                    self.closed = True
                    break
                offset += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True
        return offset

    def close(self) -> bytes:
        """The bytes that tell the peer that we will send no more."""
        with suppress(ssl.SSLError):  # it wants the peer's own farewell, for which nobody waits
            self._tls.unwrap()
        return self._take()

    def identities(self) -> Iterator[Identity]:
        """The SPIFFE ids in the peer's certificate, in order."""
        certificate = self._tls.getpeercert() or {}
        names = cast("tuple[tuple[str, str], ...]", certificate.get("subjectAltName", ()))
        for kind, value in names:
            if kind == "URI":
                with suppress(ValueError):
                    yield Identity.parse(value)


class ClientTls:
    """The calling side."""

    def __init__(self, credentials: Credentials) -> None:
        self.identity = credentials.identity
        self._context = _context(ssl.PROTOCOL_TLS_CLIENT, credentials)

    def session(self) -> Session:
        """A new connection's TLS."""
        return Session(self._context, server=False)

    def peer(self, session: Session, accepts: frozenset[Identity]) -> Identity:
        """Who the server is, once the handshake is done. Raises PeerRefused unless it is one of `accepts`."""
        shown = list(session.identities())
        for identity in shown:
            if identity in accepts:
                return identity
        wanted = ", ".join(sorted(map(str, accepts))) or "nobody"
        found = ", ".join(map(str, shown)) or "no SPIFFE id"
        raise PeerRefused(Reason.WRONG_IDENTITY, f"the peer's certificate names {found}; expected {wanted}")


class ServerTls:
    """The called side: a client without a certificate does not get in."""

    def __init__(self, credentials: Credentials) -> None:
        self.identity = credentials.identity
        self._context = _context(ssl.PROTOCOL_TLS_SERVER, credentials)
        self._context.num_tickets = 0

    def session(self) -> Session:
        """A new connection's TLS."""
        return Session(self._context, server=True)

    def peer(self, session: Session) -> Identity:
        """Who the client is, once the handshake is done. Raises PeerRefused unless it is of our trust domain."""
        identity = next(session.identities(), None)
        if identity is None:
            raise PeerRefused(Reason.WRONG_IDENTITY, "the peer's certificate names no SPIFFE id")
        if identity.trust_domain != self.identity.trust_domain:
            ours = self.identity.trust_domain
            raise PeerRefused(Reason.WRONG_TRUST_DOMAIN, f"{identity} is not of our trust domain {ours}")
        return identity


def refusal_of(fault: ssl.SSLError) -> Refusal:
    """A failed handshake in our words."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        reason = Reason.CERTIFICATE_EXPIRED if fault.verify_code == _EXPIRED else Reason.TLS_FAILED
        return Refusal(reason, f"the peer's certificate is not accepted: {fault.verify_message}")
    cause = (fault.reason or str(fault)).replace("_", " ").lower()
    if "did not return a certificate" in cause:
        return Refusal(Reason.NO_CERTIFICATE, "the peer showed no certificate")
    if "certificate expired" in cause:
        return Refusal(Reason.CERTIFICATE_EXPIRED, "the peer says that our certificate has expired")
    return Refusal(Reason.TLS_FAILED, f"TLS failed: {cause}")


def _context(protocol: int, credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=credentials.roots_pem.decode("ascii"))
    with _in_memory(credentials.key_pem + b"\n" + credentials.chain_pem) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path that only this process can read, because ssl loads keys from files only and a key touches no disk."""
    descriptor = os.memfd_create("credentials")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
