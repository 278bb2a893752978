"""Mutual TLS between workloads: TLS 1.3, HTTP/2 by ALPN, identities by SPIFFE id (SPIFFE X509-SVID, section 5).

Host names play no part: a client sends none and accepts a set of identities; a server accepts its own trust domain.
OpenSSL, that of the `cryptography` library, shakes hands; the records behind the handshake are `records.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509

from mesh.identity import Identity
from mesh.net.records import Records
from mesh.net.traffickeys import SUITES, TrafficKeys
from mesh.refusal import Reason, Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from OpenSSL.crypto import X509Store

    from mesh.revocation import RevocationList

_ALPN: Final = b"h2"
_FLIGHT: Final = 16_384
_HEAD: Final = 5
_LONGEST_RECORD: Final = _HEAD + 16_384 + 256
_VERSION: Final = b"\x03"
"""The second byte of whatever is TLS."""
_LABELS: Final = (b"CLIENT_TRAFFIC_SECRET_0", b"SERVER_TRAFFIC_SECRET_0")
_EXPIRED: Final = 10
_VERDICTS: Final = {
    3: "unable to get certificate CRL",
    7: "certificate signature failure",
    9: "certificate is not yet valid",
    _EXPIRED: "certificate has expired",
    12: "CRL has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    23: "certificate revoked",
    26: "unsuitable certificate purpose",
}
"""What OpenSSL's verification finds, by X509_V_ERR_*, in its own words."""


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


class HandshakeFault(Exception):
    """A handshake failed; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(slots=True)
class _Story:
    """What OpenSSL tells of one handshake while it goes on."""

    secrets: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    verdict: int = 0


class Session:
    """One handshake, between what comes from the peer and what goes to it; and the records that follow."""

    def __init__(self, context: SSL.Context, *, server: bool) -> None:
        self._server = server
        self._unread = b""
        self._story = _Story()
        self._tls = SSL.Connection(context)
        self._tls.set_app_data(self._story)
        if server:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()

    def receive(self, data: bytes) -> None:
        """Take what the peer said."""
        self._unread += data

    def output(self) -> bytes:
        """What is to be sent to the peer; after a fault, too."""
        said = b""
        with suppress(SSL.WantReadError):
            while True:
                said += self._tls.bio_read(_FLIGHT)
        return said

    def handshake(self) -> bool:
        """Go as far as possible; False when bytes from the peer are needed first. Raises HandshakeFault.

        OpenSSL gets whole records, one by one, so that it reads none of those that follow the handshake.
        """
        try:
            while not self._step():
                record = self._record()
                if not record:
                    return False
                self._tls.bio_write(record)
        except SSL.Error as fault:
            raise HandshakeFault(_refusal(fault, self._story.verdict)) from fault
        if self._server:
            self.output()  # OpenSSL offers tickets whatever it is told; nobody shall resume, so nobody gets one
        return True

    def records(self) -> Records:
        """What follows a handshake that is done. To be called once."""
        suite = SUITES[self._tls.get_cipher_name() or ""]
        client, server = (TrafficKeys(suite, self._story.secrets.pop(label)) for label in _LABELS)
        ours, theirs = (server, client) if self._server else (client, server)
        return Records(ours, theirs, self._unread, client=not self._server)

    def identities(self) -> Iterator[Identity]:
        """The SPIFFE ids in the peer's certificate, in order."""
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            return
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
            with suppress(ValueError):
                yield Identity.parse(uri)

    def chain(self) -> tuple[x509.Certificate, ...]:
        """The peer's certificate and those between it and a root of ours, as verified."""
        return tuple(self._tls.get_verified_chain(as_cryptography=True) or ())

    def _step(self) -> bool:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def _record(self) -> bytes:
        """The next record, if all of it has come; what cannot be one goes to OpenSSL as it is, to be judged."""
        unread = self._unread
        size = _HEAD + int.from_bytes(unread[3:_HEAD])
        if size > _LONGEST_RECORD or unread[1:2] not in {b"", _VERSION}:
            size = len(unread)
        elif len(unread) < size:
            return b""
        self._unread = unread[size:]
        return unread[:size]


class ClientTls:
    """The calling side."""

    def __init__(self, credentials: Credentials, revoked: RevocationList | None = None) -> None:
        self.identity = credentials.identity
        self._revoked = revoked
        self._context = _context(credentials)
        self._context.set_alpn_protos([_ALPN])

    def session(self) -> Session:
        """A new connection's TLS."""
        return Session(self._context, server=False)

    def peer(self, session: Session, accepts: frozenset[Identity]) -> Identity:
        """Who the server is, once the handshake is done. Raises PeerRefused unless it is one of `accepts`."""
        _check(session, self._revoked)
        shown = list(session.identities())
        for identity in shown:
            if identity in accepts:
                return identity
        wanted = ", ".join(sorted(map(str, accepts))) or "nobody"
        found = ", ".join(map(str, shown)) or "no SPIFFE id"
        raise PeerRefused(Reason.WRONG_IDENTITY, f"the peer's certificate names {found}; expected {wanted}")


class ServerTls:
    """The called side: a client without a certificate does not get in."""

    def __init__(self, credentials: Credentials, revoked: RevocationList | None = None) -> None:
        self.identity = credentials.identity
        self._revoked = revoked
        self._context = _context(credentials)
        self._context.set_alpn_select_callback(_choose_protocol)

    def session(self) -> Session:
        """A new connection's TLS."""
        return Session(self._context, server=True)

    def peer(self, session: Session) -> Identity:
        """Who the client is, once the handshake is done. Raises PeerRefused unless it is of our trust domain."""
        _check(session, self._revoked)
        identity = next(session.identities(), None)
        if identity is None:
            raise PeerRefused(Reason.WRONG_IDENTITY, "the peer's certificate names no SPIFFE id")
        if identity.trust_domain != self.identity.trust_domain:
            ours = self.identity.trust_domain
            raise PeerRefused(Reason.WRONG_TRUST_DOMAIN, f"{identity} is not of our trust domain {ours}")
        return identity


def _check(session: Session, revoked: RevocationList | None) -> None:
    refusal = revoked.refusal(session.chain()) if revoked is not None else None
    if refusal is not None:
        raise PeerRefused(refusal.reason, refusal.detail)


def _refusal(fault: SSL.Error, verdict: int) -> Refusal:
    """A failed handshake in our words."""
    if verdict:
        reason = Reason.CERTIFICATE_EXPIRED if verdict == _EXPIRED else Reason.TLS_FAILED
        found = _VERDICTS.get(verdict, f"verification error {verdict}")
        return Refusal(reason, f"the peer's certificate is not accepted: {found}")
    told = fault.args[0] if fault.args else ""
    cause = (", ".join(reason for _, _, reason in told) if isinstance(told, list) else str(fault)).lower()
    if "did not return a certificate" in cause:
        return Refusal(Reason.NO_CERTIFICATE, "the peer showed no certificate")
    if "certificate expired" in cause:
        return Refusal(Reason.CERTIFICATE_EXPIRED, "the peer says that our certificate has expired")
    return Refusal(Reason.TLS_FAILED, f"TLS failed: {cause or 'the peer ended it'}")


def _context(credentials: Credentials) -> SSL.Context:
    """Raises ValueError for credentials that are of no use."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(":".join(SUITES).encode())
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _note_verdict)
    context.set_keylog_callback(_note_secret)
    try:
        leaf, *others = x509.load_pem_x509_certificates(credentials.chain_pem)
        context.use_certificate(leaf)
        for certificate in others:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(cast("ec.EllipticCurvePrivateKey", load_pem_private_key(credentials.key_pem, None)))
        roots = cast("X509Store", context.get_cert_store())
        for root in x509.load_pem_x509_certificates(credentials.roots_pem):
            roots.add_cert(X509.from_cryptography(root))
    except SSL.Error as fault:
        raise ValueError(f"the certificate and its key do not fit: {fault}") from fault
    return context


def _choose_protocol(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
    return _ALPN if _ALPN in offered else cast("bytes", SSL.NO_OVERLAPPING_PROTOCOLS)


def _note_verdict(connection: SSL.Connection, _certificate: X509, verdict: int, _depth: int, accepted: int) -> bool:
    if not accepted:
        connection.get_app_data().verdict = verdict
    return bool(accepted)


def _note_secret(connection: SSL.Connection, line: bytes) -> None:
    """Take a line of the key log (draft-ietf-tls-keylogfile), in which OpenSSL tells secrets; it goes no further."""
    label, _client_random, secret = line.split()
    if label in _LABELS:
        connection.get_app_data().secrets[label] = bytes.fromhex(secret.decode("ascii"))
