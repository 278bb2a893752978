"""How `get` shows objects of each kind as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from meshctl.manifest import Body

_WIDEST = 1000

Cells = Callable[[Body], Sequence[str]]


def table_of(kind: str, objects: Sequence[Body], processes: Mapping[str, Sequence[int]]) -> Table:
    """Return objects of one kind as a table."""
    if kind == "Pod":
        return _pods(objects, processes)
    heads, cells = _COLUMNS.get(kind, (("STATUS",), _conditions))
    table = plain_table("NAMESPACE", "NAME", *heads, "AGE")
    for body in objects:
        metadata = body["metadata"]
        table.add_row(metadata.get("namespace", ""), metadata["name"], *cells(body), _age(metadata))
    return table


def plain_table(*heads: str) -> Table:
    """Return an empty table without lines; what does not fit runs on and is not cut, so that scripts can read it."""
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=True, overflow="ignore")
    return table


def show(table: Table) -> None:
    """Print a table in its full width."""
    width = Console(width=_WIDEST).measure(table).maximum
    Console(width=max(width, 1), highlight=False, soft_wrap=True).print(table)


def _pods(objects: Sequence[Body], processes: Mapping[str, Sequence[int]]) -> Table:
    heads = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "NODE", "IP", "ENROLLED", "PID", "AGE")
    table = plain_table(*heads)
    for body in objects:
        metadata, status = body["metadata"], body.get("status") or {}
        containers = status.get("containerStatuses") or []
        table.add_row(
            metadata["namespace"],
            metadata["name"],
            f"{sum(container['ready'] for container in containers)}/{len(body['spec']['containers'])}",
            _phase(body, containers),
            str(sum(container["restartCount"] for container in containers)),
            body["spec"].get("nodeName", ""),
            status.get("podIP", ""),
            (metadata.get("annotations") or {}).get("ambient.istio.io/redirection", "-"),
            ",".join(str(pid) for pid in processes.get(f"{metadata['namespace']}/{metadata['name']}", ())),
            _age(metadata),
        )
    return table


def _phase(body: Body, containers: Sequence[Body]) -> str:
    if "deletionTimestamp" in body["metadata"]:
        return "Terminating"
    for container in containers:
        if reason := container["state"].get("waiting", {}).get("reason"):
            return str(reason)
    return str((body.get("status") or {}).get("phase", "Pending"))


def _age(metadata: Mapping[str, Any]) -> str:
    made = datetime.fromisoformat(metadata["creationTimestamp"])
    seconds = int((datetime.now(UTC) - made).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def _service(body: Body) -> Sequence[str]:
    spec = body["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    return spec.get("type", "ClusterIP"), spec.get("clusterIP", ""), ports


def _deployment(body: Body) -> Sequence[str]:
    status = body.get("status") or {}
    wanted = body["spec"].get("replicas", 1)
    return f"{status.get('readyReplicas', 0)}/{wanted}", str(status.get("updatedReplicas", 0))


def _namespace(body: Body) -> Sequence[str]:
    labels = body["metadata"].get("labels") or {}
    phase = "Terminating" if "deletionTimestamp" in body["metadata"] else "Active"
    return phase, labels.get("istio.io/dataplane-mode", "-"), labels.get("istio.io/use-waypoint", "-")


def _conditions(body: Body) -> Sequence[str]:
    """Say what the conditions say; routes and policies have theirs per parent or ancestor."""
    status = body.get("status") or {}
    parents = [*(status.get("parents") or ()), *(status.get("ancestors") or ())]
    conditions = [*(status.get("conditions") or ()), *(each for parent in parents for each in parent["conditions"])]
    return [", ".join(_condition(condition) for condition in conditions)]


def _condition(condition: Mapping[str, str]) -> str:
    if condition["status"] == "True":
        return condition["type"]
    return f"not {condition['type']} ({condition.get('reason', condition['status'])})"


_COLUMNS: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Service": (("TYPE", "CLUSTER-IP", "PORTS"), _service),
    "Deployment": (("READY", "UP-TO-DATE"), _deployment),
    "Namespace": (("STATUS", "DATAPLANE", "WAYPOINT"), _namespace),
    "ConfigMap": (("DATA",), lambda body: [str(len(body.get("data") or {}))]),
    "ServiceAccount": ((), lambda _body: []),
}
