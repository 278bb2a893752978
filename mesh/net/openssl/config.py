"""Which cipher suites OpenSSL prefers in this process."""

from __future__ import annotations

import os
from pathlib import Path


def prefer_cheap_suites() -> None:
    """Have TLS 1.3 prefer AES-128; to be called before OpenSSL is loaded. An operator's own OPENSSL_CONF stands."""
    os.environ.setdefault("OPENSSL_CONF", str(Path(__file__).with_name("openssl.cnf")))
