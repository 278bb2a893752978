"""Keys that protect one way of a TLS 1.3 connection: how they follow from its secret, and from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_NONCE: Final = 12


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite's parts; sizes in bytes."""

    aead: type[AESGCM | ChaCha20Poly1305]
    key_size: int
    digest: type[hashes.HashAlgorithm]
    secret_size: int


SUITES: Final = {
    "TLS_AES_128_GCM_SHA256": Suite(AESGCM, 16, hashes.SHA256, 32),
    "TLS_AES_256_GCM_SHA384": Suite(AESGCM, 32, hashes.SHA384, 48),
    "TLS_CHACHA20_POLY1305_SHA256": Suite(ChaCha20Poly1305, 32, hashes.SHA256, 32),
}
"""All that OpenSSL offers unless told otherwise, by their IANA names (RFC 8446, appendix B.4)."""


class TrafficKeys:
    """The AEAD of one way, and the nonce of its next record (RFC 8446, sections 5.3, 7.2 and 7.3)."""

    __slots__ = ("_iv", "_secret", "_suite", "aead", "number")

    def __init__(self, suite: Suite, secret: bytes) -> None:
        self._suite = suite
        self.number = 0
        """Records that this generation has protected."""
        self._use(secret)

    def nonce(self) -> bytes:
        """To be called once for each record, in their order."""
        number = self.number
        self.number = number + 1
        return (self._iv ^ number).to_bytes(_NONCE)

    def update(self) -> None:
        """Go on to the next generation."""
        self._use(self._expand(self._secret, b"traffic upd", self._suite.secret_size))

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self.aead = self._suite.aead(self._expand(secret, b"key", self._suite.key_size))
        self._iv = int.from_bytes(self._expand(secret, b"iv", _NONCE))
        self.number = 0

    def _expand(self, secret: bytes, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label, without context (RFC 8446, section 7.1)."""
        label = b"tls13 " + label
        info = size.to_bytes(2) + len(label).to_bytes(1) + label + b"\0"
        return HKDFExpand(self._suite.digest(), size, info).derive(secret)
