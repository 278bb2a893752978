"""Values as plain documents for YAML and JSON: what people see in dumps and golden files, and what workers are sent.

A value becomes a mapping of its fields under their own names, without those that have their default. Addresses and
enumerations are texts. Where a value is one of several kinds, the kind is the key: `{prefix: /api}`, `{redirect: …}`.

Reading is strict: an unknown field, a missing one or one of the wrong type is a ValueError that says where.
"""

from __future__ import annotations

from typing import Any, Final

from mesh.authentication import RequestAuthentication
from mesh.document.read import entries, mapping, read_fields
from mesh.document.write import fields_document
from mesh.policy import Policy
from mesh.route import Route
from mesh.snapshot import Resource, Snapshot
from mesh.traffic import TrafficPolicy
from mesh.workload import Service, Workload

Document = dict[str, Any]

LISTS: Final[dict[type[Any], str]] = {
    Workload: "workloads",
    Service: "services",
    Policy: "policies",
    Route: "routes",
    TrafficPolicy: "traffic",
    RequestAuthentication: "authentications",
}


def to_document(value: Resource | Snapshot) -> Document:
    """The document of a resource or of a whole snapshot."""
    if not isinstance(value, Snapshot):
        return fields_document(value)
    lists: Document = {}
    for resource in value.resources():
        lists.setdefault(LISTS[type(resource)], []).append(fields_document(resource))
    return lists


def workload_from(document: object) -> Workload:
    """The workload of a document; ValueError if it is not one."""
    return read_fields(Workload, document, "workload")


def service_from(document: object) -> Service:
    """The service of a document; ValueError if it is not one."""
    return read_fields(Service, document, "service")


def policy_from(document: object) -> Policy:
    """The policy of a document; ValueError if it is not one."""
    return read_fields(Policy, document, "policy")


def route_from(document: object) -> Route:
    """The route of a document; ValueError if it is not one."""
    return read_fields(Route, document, "route")


def traffic_from(document: object) -> TrafficPolicy:
    """The traffic policy of a document; ValueError if it is not one."""
    return read_fields(TrafficPolicy, document, "traffic")


def authentication_from(document: object) -> RequestAuthentication:
    """The request authentication of a document; ValueError if it is not one."""
    return read_fields(RequestAuthentication, document, "authentication")


def snapshot_from(document: object) -> Snapshot:
    """The snapshot of a document; ValueError if it is not one."""
    lists = mapping(document, "snapshot")
    if unknown := lists.keys() - set(LISTS.values()):
        raise ValueError(f"snapshot: there is no {min(unknown)!r} in a snapshot")
    return Snapshot.of(
        read_fields(kind, each, f"{name}[{number}]")
        for kind, name in LISTS.items()
        for number, each in enumerate(entries(lists.get(name, []), name))
    )
