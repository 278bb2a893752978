"""The Gateway that asks for a waypoint, and what its status says."""

from __future__ import annotations

from enum import StrEnum

from meshctl.manifest import Body

WAYPOINT_CLASS = "istio-waypoint"
WAYPOINT_FOR = "istio.io/waypoint-for"
USE_WAYPOINT = "istio.io/use-waypoint"


class Traffic(StrEnum):
    """Which traffic goes through a waypoint: to services, to workloads' own addresses, or both."""

    SERVICE = "service"
    WORKLOAD = "workload"
    ALL = "all"


def waypoint_gateway(name: str, namespace: str, traffic: Traffic | None) -> Body:
    """Return the Gateway for a waypoint; without `traffic` it is for services, Istio's default."""
    metadata: Body = {"name": name, "namespace": namespace}
    if traffic is not None:
        metadata["labels"] = {WAYPOINT_FOR: str(traffic)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": metadata,
        "spec": {
            "gatewayClassName": WAYPOINT_CLASS,
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
        },
    }


def is_waypoint(gateway: Body) -> bool:
    """Return whether a Gateway asks for a waypoint."""
    return bool(gateway["spec"].get("gatewayClassName") == WAYPOINT_CLASS)


def traffic_of(gateway: Body) -> str:
    """Return which traffic a waypoint is for."""
    return str((gateway["metadata"].get("labels") or {}).get(WAYPOINT_FOR, Traffic.SERVICE))


def condition(gateway: Body, kind: str) -> dict[str, str]:
    """Return one condition of a Gateway; `Unknown` while istiod has not looked at it as it is now."""
    conditions = (gateway.get("status") or {}).get("conditions") or ()
    found = next((one for one in conditions if one["type"] == kind), None)
    if found is None or found.get("observedGeneration", 0) < gateway["metadata"].get("generation", 0):
        return {"type": kind, "status": "Unknown", "reason": "Pending", "message": "istiod has not looked at it yet"}
    return dict(found)
