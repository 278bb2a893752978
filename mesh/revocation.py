"""Certificates that were taken back: what certificate revocation lists say (RFC 5280, section 5). Pure.

What no list says anything about is good; a list is believed if one of the authorities that we trust has signed it. That
a list is older than it says it should be does not make it void: who was revoked stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mesh.refusal import Reason, Refusal

_LIST: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)

LARGEST: Final = 8 * 1024 * 1024
"""Bytes of PEM that are read at most."""


class RevocationList:
    """What is revoked now, by issuer and serial number."""

    __slots__ = ("_lists", "_revoked")

    def __init__(self) -> None:
        self._lists: tuple[x509.CertificateRevocationList, ...] = ()
        self._revoked: frozenset[tuple[bytes, int]] = frozenset()

    def replace(self, lists: Iterable[x509.CertificateRevocationList], authorities_pem: bytes) -> int:
        """These lists are in force from now on; returns how many were not, for no authority of ours signed them.

        Raises ValueError if the authorities cannot be read.
        """
        authorities = x509.load_pem_x509_certificates(authorities_pem)
        self._lists = tuple(lists)
        believed = [one for one in self._lists if any(_signed(one, authority) for authority in authorities)]
        self._revoked = frozenset((one.issuer.public_bytes(), entry.serial_number) for one in believed for entry in one)
        return len(self._lists) - len(believed)

    def refusal(self, chain: Sequence[x509.Certificate]) -> Refusal | None:
        """Why a peer with this chain is not to be talked to; None if nothing of it is revoked."""
        if not self._revoked:
            return None
        for certificate in chain:
            if (certificate.issuer.public_bytes(), certificate.serial_number) in self._revoked:
                detail = f"certificate {certificate.serial_number:x} of the peer's chain was revoked by its issuer"
                return Refusal(Reason.CERTIFICATE_REVOKED, detail)
        return None


def read(pem: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists in a PEM text; none in an empty one. Raises ValueError for one that is damaged, or no list at all."""
    if len(pem) > LARGEST:
        raise ValueError(f"{len(pem)} bytes of lists are more than the {LARGEST} that are read")
    texts = _LIST.findall(pem)
    if pem.strip() and not texts:
        raise ValueError("there is no X509 CRL in it")
    lists = tuple(x509.load_pem_x509_crl(text) for text in texts)
    for one in lists:
        for _entry in one:  # each is read here, so that nobody stumbles over one later
            pass
    return lists


def _signed(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    known = isinstance(
        key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    )
    return known and one.issuer == authority.subject and one.is_signature_valid(key)  # type: ignore[arg-type]
