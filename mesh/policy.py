"""Who may call whom: authorization policies.

The structure is that of `istio.security.Authorization`, with the fields of layer 7 beside it. What policies say of a
call is in `mesh.verdict`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

import re2

Network = IPv4Network | IPv6Network


class Action(Enum):
    """What a match leads to."""

    ALLOW = "allow"
    DENY = "deny"
    AUDIT = "audit"
    """Decides nothing: the access log names the policy beside what it matches. At waypoints only."""
    CUSTOM = "custom"
    """An external authorizer decides, before the others. At waypoints only."""


class Scope(Enum):
    """Which workloads a policy is for."""

    GLOBAL = "global"
    NAMESPACE = "namespace"
    WORKLOAD_SELECTOR = "workload-selector"
    """Those that name it in `Workload.policies`."""
    TARGET = "target"
    """Enforced by waypoints, for what `Policy.targets` names."""


class TextMatchKind(Enum):
    """How a text is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    PRESENCE = "presence"
    TEMPLATE = "template"
    """A path in which `{*}` stands for one part between slashes and `{**}` for any number of them."""


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A condition on one text."""

    kind: TextMatchKind
    value: str = ""

    def holds(self, text: str) -> bool:
        """Whether `text` satisfies the condition; presence means that it is not empty."""
        match self.kind:
            case TextMatchKind.EXACT:
                return text == self.value
            case TextMatchKind.PREFIX:
                return text.startswith(self.value)
            case TextMatchKind.SUFFIX:
                return text.endswith(self.value)
            case TextMatchKind.PRESENCE:
                return bool(text)
            case TextMatchKind.TEMPLATE:
                return _template(self.value).fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account, whatever its trust domain; an empty namespace stands for the policy's own."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """A condition on a header of the request, its name in lower case; one that is missing is an empty text."""

    name: str
    value: TextMatch


@dataclass(frozen=True, slots=True)
class ClaimMatch:
    """A condition on a claim of the request's token, by its path; any of the claim's values may satisfy it."""

    path: tuple[str, ...]
    value: TextMatch


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions on a call that must all hold; one with no condition at all holds for nothing."""

    namespaces: tuple[TextMatch, ...] = ()
    not_namespaces: tuple[TextMatch, ...] = ()
    principals: tuple[TextMatch, ...] = ()
    not_principals: tuple[TextMatch, ...] = ()
    service_accounts: tuple[ServiceAccount, ...] = ()
    not_service_accounts: tuple[ServiceAccount, ...] = ()
    source_ips: tuple[Network, ...] = ()
    not_source_ips: tuple[Network, ...] = ()
    destination_ips: tuple[Network, ...] = ()
    not_destination_ips: tuple[Network, ...] = ()
    destination_ports: tuple[int, ...] = ()
    not_destination_ports: tuple[int, ...] = ()
    methods: tuple[TextMatch, ...] = ()
    not_methods: tuple[TextMatch, ...] = ()
    paths: tuple[TextMatch, ...] = ()
    not_paths: tuple[TextMatch, ...] = ()
    hosts: tuple[TextMatch, ...] = ()
    not_hosts: tuple[TextMatch, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()
    not_headers: tuple[HeaderMatch, ...] = ()
    request_principals: tuple[TextMatch, ...] = ()
    not_request_principals: tuple[TextMatch, ...] = ()
    claims: tuple[ClaimMatch, ...] = ()
    not_claims: tuple[ClaimMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """Alternatives: any match will do; none at all means no condition."""

    matches: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Clauses that must all hold; none at all means that the rule always matches."""

    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Who is asked about what a CUSTOM policy matches: a service that speaks gRPC, envoy.service.auth.v3."""

    service: str
    """Its key, `namespace/hostname`."""
    port: int
    timeout: float = 0.6
    """Seconds."""
    fail_open: bool = False
    """Whether a request goes on where nobody could be asked."""
    status: int = 403
    """How it is answered where it does not."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What a policy is attached to: a Gateway, a Service or a GatewayClass (whose namespace is empty)."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One authorization policy."""

    name: str
    namespace: str
    scope: Scope
    action: Action
    rules: tuple[Rule, ...] = ()
    dry_run: bool = False
    targets: tuple[Target, ...] = ()
    authorizer: Authorizer | None = None
    """For a CUSTOM policy; without one, what it matches is denied."""

    @property
    def key(self) -> str:
        """Its name in a snapshot: `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@lru_cache(maxsize=1024)
def _template(text: str) -> Any:
    """RE2; all but the two placeholders stands for itself, so that no path can be more than its author wrote."""
    parts = re.split(r"(\{\*\*?\})", text)
    return re2.compile("".join(_PLACEHOLDERS.get(part) or re2.escape(part) for part in parts))


_PLACEHOLDERS: Final = {"{*}": "[^/]+", "{**}": ".*"}
