"""Who a workload is: a SPIFFE id of the form Kubernetes meshes use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
_URI: Final = re.compile(r"spiffe://([^/]+)/ns/([^/]+)/sa/([^/]+)")

LONGEST_URI: Final = 2048
"""Bytes; the SPIFFE ID standard, section 2.3, lets no id be longer."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """`spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, the subject of a workload certificate."""

    trust_domain: str
    namespace: str
    service_account: str

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, uri: str) -> Identity:
        """Read a SPIFFE URI; anything that is not exactly of our form raises ValueError with the reason."""
        if len(uri) > LONGEST_URI:
            raise ValueError(f"a SPIFFE id is at most {LONGEST_URI} characters long, this one has {len(uri)}")
        found = _URI.fullmatch(uri)
        if found is None:
            raise ValueError(f"not a workload's SPIFFE id (spiffe://<domain>/ns/<ns>/sa/<account>): {uri!r}")
        for part in found.groups():
            if _SEGMENT.fullmatch(part) is None or part in {".", ".."}:
                raise ValueError(f"{part!r} may not stand in a SPIFFE id: {uri!r}")
        trust_domain, namespace, service_account = found.groups()
        return cls(trust_domain.lower(), namespace, service_account)

    @property
    def principal(self) -> str:
        """The form that policies compare: the URI without its scheme."""
        return f"{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    def __str__(self) -> str:
        return f"spiffe://{self.principal}"
