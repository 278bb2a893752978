"""Services get their virtual address; one that was asked for is kept."""

from __future__ import annotations

from meshctl.lab.addressing import next_service_address
from meshctl.lab.controllers.edit import Edit, Put
from meshctl.lab.store import Objects, of_kind


def service_edits(objects: Objects) -> list[Edit]:
    """Allocate addresses for services that have none; headless and external ones need none."""
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
        edits.append(Put({**service, "spec": {**spec, "clusterIP": address, "clusterIPs": [address]}}))
    return edits
