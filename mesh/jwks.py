"""The public keys of an issuer: a JWK Set (RFC 7517). Pure.

A set that holds a secret, private or shared, is refused as a whole: whoever publishes it has lost it, and what it
signs proves nothing any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

LONGEST: Final = 256 * 1024
"""Characters of a set; those of big issuers have ten thousand."""
_MOST: Final = 100
_LEAST_RSA_BITS: Final = 2048
_PUBLIC: Final = frozenset({"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"})
_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def public_jwks(text: str) -> str:
    """The set with what verifies signatures and nothing else, equal sets written equally.

    ValueError if it is none, holds a secret or has no key of use.
    """
    keys = [{name: value for name, value in one.as_dict().items() if name in _PUBLIC} for one in _read(text)]
    return json.dumps({"keys": keys}, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=256)
def keys_of(text: str) -> tuple[Key, ...]:
    """The keys of a set, "" being none; ValueError as above."""
    return tuple(_read(text)) if text else ()


def _read(text: str) -> list[Key]:
    if len(text) > LONGEST:
        raise ValueError(f"a JWK Set of {len(text)} characters is too long, at most {LONGEST}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"it is not JSON: {fault}") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if entries is None or not isinstance(entries, list):
        raise ValueError("it is not a JWK Set: the list of keys is missing")
    if len(entries) > _MOST:
        raise ValueError(f"it has {len(entries)} keys, at most {_MOST} are allowed")
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and not _SECRET.isdisjoint(entry):
            raise ValueError(f"keys[{number}] is secret, and so worth nothing here: publish its public half alone")
    keys = [key for entry in entries for key in _usable(entry)]
    if not keys:
        raise ValueError("it has no key that verifies signatures: RSA from 2048 bits, EC or Ed25519")
    return keys


def _usable(entry: object) -> Iterator[Key]:
    """The key; none for what we cannot use, which is to be passed over (RFC 7517, section 5)."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not _well_named(entry):
        return
    try:
        key = JWKRegistry.import_key(entry)
        public: Any = key.public_key if isinstance(key, RSAKey | ECKey | OKPKey) else None
    except (JoseError, ValueError, TypeError, KeyError, OverflowError):
        return
    if public is not None and not (isinstance(key, RSAKey) and public.key_size < _LEAST_RSA_BITS):
        yield key


def _well_named(entry: dict[str, Any]) -> bool:
    return all(isinstance(entry.get(name, ""), str) for name in ("kid", "alg", "kty"))
