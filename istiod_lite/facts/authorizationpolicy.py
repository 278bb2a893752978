"""AuthorizationPolicies, by the rules of Istio's API (security.istio.io, Authorization Policy).

Sources, operations and conditions are read into one form, attributes, because a condition on `source.ip` says the
same as the `ipBlocks` of a source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_LABEL, GROUP, KIND, NAME, SOME_TEXT
from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_SOURCE: Final = {
    "principals": "principals", "requestPrincipals": "requestPrincipals", "namespaces": "namespaces",
    "ipBlocks": "sourceIps", "remoteIpBlocks": "remoteIps", "serviceAccounts": "serviceAccounts",
}  # fmt: skip
_OPERATION: Final = {"hosts": "hosts", "ports": "ports", "methods": "methods", "paths": "paths"}
_CONDITION: Final = {
    "source.ip": "sourceIps", "source.namespace": "namespaces", "source.principal": "principals",
    "source.serviceAccount": "serviceAccounts", "destination.ip": "destinationIps", "destination.port": "ports",
    "remote.ip": "remoteIps", "request.auth.principal": "requestPrincipals", "request.auth.audiences": "claims",
    "request.auth.presenter": "claims",
}  # fmt: skip
_HEADER: Final = re.compile(r"request\.headers\[([A-Za-z0-9!#$%&'*+\-.^_\x60|~]{1,256})\]")
_CLAIM: Final = re.compile(r"request\.auth\.claims((?:\[[^\[\]]{1,256}\]){1,8})")
_CLAIMS: Final = {"request.auth.audiences": "[aud]", "request.auth.presenter": "[azp]"}
_TEMPLATE: Final = re.compile(r"[^{}*]*(\{\*\}[^{}*]*)*(\{\*\*\}[^{}*]*)?")
_OTHER_CONDITIONS: Final = ("connection.sni", "experimental.")
_IPS: Final = frozenset({"sourceIps", "remoteIps", "destinationIps"})
_ACCOUNT: Final = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_REFERENCED: Final = ("Gateway", "GatewayClass", "Service", "ServiceEntry")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One condition on a call: the attribute has one of the values, or, if negative, has none of them."""

    name: str
    values: tuple[str, ...]
    negative: bool = False
    key: str = ""
    """Which one, where there are many of the name: the header's name in lower case, or the claim as `[a][b]`."""

    @property
    def written(self) -> str:
        """How the author would call it."""
        if self.name == "headers":
            return f"request.headers[{self.key}]"
        if self.name == "claims":
            return f"request.auth.claims{self.key}"
        return f"not{self.name[0].upper()}{self.name[1:]}" if self.negative else self.name

    @property
    def claim(self) -> tuple[str, ...]:
        """The path to the claim that it is about."""
        return tuple(self.key[1:-1].split("]["))


Term = tuple[Attribute, ...]
"""Conditions that must all hold: one source, one operation or one condition."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Any of the sources, any of the operations, and every condition; an empty list is no condition."""

    sources: tuple[Term, ...] = ()
    operations: tuple[Term, ...] = ()
    conditions: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetRef:
    """What a policy is attached to, for waypoints to enforce."""

    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class AuthorizationPolicy:
    """A security.istio.io AuthorizationPolicy; `selector` is None where it has none."""

    meta: Metadata
    action: str
    selector: tuple[tuple[str, str], ...] | None
    targets: tuple[TargetRef, ...]
    rules: tuple[PolicyRule, ...]
    dry_run: bool
    provider: str = ""
    """Whom a CUSTOM policy wants asked, by the name that the mesh's configuration has for it."""
    fault: str = ""
    """Why the object could not be read, if this is what stands in for it."""


def read_authorization_policy(obj: Object, root: Field) -> AuthorizationPolicy:
    """Read an AuthorizationPolicy. An ALLOW policy without rules allows nothing; one with an empty rule, everything."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    meta, spec = read_metadata(obj, root), root["spec"]
    spec.knows("action", "provider", "rules", "selector", "targetRef", "targetRefs")
    targets = read_targets(spec, obj.namespace)
    if targets and spec["selector"].given:
        spec["selector"].fault("a policy has a selector or targetRefs, not both", "take one of them away")
    action = spec["action"].choice(("ALLOW", "DENY", "AUDIT", "CUSTOM"), "ALLOW")
    spec["provider"].knows("name")
    if spec["provider"].given and action != "CUSTOM":
        spec["provider"].fault("only a CUSTOM policy has a provider", "take it away")
    return AuthorizationPolicy(
        meta=meta,
        action=action,
        selector=read_workload_selector(spec["selector"]),
        targets=targets,
        rules=tuple(_read_rule(one) for one in spec["rules"].each(512)),
        dry_run=meta.annotations.get("istio.io/dry-run") == "true",
        provider=spec["provider"]["name"].text(),
    )


def read_workload_selector(at: Field) -> tuple[tuple[str, str], ...] | None:
    """Read Istio's WorkloadSelector: plain labels; one without labels selects as if there were none."""
    labels = at.knows("matchLabels")["matchLabels"].mapping()
    return tuple(sorted(labels.items())) or None


def read_targets(spec: Field, namespace: str) -> tuple[TargetRef, ...]:
    """Read `targetRefs`, and `targetRef` that they replaced."""
    references = [spec["targetRef"]] if spec["targetRef"].given else []
    references += spec["targetRefs"].each(16)
    return tuple(_read_target(one, namespace) for one in references)


def _read_target(at: Field, namespace: str) -> TargetRef:
    at.knows("group", "kind", "name", "namespace")
    for name in ("kind", "name"):
        at[name].required()
    kind = at["kind"].text(shape=KIND)
    if kind and kind not in _REFERENCED:
        at["kind"].fault(f"a policy cannot be attached to a {kind}", "one of " + ", ".join(_REFERENCED))
    if at["namespace"].text(namespace, DNS_LABEL) != namespace:
        at["namespace"].fault("a policy is attached to objects of its own namespace", "move the policy there")
    group = at["group"].text(shape=GROUP)
    return TargetRef("" if group == "core" else group, kind, namespace, at["name"].text(shape=NAME))


def _read_rule(at: Field) -> PolicyRule:
    at.knows("from", "to", "when")
    for name in ("from", "to", "when"):
        if at[name].value == []:
            at[name].fault("the list is empty", "add an entry or take the field away")
    return PolicyRule(
        sources=tuple(_read_term(one.knows("source")["source"], _SOURCE) for one in at["from"].each(512)),
        operations=tuple(_read_term(one.knows("operation")["operation"], _OPERATION) for one in at["to"].each(512)),
        conditions=tuple(_read_condition(one) for one in at["when"].each(512)),
    )


def _read_term(at: Field, attributes: dict[str, str]) -> Term:
    negative = {f"not{name[0].upper()}{name[1:]}": name for name in attributes}
    at.knows(*attributes, *negative)
    if not at.required():
        return ()
    term = tuple(
        _read_attribute(at[field], attributes[name], negative=field != name)
        for field, name in [*((name, name) for name in attributes), *negative.items()]
        if at[field].given
    )
    if not any(one.values for one in term):
        at.fault("it says nothing", "name at least one attribute with a value")
    names = {one.name for one in term if not one.negative}
    if "serviceAccounts" in names and names & {"principals", "namespaces"}:
        at["serviceAccounts"].fault("a service account already has its namespace", "take principals or namespaces away")
    return tuple(one for one in term if one.values)


def _read_condition(at: Field) -> Term:
    at.knows("key", "notValues", "values")
    key = at["key"].text()
    header, claim = _HEADER.fullmatch(key), _CLAIM.fullmatch(key)
    found = header or claim
    if at["key"].required() and not found and key not in _CONDITION and not key.startswith(_OTHER_CONDITIONS):
        known = ("request.headers[NAME]", "request.auth.claims[NAME]", *_CONDITION)
        at["key"].fault(f"{key!r} is not a condition", "one of " + ", ".join(known))
    name = "headers" if header else "claims" if claim else _CONDITION.get(key, key)
    which = header[1].lower() if header else claim[1] if claim else _CLAIMS.get(key, "")
    term = (
        _read_attribute(at["values"], name, key=which),
        _read_attribute(at["notValues"], name, key=which, negative=True),
    )
    if not any(one.values for one in term):
        at.fault("it has no values", "add values or notValues")
    return tuple(one for one in term if one.values)


def _read_attribute(at: Field, name: str, *, key: str = "", negative: bool = False) -> Attribute:
    values = tuple(value for one in at.each() if (value := _read_value(one, name)))
    return Attribute(name, values, negative, key)


def _read_value(at: Field, name: str) -> str:
    """One value; "" after a fault."""
    value = at.text(shape=SOME_TEXT)
    if not at.required() or not value:
        return ""
    if name in _IPS and not _is_network(value):
        at.fault(f"{value!r} is not an IP address or a CIDR block", "write it like 10.1.0.0/16")
    elif name == "ports" and not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
        at.fault(f"{value!r} is not a port", "a number from 1 to 65535, in quotes")
    elif name == "serviceAccounts" and not _ACCOUNT.fullmatch(value):
        at.fault(f"{value!r} is not a service account", "write name or namespace/name, without wildcards")
    elif name == "paths" and "{" in value and not _TEMPLATE.fullmatch(value):
        at.fault(f"{value!r} is not a template of paths", "{*} is one part, {**} any number and the last of them")
    elif _misuses_wildcards(value) and not (name == "paths" and "{" in value):
        at.fault(f"{value!r} has a wildcard too many", "one '*' may be the first or the last character")
    elif value.startswith("spiffe://") and name == "principals":
        at.fault("principals are written without spiffe://", f"write {value.removeprefix('spiffe://')}")
    else:
        return value
    return ""


def _misuses_wildcards(value: str) -> bool:
    return value != "*" and ("*" in value[1:-1] or (value.startswith("*") and value.endswith("*")))


def _is_network(value: str) -> bool:
    try:
        ip_network(value, strict=False)
    except ValueError:
        return False
    return True
