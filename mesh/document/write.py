"""From values to documents."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

from mesh.address import NetworkAddress
from mesh.policy import TextMatch, TextMatchKind
from mesh.route import Cors, HeaderModifier, Mirror, PathMatch, Redirect, RequestHeaders, ResponseHeaders, Rewrite
from mesh.workload import GatewayAddress, NamespacedHostname

FILTER_NAMES: Final[dict[type[Any], str]] = {
    RequestHeaders: "request_headers",
    ResponseHeaders: "response_headers",
    Redirect: "redirect",
    Rewrite: "rewrite",
    Cors: "cors",
    Mirror: "mirror",
}

_TEXTS: Final = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)


def fields_document(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that do not have their default."""
    return {
        each.name: _write(getattr(value, each.name))
        for each in fields(value)
        if each.init and not _is_default(each, getattr(value, each.name))
    }


def _is_default(each: Field[Any], value: object) -> bool:
    return each.default is not MISSING and value == each.default


def _write(value: Any) -> Any:
    form = _FORMS.get(type(value))
    if form is not None:
        return form(value)
    if isinstance(value, tuple):
        return [_write(each) for each in value]
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    return fields_document(value)


def _write_text_match(match: TextMatch) -> dict[str, Any]:
    return {match.kind.value: True if match.kind is TextMatchKind.PRESENCE else match.value}


def _write_gateway(gateway: GatewayAddress) -> dict[str, Any]:
    where = gateway.destination
    if isinstance(where, NamespacedHostname):
        return {"service": where.key, "port": gateway.port}
    return {"address": _write_network_address(where), "port": gateway.port}


def _write_network_address(address: NetworkAddress) -> str:
    return str(address) if address.network else str(address.ip)


def _write_modifier(change: HeaderModifier) -> dict[str, Any]:
    pairs = {
        verb: [{name: value} for name, value in getattr(change, verb)]
        for verb in ("set", "add")
        if getattr(change, verb)
    }
    return {**pairs, "remove": list(change.remove)} if change.remove else pairs


_FORMS: Final[dict[type[Any], Any]] = {
    TextMatch: _write_text_match,
    PathMatch: lambda match: {match.kind.value: match.value},
    NetworkAddress: _write_network_address,
    GatewayAddress: _write_gateway,
    HeaderModifier: _write_modifier,
    RequestHeaders: lambda one: {FILTER_NAMES[RequestHeaders]: _write_modifier(one.change)},
    ResponseHeaders: lambda one: {FILTER_NAMES[ResponseHeaders]: _write_modifier(one.change)},
    Redirect: lambda one: {FILTER_NAMES[Redirect]: fields_document(one)},
    Rewrite: lambda one: {FILTER_NAMES[Rewrite]: fields_document(one)},
    Cors: lambda one: {FILTER_NAMES[Cors]: fields_document(one)},
    Mirror: lambda one: {FILTER_NAMES[Mirror]: fields_document(one)},
}
