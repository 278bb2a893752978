"""Pods: what runs where, under which account, and whether it is ready."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from istiod_lite.facts.field import DNS_LABEL
from istiod_lite.facts.metadata import Metadata, read_metadata

if TYPE_CHECKING:
    from istiod_lite.facts.field import Field
    from istiod_lite.object import Object
    from mesh.address import IP

SPEC_FIELDS: Final = (
    "activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "containers", "dnsConfig", "dnsPolicy",
    "enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostUsers",
    "hostname", "hostnameOverride", "imagePullSecrets", "initContainers", "nodeName", "nodeSelector", "os",
    "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resourceClaims", "resources",
    "restartPolicy", "runtimeClassName", "schedulerName", "schedulingGates", "securityContext", "serviceAccount",
    "serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace", "subdomain",
    "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints", "volumes",
)  # fmt: skip
_CONTAINER_FIELDS: Final = (
    "args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "name", "ports",
    "readinessProbe", "resizePolicy", "resources", "restartPolicy", "securityContext", "startupProbe", "stdin",
    "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts",
    "workingDir",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pod:
    """A v1 Pod. `ports` are the named ones of its containers, as (name, number)."""

    meta: Metadata
    service_account: str
    node: str
    host_network: bool
    ips: tuple[IP, ...]
    ready: bool
    finished: bool
    """Succeeded or Failed: it will never serve again."""
    ports: tuple[tuple[str, int], ...]

    def port_named(self, name: str) -> int:
        """The number of a named container port, 0 if the pod has none of that name."""
        return next((number for known, number in self.ports if known == name), 0)


def read_pod(obj: Object, root: Field) -> Pod:
    """Read a Pod."""
    root.knows("apiVersion", "kind", "metadata", "spec", "status")
    meta = read_metadata(obj, root)
    spec, status = root["spec"], root["status"]
    spec.required()
    ports = read_pod_spec(spec)
    conditions = {one["type"].text(): one["status"].text() for one in status["conditions"].each()}
    return Pod(
        meta=meta,
        service_account=spec["serviceAccountName"].text(spec["serviceAccount"].text("default")),
        node=spec["nodeName"].text(),
        host_network=spec["hostNetwork"].boolean(),
        ips=_ips(status),
        ready=conditions.get("Ready") == "True" and not meta.deleting,
        finished=status["phase"].text() in {"Succeeded", "Failed"},
        ports=ports,
    )


def read_pod_spec(spec: Field) -> tuple[tuple[str, int], ...]:
    """Check a pod's spec, or that of a pod template, as far as a mesh depends on it; give its named ports."""
    spec.knows(*SPEC_FIELDS)
    ports: list[tuple[str, int]] = []
    for container in spec["containers"].each():
        container.knows(*_CONTAINER_FIELDS)["name"].text(shape=DNS_LABEL)
        container["name"].required()
        for port in container["ports"].each():
            port.knows("containerPort", "hostIP", "hostPort", "name", "protocol")
            number, protocol = port["containerPort"].port(), port["protocol"].choice(("TCP", "UDP", "SCTP"), "TCP")
            if port["containerPort"].required() and port["name"].given and protocol == "TCP":
                ports.append((port["name"].text(shape=DNS_LABEL), number))
    return tuple(ports)


def _ips(status: Field) -> tuple[IP, ...]:
    listed = [one["ip"] for one in status["podIPs"].each()] or [status["podIP"]]
    found: list[IP] = []
    for one in listed:
        if text := one.text():
            try:
                found.append(ip_address(text))
            except ValueError:
                one.fault(f"{text!r} is not an IP address", "write it like 10.244.1.5 or fd00::5")
    return tuple(found)
