"""Gateways and their classes: in an ambient mesh a Gateway of class istio-waypoint asks for a waypoint.

The rules are those of the Gateway API CRDs (standard channel), with the defaults that an API server would apply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_NAME, GROUP, HOSTNAME, KIND, NAME, Shape
from istiod_lite.facts.metadata import Metadata, read_metadata
from istiod_lite.facts.selector import Selector, read_selector

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object

_PROTOCOL: Final = Shape(
    re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?|[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]+"),
    255,
    "a protocol such as HTTP or HBONE",
)
_CONTROLLER: Final = Shape(
    re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"),
    253,
    "a controller name such as istio.io/mesh-controller",
)
_ADDRESS_TYPE: Final = Shape(
    re.compile(r"Hostname|IPAddress|NamedAddress|[a-z0-9.-]+/\S+"), 253, "Hostname, IPAddress or domain/type"
)
_META_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener, and which namespaces may use it: Same, All, or those that the selector selects."""

    name: str
    port: int
    protocol: str
    hostname: str
    allowed_from: str
    allowed_selector: Selector


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway.networking.k8s.io Gateway, with what its infrastructure is to be labelled."""

    meta: Metadata
    gateway_class: str
    listeners: tuple[Listener, ...]
    addresses: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    parameters: str
    """The object that infrastructure.parametersRef names, as Kind/name; "" if none."""


@dataclass(frozen=True, slots=True)
class GatewayClass:
    """A gateway.networking.k8s.io GatewayClass."""

    meta: Metadata
    controller: str


def read_gateway_class(obj: Object, root: Field) -> GatewayClass:
    """Read a GatewayClass."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("controllerName", "description", "parametersRef")
    spec["controllerName"].required()
    return GatewayClass(read_metadata(obj, root), spec["controllerName"].text(shape=_CONTROLLER))


def read_gateway(obj: Object, root: Field) -> Gateway:
    """Read a Gateway."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    spec = root["spec"].knows("gatewayClassName", "listeners", "addresses", "infrastructure", "allowedListeners", "tls")
    spec["gatewayClassName"].required()
    if spec["listeners"].required() and spec["listeners"].value == []:
        spec["listeners"].fault("there are no listeners", "a waypoint has one: mesh, port 15008, protocol HBONE")
    listeners = spec["listeners"].each(64)
    read = tuple(_read_listener(one) for one in listeners)
    spec.differ(listeners, lambda one: one["name"].value, "listener name")
    spec.differ(
        listeners,
        lambda one: (one["port"].value, one["protocol"].value, one["hostname"].value),
        "combination of port, protocol and hostname",
    )
    infrastructure = spec["infrastructure"].knows("annotations", "labels", "parametersRef")
    parameters = infrastructure["parametersRef"].knows("group", "kind", "name")
    return Gateway(
        meta=read_metadata(obj, root),
        gateway_class=spec["gatewayClassName"].text(shape=NAME),
        listeners=read,
        addresses=_read_addresses(spec["addresses"]),
        labels=_keys(infrastructure["labels"], 8),
        annotations=_keys(infrastructure["annotations"], 16),
        parameters=f"{parameters['kind'].text(shape=KIND)}/{parameters['name'].text()}" if parameters.given else "",
    )


def _read_listener(at: Field) -> Listener:
    at.knows("allowedRoutes", "hostname", "name", "port", "protocol", "tls")
    for name in ("name", "port", "protocol"):
        at[name].required()
    protocol, hostname, tls = at["protocol"].text(shape=_PROTOCOL), at["hostname"].text(shape=HOSTNAME), at["tls"]
    if hostname and protocol in {"TCP", "UDP"}:
        at["hostname"].fault(f"a {protocol} listener has no host name", "take it away")
    _check_tls(tls, protocol)
    allowed = at["allowedRoutes"].knows("kinds", "namespaces")
    for kind in allowed["kinds"].each(8):
        kind.knows("group", "kind")["kind"].text(shape=KIND)
        kind["group"].text(shape=GROUP)
    namespaces = allowed["namespaces"].knows("from", "selector")
    return Listener(
        name=at["name"].text(shape=DNS_NAME),
        port=at["port"].port(),
        protocol=protocol,
        hostname=hostname,
        allowed_from=namespaces["from"].choice(("All", "Selector", "Same"), "Same"),
        allowed_selector=read_selector(namespaces["selector"]),
    )


def _check_tls(tls: Field, protocol: str) -> None:
    tls.knows("certificateRefs", "mode", "options")
    mode = tls["mode"].choice(("Terminate", "Passthrough"), "Terminate")
    if tls.given and protocol in {"HTTP", "TCP", "UDP"}:
        tls.fault(f"a {protocol} listener has no tls", "take it away or choose HTTPS or TLS")
    if tls.given and protocol == "HTTPS" and mode != "Terminate":
        tls["mode"].fault("HTTPS is terminated", "write Terminate")
    if protocol == "TLS" and not tls["mode"].given:
        tls["mode"].fault("a TLS listener needs a mode", "write Terminate or Passthrough")
    if tls.given and mode == "Terminate" and not tls["certificateRefs"].value and not tls["options"].value:
        tls["certificateRefs"].fault("nothing to terminate TLS with", "name a Secret")


def _read_addresses(at: Field) -> tuple[str, ...]:
    entries = at.each(16)
    for one in entries:
        one.knows("type", "value")
        kind, value = one["type"].text("IPAddress", _ADDRESS_TYPE), one["value"].text(shape=NAME)
        if kind == "Hostname":
            one["value"].text(shape=HOSTNAME)
        elif kind == "IPAddress" and value and not _is_ip(value):
            one["value"].fault(f"{value!r} is not an IP address", "write it like 10.96.0.7 or fd00::7")
    given = [one for one in entries if one["value"].given]
    at.differ(given, lambda one: (one["type"].value or "IPAddress", one["value"].value), "address")
    return tuple(one["value"].text(shape=NAME) for one in entries)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _keys(at: Field, most: int) -> tuple[tuple[str, str], ...]:
    entries = at.mapping()
    if len(entries) > most:
        at.fault(f"there are {len(entries)} entries", f"at most {most}")
    for key in entries:
        if not _META_KEY.fullmatch(key):
            at.fault(f"{key!r} is not a label or annotation key", "write name or domain/name")
    return tuple(sorted(entries.items()))
