"""From documents to values. Every fault is a ValueError that begins with the place of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from mesh.address import NetworkAddress
from mesh.document.write import FILTER_NAMES
from mesh.policy import TextMatch, TextMatchKind
from mesh.route import Filter, HeaderModifier, PathMatch, PathMatchKind, RequestHeaders, ResponseHeaders
from mesh.workload import GatewayAddress, NamespacedHostname

_Read = Callable[[object, str], Any]
_T = TypeVar("_T")
_P = TypeVar("_P")


def read_fields(kind: type[_T], document: object, where: str) -> _T:
    """The dataclass of this kind whose fields the document lists."""
    given = mapping(document, where)
    readers = _readers(cast("Any", kind))
    for name in given:
        if name not in readers:
            raise ValueError(f"{where}: unknown field {name!r}")
    for each in fields(cast("Any", kind)):
        if each.init and each.default is MISSING and each.name not in given:
            raise ValueError(f"{where}: {each.name} is missing")
    return kind(**{name: readers[name](value, f"{where}.{name}") for name, value in given.items()})


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """The value, if it is a mapping."""
    return cast("Mapping[str, Any]", _checked(value, dict, "a mapping", where))


def entries(value: object, where: str) -> list[Any]:
    """The value, if it is a list."""
    return cast("list[Any]", _checked(value, list, "a list", where))


@cache
def _readers(kind: Any) -> dict[str, _Read]:
    hints = get_type_hints(kind)
    return {each.name: _reader(hints[each.name]) for each in fields(kind) if each.init}


@cache
def _reader(hint: Any) -> _Read:
    """How a field of this type is read."""
    if hint in _FORMS:
        return _FORMS[hint]
    if get_origin(hint) is tuple:
        return _tuple_reader(_reader(get_args(hint)[0]))
    if get_origin(hint) in {Union, UnionType}:
        kinds = [each for each in get_args(hint) if each is not NoneType]
        if len(kinds) == 1:
            return _reader(kinds[0])
    elif isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value, where: _parsed(hint, value, where)
    elif isinstance(hint, type) and is_dataclass(hint):
        return lambda value, where: read_fields(hint, value, where)
    raise TypeError(f"documents know nothing of {hint}")


def _tuple_reader(read: _Read) -> _Read:
    return lambda value, where: tuple(
        read(each, f"{where}[{number}]") for number, each in enumerate(entries(value, where))
    )


def _text_match(value: object, where: str) -> TextMatch:
    kind, text = _single(value, where)
    found = _parsed(TextMatchKind, kind, where)
    return TextMatch(found, "" if found is TextMatchKind.PRESENCE else _text(text, where))


def _path_match(value: object, where: str) -> PathMatch:
    kind, text = _single(value, where)
    return PathMatch(_parsed(PathMatchKind, kind, where), _text(text, where))


def _gateway(value: object, where: str) -> GatewayAddress:
    given = mapping(value, where)
    if given.keys() == {"service", "port"}:
        namespace, slash, hostname = _text(given["service"], where).partition("/")
        if not slash:
            raise ValueError(f"{where}: {namespace!r} is not of the form namespace/hostname")
        return GatewayAddress(NamespacedHostname(namespace, hostname), _int(given["port"], where))
    if given.keys() == {"address", "port"}:
        return GatewayAddress(_network_address(given["address"], where), _int(given["port"], where))
    raise ValueError(f"{where}: a gateway has a port and either a service or an address")


def _network_address(value: object, where: str) -> NetworkAddress:
    network, _, ip = _text(value, where).rpartition("/")
    return NetworkAddress(network, _parsed(ip_address, ip, where))


def _filter(value: object, where: str) -> Filter:
    name, content = _single(value, where)
    kind = next((kind for kind, each in FILTER_NAMES.items() if each == name), None)
    if kind is None:
        raise ValueError(f"{where}: unknown filter {name!r}")
    if kind in {RequestHeaders, ResponseHeaders}:
        return cast("Filter", kind(_modifier(content, where)))
    return cast("Filter", read_fields(kind, content, where))


def _modifier(value: object, where: str) -> HeaderModifier:
    given = mapping(value, where)
    if unknown := given.keys() - {"set", "add", "remove"}:
        raise ValueError(f"{where}: unknown field {min(unknown)!r}")

    def pairs(verb: str) -> tuple[tuple[str, str], ...]:
        singles = (_single(each, where) for each in entries(given.get(verb, []), where))
        return tuple((name, _text(text, where)) for name, text in singles)

    remove = tuple(_text(each, where) for each in entries(given.get("remove", []), where))
    return HeaderModifier(pairs("set"), pairs("add"), remove)


def _single(value: object, where: str) -> tuple[str, Any]:
    items = list(mapping(value, where).items())
    if len(items) != 1:
        raise ValueError(f"{where}: exactly one key is needed")
    return items[0]


def _parsed(parse: Callable[[str], _P], value: object, where: str) -> _P:
    try:
        return parse(_text(value, where))
    except ValueError as fault:
        raise ValueError(f"{where}: {fault}") from None


def _text(value: object, where: str) -> str:
    return cast("str", _checked(value, str, "a text", where))


def _int(value: object, where: str) -> int:
    return cast("int", _checked(value, int, "a whole number", where))


def _float(value: object, where: str) -> float:
    return float(cast("float", _checked(value, (int, float), "a number", where)))


def _bool(value: object, where: str) -> bool:
    return cast("bool", _checked(value, bool, "true or false", where))


def _checked(value: object, kind: type[Any] | tuple[type[Any], ...], needed: str, where: str) -> object:
    """The value, if it is of this kind; to Python alone true and false are numbers."""
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise ValueError(f"{where}: {needed} is needed, not {value!r}")


_FORMS: Final[dict[Any, _Read]] = {
    str: _text,
    int: _int,
    float: _float,
    bool: _bool,
    IPv4Address | IPv6Address: lambda value, where: _parsed(ip_address, value, where),
    IPv4Network | IPv6Network: lambda value, where: _parsed(ip_network, value, where),
    NetworkAddress: _network_address,
    TextMatch: _text_match,
    PathMatch: _path_match,
    GatewayAddress: _gateway,
    HeaderModifier: _modifier,
    Filter: _filter,
}
