"""Keys, requests and certificates of workloads: X.509 with a SPIFFE id, as the SPIFFE X509-SVID standard wants them.

Nothing here reads a clock: `now` is always handed in, with a time zone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.identity import Identity
from mesh.refusal import Reason, Refusal

PrivateKey = ec.EllipticCurvePrivateKey
Certificate = x509.Certificate

DEFAULT_TTL: Final = timedelta(hours=24)
LONGEST_TTL: Final = timedelta(days=90)
ROOT_TTL: Final = timedelta(days=3650)
CLOCK_SKEW: Final = timedelta(minutes=2)
"""How far a certificate's validity reaches back, for peers whose clocks are behind."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What an authority answers, PEM: the leaf with its intermediates, and the roots to trust."""

    certificates: bytes
    roots: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """A root that signs. The key is never printed."""

    key: PrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        """The root certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def new_key() -> PrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS #8: for memory and for files that only their owner reads."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def csr(key: PrivateKey, identity: Identity) -> bytes:
    """A request, PEM, for a certificate of `identity`: empty subject, the SPIFFE id as the one critical SAN."""
    request = x509.CertificateSigningRequestBuilder(subject_name=x509.Name([])).add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(identity))]), critical=True
    )
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def new_authority(trust_domain: str, now: datetime) -> Authority:
    """A new self-signed root for a trust domain, good for ten years."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain)])
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + ROOT_TTL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(key, builder.sign(key, hashes.SHA256()))


def load_authority(key: bytes, certificate: bytes) -> Authority:
    """The authority behind these two PEM texts; ValueError if they are damaged or do not belong together."""
    loaded = serialization.load_pem_private_key(key, password=None)
    root = x509.load_pem_x509_certificate(certificate)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic curve key")  # noqa: TRY004
    if loaded.public_key() != root.public_key():
        raise ValueError("the authority's key does not belong to its certificate")
    return Authority(loaded, root)


def issue(
    authority: Authority, request_pem: bytes, identity: Identity, ttl: timedelta, now: datetime
) -> Chain | Refusal:
    """Sign a workload's request for `identity`, which the caller has proven to be entitled to.

    `ttl` of zero asks for the default. The certificate never outlives its root. Refused are requests that are damaged,
    ask for another identity, bring a weak key or want to last longer than LONGEST_TTL.
    """
    request = _request(request_pem)
    if isinstance(request, Refusal):
        return request
    asked = _uris(request.extensions)
    if asked not in ([], [str(identity)]):
        return _refused(f"the request asks for {', '.join(asked)} while the caller may have {identity}")
    if ttl < timedelta(0) or ttl > LONGEST_TTL:
        return _refused(f"a validity of {ttl} was asked for; at most {LONGEST_TTL} is given")
    leaf = (
        _leaf(authority, request.public_key(), now, ttl or DEFAULT_TTL)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(identity))]), critical=True)
        .sign(authority.key, hashes.SHA256())
    )
    return Chain(leaf.public_bytes(serialization.Encoding.PEM), authority.certificate_pem)


def issue_server(authority: Authority, key: PrivateKey, names: tuple[str, ...], now: datetime) -> bytes:
    """A certificate, PEM, for a server that is known by DNS names: the control plane itself."""
    sans = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    leaf = _leaf(authority, key.public_key(), now, LONGEST_TTL).add_extension(sans, critical=True)
    return leaf.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def leaf_of(chain_pem: bytes) -> x509.Certificate:
    """The first certificate of a chain; ValueError if there is none."""
    return x509.load_pem_x509_certificate(chain_pem)


def identity_of(certificate: x509.Certificate) -> Identity | None:
    """The first SPIFFE id of our form among the URI SANs, or None."""
    for uri in _uris(certificate.extensions):
        try:
            return Identity.parse(uri)
        except ValueError:
            continue
    return None


def renew_at(certificate: x509.Certificate) -> datetime:
    """When to ask for the next one: half-way through its validity."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) / 2


def _leaf(
    authority: Authority, key: CertificatePublicKeyTypes, now: datetime, ttl: timedelta
) -> x509.CertificateBuilder:
    root = authority.certificate
    return (
        x509.CertificateBuilder(issuer_name=root.subject, subject_name=x509.Name([]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(min(now + ttl, root.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Leaves need digitalSignature (Envoy refuses them without) and nothing that signs certificates."""
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _request(pem: bytes) -> x509.CertificateSigningRequest | Refusal:
    try:
        request = x509.load_pem_x509_csr(pem)
        if not request.is_signature_valid:
            return _refused("the signature of the certificate request is wrong")
        key = request.public_key()
        request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        pass
    except (ValueError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension) as fault:
        return _refused(f"the certificate request cannot be read: {fault}")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in {"secp256r1", "secp384r1"}:
        return request
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return request
    return _refused("the request's key is neither P-256, P-384 nor RSA of 2048 bits or more")


def _uris(extensions: x509.Extensions) -> list[str]:
    try:
        sans = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sans.get_values_for_type(x509.UniformResourceIdentifier)


def _refused(detail: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, detail)
