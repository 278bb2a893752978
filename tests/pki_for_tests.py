"""Certificates for tests, from the mesh's own authority: who one is, and what may be wrong with the papers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mesh import pki
from mesh.identity import Identity
from mesh.net.tls import Credentials

WEB = Identity("cluster.local", "shop", "web")
CART = Identity("cluster.local", "shop", "cart")
STRANGER = Identity("elsewhere.example", "shop", "web")


@cache
def authority(name: str = "cluster.local") -> pki.Authority:
    """One root a name, for the whole run."""
    return pki.new_authority(name, datetime.now(UTC))


def revocations(*certificates: x509.Certificate, by: pki.Authority | None = None) -> bytes:
    """The list, PEM, of an authority that takes these back."""
    signer, now = by or authority(), datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(signer.certificate.subject, now, now + timedelta(days=1))
    for one in certificates:
        revoked = x509.RevokedCertificateBuilder(one.serial_number, now).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def credentials(identity: Identity, *, root: pki.Authority | None = None, expired: bool = False) -> Credentials:
    """Papers for `identity`, signed by `root`; it trusts that root too."""
    root = root or authority()
    key = pki.new_key()
    now = datetime.now(UTC) - (timedelta(days=2) if expired else timedelta())
    chain = pki.issue(root, pki.csr(key, identity), identity, timedelta(hours=1), now)
    assert isinstance(chain, pki.Chain)
    return Credentials(identity, pki.key_pem(key), chain.certificates, chain.roots)
