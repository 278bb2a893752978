"""Which pods answer for a Service: the selector, readiness and named ports of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from meshctl.lab.store import Objects, of_kind
from meshctl.manifest import Body


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod's address and the port to use there."""

    address: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service with the endpoints behind it."""

    name: str
    protocol: str
    port: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Backed:
    """A Service with its endpoints. `address` is None if it is headless."""

    namespace: str
    name: str
    address: IPv4Address | None
    ports: tuple[ServicePort, ...]
    pods: tuple[tuple[str, IPv4Address], ...]
    """Names and addresses of the pods that answer."""
    address_v6: IPv6Address | None = None


def backed_services(objects: Objects) -> list[Backed]:
    """Return every Service that has an address or a selector, with its endpoints."""
    pods: dict[str, list[Body]] = {}
    for pod in of_kind(objects, "Pod"):
        pods.setdefault(pod["metadata"]["namespace"], []).append(pod)
    return [
        _backed(service, pods.get(service["metadata"]["namespace"], []))
        for service in of_kind(objects, "Service")
        if service.get("spec", {}).get("type") != "ExternalName"
    ]


def is_ready(pod: Body) -> bool:
    """Return whether a pod's Ready condition is true."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _backed(service: Body, pods: Iterable[Body]) -> Backed:
    spec, metadata = service["spec"], service["metadata"]
    serving = [pod for pod in pods if _answers(pod, spec)]
    address = spec.get("clusterIP")
    return Backed(
        namespace=metadata["namespace"],
        name=metadata["name"],
        address=None if address in {None, "", "None"} else IPv4Address(address),
        ports=tuple(_port(port, serving) for port in spec.get("ports") or ()),
        pods=tuple((pod["metadata"]["name"], IPv4Address(pod["status"]["podIP"])) for pod in serving),
        address_v6=_second_address(spec),
    )


def _second_address(spec: Body) -> IPv6Address | None:
    found = (ip_address(text) for text in spec.get("clusterIPs") or () if text != "None")
    return next((one for one in found if isinstance(one, IPv6Address)), None)


def _answers(pod: Body, spec: Body) -> bool:
    selector = spec.get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    return (
        bool(selector)
        and all(labels.get(name) == value for name, value in selector.items())
        and bool(pod.get("status", {}).get("podIP"))
        and (is_ready(pod) or bool(spec.get("publishNotReadyAddresses")))
        and "deletionTimestamp" not in pod["metadata"]
    )


def _port(port: dict[str, Any], pods: Iterable[Body]) -> ServicePort:
    target = port.get("targetPort") or port["port"]
    found = ((IPv4Address(pod["status"]["podIP"]), _target_on(pod, target)) for pod in pods)
    return ServicePort(
        name=port.get("name") or "",
        protocol=(port.get("protocol") or "TCP").lower(),
        port=int(port["port"]),
        endpoints=tuple(Endpoint(address, number) for address, number in found if number is not None),
    )


def _target_on(pod: Body, target: int | str) -> int | None:
    """Return the number that a target port means on this pod, None if the pod names no such port."""
    if isinstance(target, int) or target.isdigit():
        return int(target)
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == target:
                return int(port["containerPort"])
    return None
