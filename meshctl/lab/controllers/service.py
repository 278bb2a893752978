"""Services get their virtual address; one that was asked for is kept."""

from __future__ import annotations

from ipaddress import IPv4Address

from meshctl.lab.addressing import next_service_address, twin
from meshctl.lab.controllers.edit import Edit, Put
from meshctl.lab.store import Objects, of_kind

_BOTH = {"PreferDualStack", "RequireDualStack"}


def service_edits(objects: Objects, *, dual: bool = False) -> list[Edit]:
    """Allocate addresses for services that have none; headless and external ones need none.

    Where there are both families (`dual`), a service that wants them gets the IPv6 address beside the other.
    """
    services = list(of_kind(objects, "Service"))
    used = {str(service["spec"].get("clusterIP")) for service in services}
    edits: list[Edit] = []
    for service in services:
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or "clusterIPs" in spec:
            continue
        address = spec.get("clusterIP") or next_service_address(used)
        if address is None:
            continue
        used.add(address)
        both = dual and spec.get("ipFamilyPolicy") in _BOTH and address != "None"
        addresses = [address, str(twin(IPv4Address(address)))] if both else [address]
        edits.append(Put({**service, "spec": {**spec, "clusterIP": address, "clusterIPs": addresses}}))
    return edits
