"""The mesh's root on disk: made once, found again after every restart, never made anew by accident."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from mesh import pki

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_CERTIFICATE: Final = "root-cert.pem"


class DamagedState(Exception):
    """The root's files are there but cannot be used; the message names them. A new root would cut off everybody."""


def load_or_create(state: Path, trust_domain: str, now: datetime) -> pki.Authority:
    """The root kept in this folder, which is its owner's alone (0700).

    `root.pem` holds key and certificate (0600), in one file so that there is never one without the other;
    `root-cert.pem` is a copy of the certificate for those who are to trust it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = state / "root.pem"
    if secret.exists():
        authority = _load(secret, now)
    else:
        if (state / _CERTIFICATE).exists():
            raise DamagedState(
                f"{state / _CERTIFICATE} is there without {secret.name}; restore it, or remove the former"
            )
        authority = pki.new_authority(trust_domain, now)
        _write(secret, pki.key_pem(authority.key) + authority.certificate_pem)
    _write(state / _CERTIFICATE, authority.certificate_pem)
    return authority


def _load(secret: Path, now: datetime) -> pki.Authority:
    try:
        pem = secret.read_bytes()
        authority = pki.load_authority(pem, pem)
    except (OSError, ValueError) as fault:
        raise DamagedState(f"the root in {secret} cannot be used: {fault}") from fault
    if authority.certificate.not_valid_after_utc <= now:
        raise DamagedState(f"the root in {secret} has expired; move it away to have a new one made")
    return authority


def _write(path: Path, text: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
