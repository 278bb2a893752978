"""Where a node stands in the mesh, and with it all pods on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.identity import Identity
from mesh.snapshot import Snapshot
from mesh.workload import Workload
from ztunnel.worker.start import Pod


@dataclass(frozen=True, slots=True)
class Place:
    """What is the same for every pod of the node."""

    trust_domain: str
    cluster_id: str
    network: str
    cluster_domain: str = "cluster.local"

    def identity(self, pod: Pod) -> Identity:
        """The only identity that the pod's worker may have."""
        return pod.identity(self.trust_domain)

    def uid(self, pod: Pod) -> str:
        """Under which uid the mesh knows the pod, if it does."""
        return f"{self.cluster_id}//Pod/{pod.namespace}/{pod.name}"

    def workload(self, snapshot: Snapshot, pod: Pod) -> Workload | None:
        """What the mesh knows of the pod; None if it knows none of that name with that service account."""
        found = snapshot.workloads.get(self.uid(pod))
        return found if found is not None and found.service_account == pod.service_account else None
