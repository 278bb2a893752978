"""`meshctl lab up`, `down`, `list`, `status`, `upgrade`."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mesh.settings import url
from meshctl.client import LabClient, lab_named, running_labs
from meshctl.failure import ExitCode, Failure
from meshctl.lab.addressing import MOST_NODES
from meshctl.lab.launch import Options, launch, tail
from meshctl.lab.place import place
from meshctl.source import read_source
from meshctl.verbs.table import plain_table, show

LabOption = Annotated[str | None, typer.Option("--lab", help="Which lab; else AMBIT_LAB, else the only one.")]

_POLL_SECONDS = 0.1

progress = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)


class IpFamilies(Enum):
    """Which addresses a lab's nodes, pods and services have."""

    IPV4 = "ipv4"
    DUAL = "dual"


def _url(text: str) -> str:
    try:
        return url(text) if text else ""
    except ValueError as fault:
        raise typer.BadParameter(f"{fault}; say one like http://10.96.0.20:4317") from None


def add_to(app: typer.Typer) -> None:
    """Add these verbs to a command."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("list")(list_labs)
    app.command("status")(status)
    app.command("upgrade")(upgrade)


def up(
    name: Annotated[str, typer.Argument(help="A name for the lab.")] = "lab",
    *,
    file: Annotated[list[str] | None, typer.Option("-f", "--file", help="Manifests: a file, a folder, or -.")] = None,
    nodes: Annotated[int, typer.Option(min=1, max=MOST_NODES, help="How many nodes.")] = 2,
    bare: Annotated[bool, typer.Option("--bare", help="Pods and services only: no istiod, no ztunnel.")] = False,
    trust_domain: Annotated[str, typer.Option(help="The trust domain of all identities.")] = "cluster.local",
    ip_families: Annotated[IpFamilies, typer.Option(help="IPv4 only, or IPv6 beside it.")] = IpFamilies.IPV4,
    otlp: Annotated[
        str, typer.Option(metavar="URL", parser=_url, help="Where the proxies send spans, by OTLP over gRPC.")
    ] = "",
    trace_share: Annotated[float, typer.Option(min=0, max=1, help="Of new traces, those that are kept.")] = 1.0,
    timeout: Annotated[float, typer.Option(help="Seconds until everything has to be ready.")] = 60.0,
) -> None:
    """Bring a lab up, apply manifests, and wait until everything is ready."""
    sources = [read_source(path) for path in file or ()]
    began = time.monotonic()
    where = place(name)
    client = LabClient(where)
    progress.print(f"lab {name}: {nodes} nodes" + (", bare" if bare else ""))
    launch(where, Options(nodes, bare, trust_domain, ip_families is IpFamilies.DUAL, otlp, trace_share))
    try:
        for source in sources:
            for line in client.apply(source, "default"):
                progress.print(f"  {line}")
    except Failure:
        client.down()
        raise
    wait_until_ready(client, timeout)
    progress.print(f"lab {name} is ready after {time.monotonic() - began:.1f} s", style="green")


def wait_until_ready(client: LabClient, timeout: float) -> None:
    """Wait until everything is ready, with a line whenever something becomes so. Raises Failure, naming what is not."""
    deadline = time.monotonic() + timeout
    waited: set[str] = set()
    while True:
        report = client.ask("status")
        waiting = {line.partition(":")[0] for line in report["waiting"]}
        for line in sorted(waited - waiting):
            progress.print(f"  {line} is ready")
        waited = waiting
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise Failure(_not_ready(client, report, timeout), code=ExitCode.NOT_READY)
        time.sleep(_POLL_SECONDS)


def _not_ready(client: LabClient, report: dict[str, Any], timeout: float) -> str:
    parts = [part for part in (*report["pods"], *report["nodes"]) if part.get("why")]
    logs = dict.fromkeys(log for part in parts for log in part["logs"])
    return "\n".join(
        (
            f"Not ready after {timeout:.0f} s:",
            *(f"  {line}" for line in report["waiting"]),
            *(f"The end of {log}:\n{tail(Path(log))}" for log in logs),
            f"The lab stays up for you to look: meshctl lab status --lab {client.place.name}",
        )
    )


def down(name: Annotated[str | None, typer.Argument(help="Which lab.")] = None, lab: LabOption = None) -> None:
    """End a lab: every process, namespace and file of it."""
    client = lab_named(name or lab)
    try:
        client.down()
    except Failure:
        if not client.place.root.exists():
            raise
        client.place.clear()
        progress.print(f"lab {client.place.name} had ended already; its files are removed")
        return
    progress.print(f"lab {client.place.name} is down")


def list_labs() -> None:
    """List the labs that are up."""
    table = plain_table("NAME", "NODES", "PODS", "MEMORY")
    for client in running_labs():
        report = client.ask("status")
        memory = sum(process["resident"] for process in report["processes"])
        table.add_row(client.place.name, str(len(report["nodes"])), str(len(report["pods"])), _megabytes(memory))
    show(table)


def status(lab: LabOption = None) -> None:
    """Show what a lab is made of: nodes, pods, processes and their memory."""
    report = lab_named(lab).ask("status")
    out.print(f"lab {report['name']} in {report['root']}")
    if report["one_uid"]:
        out.print(
            "Isolation is reduced: this lab has one uid, so its proxies and pods are told apart by namespaces only. "
            "As root every proxy has a uid of its own.",
            style="yellow",
        )
    for table in (_nodes(report), _pods(report), _processes(report)):
        show(table)
    for line in report["waiting"]:
        out.print(f"not ready: {line}", style="yellow", markup=False)


def upgrade(
    program: Annotated[Path, typer.Argument(metavar="ZTUNNEL", help="The `ztunnel` command of another version.")],
    *,
    node: Annotated[str | None, typer.Option(help="Only this node; else one after the other.")] = None,
    lab: LabOption = None,
) -> None:
    """Hand nodes over to another installed ztunnel, while they serve: nothing is cut off."""
    told = lab_named(lab).ask("upgrade", program=str(program.absolute()), node=node)
    for name, said in told.items():
        for line in said.splitlines():
            out.print(f"{name}: {line}", markup=False)


def _nodes(report: dict[str, Any]) -> Table:
    table = plain_table("NODE", "ADDRESS", "ZTUNNEL", "RESTARTS")
    for node in report["nodes"]:
        table.add_row(node["name"], node["address"], str(node.get("ztunnel", "-")), str(node.get("restarts", 0)))
    return table


def _pods(report: dict[str, Any]) -> Table:
    table = plain_table("NAMESPACE", "POD", "NODE", "ADDRESS", "READY", "ENROLLED", "PID")
    for pod in report["pods"]:
        table.add_row(
            pod["namespace"],
            pod["name"],
            pod["node"],
            pod["address"],
            "yes" if pod["ready"] else "no",
            "yes" if pod.get("enrolled") else "no",
            ",".join(map(str, pod["pids"])),
        )
    return table


def _processes(report: dict[str, Any]) -> Table:
    table = plain_table("PID", "NAME", "COMMAND", "RESIDENT", "PRIVATE")
    for process in report["processes"]:
        private = _megabytes(process["private"]) if process["private"] >= 0 else "-"
        table.add_row(
            str(process["pid"]), process["name"], process["command"][:72], _megabytes(process["resident"]), private
        )
    resident = sum(process["resident"] for process in report["processes"])
    private = sum(max(0, process["private"]) for process in report["processes"])
    table.add_row("", "", "together", _megabytes(resident), _megabytes(private))
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"
