"""`meshctl waypoint`: make a namespace's layer 7 proxy, and see how it is."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from meshctl.client import LabClient, lab_named
from meshctl.failure import ExitCode, Failure
from meshctl.gateway import USE_WAYPOINT, Traffic, condition, is_waypoint, traffic_of, waypoint_gateway
from meshctl.manifest import Body, dump
from meshctl.source import Source
from meshctl.verbs.lifecycle import LabOption
from meshctl.verbs.objects import NamespaceOption
from meshctl.verbs.table import plain_table, show

NameOption = Annotated[str, typer.Option("--name", help="The waypoint's name.")]
TrafficOption = Annotated[
    Traffic | None, typer.Option("--for", help="Which traffic goes through it; services' if not given.")
]
TimeoutOption = Annotated[float, typer.Option("--waypoint-timeout", help="Seconds to wait.")]
EverywhereOption = Annotated[bool, typer.Option("-A", "--all-namespaces", help="In every namespace.")]

_POLL_SECONDS = 0.1

out = Console(highlight=False, soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Add these verbs to a command."""
    app.command("create")(create)
    app.command("apply", hidden=True)(create)
    app.command("generate")(generate)
    app.command("delete")(delete)
    app.command("list")(list_waypoints)
    app.command("status")(status)


def generate(
    namespace: NamespaceOption = "default", name: NameOption = "waypoint", traffic: TrafficOption = None
) -> None:
    """Print the Gateway that `create` would apply."""
    typer.echo(dump(_gateway(name, namespace, traffic)), nl=False)


def create(
    *,
    namespace: NamespaceOption = "default",
    name: NameOption = "waypoint",
    traffic: TrafficOption = None,
    enrol: Annotated[bool, typer.Option("--enroll-namespace", help="Send the namespace's traffic through it.")] = False,
    wait: Annotated[bool, typer.Option("-w", "--wait", help="Return when it serves.")] = False,
    timeout: TimeoutOption = 90.0,
    lab: LabOption = None,
) -> None:
    """Make a waypoint for a namespace."""
    client = lab_named(lab)
    gateway = _gateway(name, namespace, traffic)
    for line in client.apply(Source("the waypoint's Gateway", dump(gateway), "/"), namespace):
        out.print(line)
    if enrol:
        out.print(client.ask("label", kind="namespace", name=namespace, namespace="", labels={USE_WAYPOINT: name}))
    if wait:
        _wait_until_programmed(client, namespace, name, timeout)
        out.print(f"waypoint {namespace}/{name} is ready")


def delete(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Which waypoints.")] = None,
    *,
    namespace: NamespaceOption = "default",
    everything: Annotated[bool, typer.Option("--all", help="All waypoints of the namespace.")] = False,
    lab: LabOption = None,
) -> None:
    """Delete waypoints. What is still labelled to go through one is then refused, not let past."""
    client = lab_named(lab)
    wanted = list(names or ())
    if everything:
        wanted = [gateway["metadata"]["name"] for gateway in _waypoints(client, namespace)]
    if not wanted and not everything:
        raise Failure("Which waypoint?", "Name it, or say --all.", ExitCode.USAGE)
    for name in wanted:
        client.ask("delete", kind="gateway", name=name, namespace=namespace)
        out.print(f"waypoint {namespace}/{name} deleted")


def list_waypoints(
    namespace: NamespaceOption = "default", everywhere: EverywhereOption = False, lab: LabOption = None
) -> None:
    """List waypoints."""
    table = plain_table("NAMESPACE", "NAME", "TRAFFIC TYPE", "PROGRAMMED")
    for gateway in _waypoints(lab_named(lab), None if everywhere else namespace):
        metadata = gateway["metadata"]
        programmed = condition(gateway, "Programmed")["status"]
        table.add_row(metadata["namespace"], metadata["name"], traffic_of(gateway), programmed)
    show(table)


def status(
    name: Annotated[str | None, typer.Argument(help="One waypoint.")] = None,
    *,
    namespace: NamespaceOption = "default",
    everywhere: EverywhereOption = False,
    wait: Annotated[bool, typer.Option("-w", "--wait", help="Wait until it serves.")] = False,
    timeout: TimeoutOption = 90.0,
    lab: LabOption = None,
) -> None:
    """Say how waypoints are, and why."""
    client = lab_named(lab)
    if wait and name is not None:
        _wait_until_programmed(client, namespace, name, timeout)
    table = plain_table("NAMESPACE", "NAME", "CONDITION", "STATUS", "REASON", "MESSAGE")
    for gateway in _waypoints(client, None if everywhere else namespace, name):
        for kind in ("Accepted", "Programmed"):
            told = condition(gateway, kind)
            metadata = gateway["metadata"]
            reason, message = told.get("reason", ""), told.get("message", "")
            table.add_row(metadata["namespace"], metadata["name"], kind, told["status"], reason, message)
    show(table)


def _gateway(name: str, namespace: str, traffic: Traffic | None) -> Body:
    if name == "none":
        raise Failure("A waypoint cannot be named 'none': that label value means no waypoint.", code=ExitCode.USAGE)
    return waypoint_gateway(name, namespace, traffic)


def _waypoints(client: LabClient, namespace: str | None, name: str | None = None) -> list[Body]:
    answer = client.ask("get", kind="gateway", namespace=namespace, name=name)
    return [gateway for gateway in answer["objects"] if is_waypoint(gateway)]


def _wait_until_programmed(client: LabClient, namespace: str, name: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        [gateway] = _waypoints(client, namespace, name)
        told = condition(gateway, "Programmed")
        if told["status"] == "True":
            return
        if time.monotonic() > deadline:
            raise Failure(
                f"Waypoint {namespace}/{name} is not ready after {timeout:.0f} s: {told.get('message', '')}",
                f"See its log: meshctl lab logs waypoint -n {namespace}",
                ExitCode.NOT_READY,
            )
        time.sleep(_POLL_SECONDS)
