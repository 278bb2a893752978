from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mesh import pki
from mesh.identity import Identity
from mesh.refusal import Refusal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WEB = Identity("cluster.local", "shop", "web")
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def root() -> pki.Authority:
    return pki.new_authority("cluster.local", NOW)


def issued(root: pki.Authority, csr: bytes, **changes: object) -> pki.Chain | Refusal:
    return pki.issue(root, csr, **{"identity": WEB, "ttl": HOUR, "now": NOW, **changes})


def leaf(chain: pki.Chain | Refusal) -> x509.Certificate:
    assert isinstance(chain, pki.Chain), chain
    return pki.leaf_of(chain.certificates)


def test_a_request_names_nothing_but_the_identity() -> None:
    key = pki.new_key()
    request = x509.load_pem_x509_csr(pki.csr(key, WEB))
    assert isinstance(key.curve, ec.SECP256R1)
    assert request.is_signature_valid
    assert not list(request.subject)
    (extension,) = request.extensions
    assert extension.critical
    assert [one.value for one in extension.value] == [str(WEB)]


def test_a_certificate_is_for_the_key_and_identity_of_its_request(root: pki.Authority) -> None:
    key = pki.new_key()
    found = leaf(issued(root, pki.csr(key, WEB)))
    assert found.public_key() == key.public_key()
    assert pki.identity_of(found) == WEB
    found.verify_directly_issued_by(root.certificate)


def test_validity_reaches_back_a_little_and_is_renewed_half_way(root: pki.Authority) -> None:
    found = leaf(issued(root, pki.csr(pki.new_key(), WEB)))
    assert found.not_valid_before_utc == NOW - timedelta(minutes=2)
    assert found.not_valid_after_utc == NOW + HOUR
    assert pki.renew_at(found) == NOW + timedelta(minutes=29)


def test_who_asks_for_no_validity_gets_a_day(root: pki.Authority) -> None:
    assert leaf(issued(root, pki.csr(pki.new_key(), WEB), ttl=timedelta())).not_valid_after_utc == NOW + timedelta(
        days=1
    )


def test_no_certificate_outlives_its_root(root: pki.Authority) -> None:
    late = root.certificate.not_valid_after_utc - timedelta(minutes=10)
    assert leaf(issued(root, pki.csr(pki.new_key(), WEB), now=late)).not_valid_after_utc == (
        root.certificate.not_valid_after_utc
    )


def signed_by(key: object, *uris: str) -> bytes:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    builder = x509.CertificateSigningRequestBuilder(subject_name=x509.Name([]))
    if uris:
        builder = builder.add_extension(names, critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("csr", "complaint"),
    [
        (b"", "cannot be read"),
        (signed_by(pki.new_key(), "spiffe://cluster.local/ns/shop/sa/admin"), "asks for spiffe://"),
        (signed_by(pki.new_key(), str(WEB), "https://else.example"), "asks for spiffe://"),
        (signed_by(ed25519.Ed25519PrivateKey.generate(), str(WEB)), "neither P-256"),
        (signed_by(ec.generate_private_key(ec.SECP256K1()), str(WEB)), "neither P-256"),
        (signed_by(rsa.generate_private_key(65537, 1024), str(WEB)), "neither P-256"),
    ],
)
def test_an_improper_request_is_refused_with_the_reason(root: pki.Authority, csr: bytes, complaint: str) -> None:
    refusal = issued(root, csr)
    assert isinstance(refusal, Refusal)
    assert complaint in refusal.detail


def test_a_request_whose_signature_is_wrong_is_refused(root: pki.Authority) -> None:
    der = bytearray(x509.load_pem_x509_csr(pki.csr(pki.new_key(), WEB)).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    damaged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    refusal = issued(root, damaged)
    assert isinstance(refusal, Refusal)


def test_a_request_that_names_nobody_gets_the_callers_identity(root: pki.Authority) -> None:
    assert pki.identity_of(leaf(issued(root, signed_by(pki.new_key())))) == WEB


def test_more_than_ninety_days_are_refused(root: pki.Authority) -> None:
    assert isinstance(issued(root, pki.csr(pki.new_key(), WEB), ttl=timedelta(days=90, seconds=1)), Refusal)


def test_a_root_is_found_again_only_with_its_own_key(root: pki.Authority) -> None:
    again = pki.load_authority(pki.key_pem(root.key), root.certificate_pem)
    assert again.certificate == root.certificate
    with pytest.raises(ValueError, match="does not belong"):
        pki.load_authority(pki.key_pem(pki.new_key()), root.certificate_pem)


def test_a_key_is_never_printed(root: pki.Authority) -> None:
    assert "key=" not in repr(root)


def test_a_certificate_without_spiffe_id_has_no_identity(root: pki.Authority) -> None:
    server = pki.issue_server(root, pki.new_key(), ("istiod.istio-system.svc",), NOW)
    assert pki.identity_of(pki.leaf_of(server)) is None
