"""A pod's status, worked out from what its containers do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any


@dataclass(slots=True)
class ContainerState:
    """What one container does at the moment."""

    name: str
    image: str = ""
    running_since: str | None = None
    exit_code: int | None = None
    waiting: str = "ContainerCreating"
    message: str = ""
    restarts: int = 0
    ready: bool = False

    @property
    def finished(self) -> bool:
        """Whether it has ended and will not be started again."""
        return self.running_since is None and self.exit_code is not None and not self.waiting


def pod_status(
    containers: Sequence[ContainerState],
    addresses: Sequence[IPv4Address | IPv6Address],
    host: IPv4Address,
    since: str,
) -> dict[str, Any]:
    """Return status as a kubelet writes it."""
    finished = bool(containers) and all(container.finished for container in containers)
    if finished:
        phase = "Succeeded" if all(container.exit_code == 0 for container in containers) else "Failed"
    else:
        started = any(container.running_since or container.exit_code is not None for container in containers)
        phase = "Running" if started else "Pending"
    ready = bool(containers) and all(container.ready for container in containers)
    status: dict[str, Any] = {"phase": phase, "hostIP": str(host), "startTime": since}
    if addresses:
        status |= {"podIP": str(addresses[0]), "podIPs": [{"ip": str(address)} for address in addresses]}
    status["conditions"] = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "ContainersReady", "status": str(ready)},
        {"type": "Ready", "status": str(ready)},
    ]
    status["containerStatuses"] = [_container(container) for container in containers]
    return status


def _container(container: ContainerState) -> dict[str, Any]:
    state: dict[str, Any]
    if container.running_since is not None:
        state = {"running": {"startedAt": container.running_since}}
    elif container.finished:
        state = {"terminated": {"exitCode": container.exit_code}}
    else:
        state = {"waiting": {"reason": container.waiting, "message": container.message}}
    return {
        "name": container.name,
        "image": container.image,
        "ready": container.ready,
        "restartCount": container.restarts,
        "state": state,
    }
