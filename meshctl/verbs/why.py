"""`meshctl why`: what the mesh would do with a call now, decided by the proxies that would carry it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.text import Text

from mesh.address import Address
from mesh.why import Explanation, Outcome
from meshctl.client import LabClient, lab_named
from meshctl.failure import ExitCode, Failure
from meshctl.journey import Guide, Journey, Request, question, verdict
from meshctl.manifest import Body, dump, pretty_json
from meshctl.verbs.lifecycle import LabOption
from meshctl.verbs.objects import Format, NamespaceOption

_ADMIN_PORT = 15000
_MARKS = {Outcome.YES: ("+", "green"), Outcome.NO: ("x", "red"), Outcome.BESIDE: ("-", "dim")}


def add_to(app: typer.Typer) -> None:
    """Add this verb to a command."""
    app.command("why")(why)


def why(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The pod that calls: NAME or NAMESPACE/NAME.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="What it calls: a URL, or HOST:PORT.")],
    *,
    namespace: NamespaceOption = "default",
    method: Annotated[str, typer.Option(help="The request's method, for waypoints.")] = "GET",
    header: Annotated[list[str] | None, typer.Option("-H", "--header", help="NAME: VALUE; may be repeated.")] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE,
    lab: LabOption = None,
) -> None:
    """Ask every proxy on the way what it would do with this call, and why. Exit code 1: it would be refused."""
    client = lab_named(lab)
    pods = client.ask("get", kind="pods", name=None, namespace=None)["objects"]
    services = client.ask("get", kind="services", name=None, namespace=None)["objects"]
    caller = _pod(pods, source, namespace)
    where = _Target(target, caller["metadata"]["namespace"], services, pods)
    headers = tuple(_header(text) for text in header or ())
    request = Request(method.upper(), where.path, where.authority, headers)
    found = Guide(pods, _asker(client)).journey(caller, where.address, where.endpoints, request)
    _print(found, output)
    if not verdict(found)[0]:
        raise typer.Exit(ExitCode.REFUSED)


class _Target:
    """What was meant by TO: a URL or `host:port`, the host an address, or a Service's name as its callers say it."""

    def __init__(self, text: str, namespace: str, services: Sequence[Body], pods: Sequence[Body]) -> None:
        url = urlsplit(text if "://" in text else f"//{text}")
        try:
            host, port = url.hostname or "", url.port or 80
        except ValueError as fault:
            raise Failure(f"'{text}' cannot be called: {fault}", "Say HOST:PORT or a URL.", ExitCode.USAGE) from None
        self.path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self.authority = url.netloc.rpartition("@")[2]
        try:
            self.address = Address.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            service = next((one for one in services if one["spec"].get("clusterIP") == str(ip_address(host))), None)
        except ValueError:
            service = _service(services, host, namespace)
            self.address = Address.parse(f"{service['spec']['clusterIP']}:{port}")
        self.endpoints = [self.address] if service is None else _behind(service, pods, port)


def _service(services: Sequence[Body], host: str, namespace: str) -> Body:
    name, _, rest = host.partition(".")
    space = rest.partition(".")[0] or namespace
    for one in services:
        metadata = one["metadata"]
        if (metadata["name"], metadata["namespace"]) == (name, space):
            if one["spec"].get("clusterIP") in {None, "", "None"}:
                raise Failure(f"Service {space}/{name} has no address of its own.", "Name one of its pods' addresses.")
            return one
    near = get_close_matches(name, [one["metadata"]["name"] for one in services], 1)
    mend = f"Did you mean {near[0]}?" if near else "See which there are: meshctl get services"
    raise Failure(f"There is no service {name} in namespace {space}.", mend, ExitCode.ABSENT)


def _behind(service: Body, pods: Sequence[Body], port: int) -> list[Address]:
    """Where the node leads a plain call: the pods that the service selects, at its target port."""
    selector = service["spec"].get("selector") or {}
    target = next((one.get("targetPort", port) for one in service["spec"]["ports"] if one["port"] == port), port)
    return [
        Address.parse(f"{pod['status']['podIP']}:{_number(target, pod)}")
        for pod in pods
        if selector
        and pod["metadata"]["namespace"] == service["metadata"]["namespace"]
        and selector.items() <= (pod["metadata"].get("labels") or {}).items()
        and pod.get("status", {}).get("podIP")
    ]


def _number(port: int | str, pod: Body) -> int:
    if isinstance(port, int) or port.isdigit():
        return int(port)
    named = (one for box in pod["spec"]["containers"] for one in box.get("ports") or () if one.get("name") == port)
    return int(next(named, {"containerPort": 0})["containerPort"])


def _pod(pods: Sequence[Body], name: str, namespace: str) -> Body:
    space, _, own = name.rpartition("/")
    for pod in pods:
        if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (space or namespace, own):
            if not pod.get("status", {}).get("podIP"):
                raise Failure(f"Pod {own} has no address yet.", code=ExitCode.NOT_READY)
            return pod
    near = get_close_matches(own, [pod["metadata"]["name"] for pod in pods], 1)
    mend = f"Did you mean {near[0]}?" if near else "See which there are: meshctl get pods"
    raise Failure(f"There is no pod {own} in namespace {space or namespace}.", mend, ExitCode.ABSENT)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Failure(f"'{text}' is no header.", "Say it as 'name: value'.", ExitCode.USAGE)
    return name.strip().lower(), value.strip()


def _asker(client: LabClient) -> Any:
    def ask(node: str, pod: str, asked: Mapping[str, Any] | Sequence[tuple[str, str]]) -> Explanation:
        answer = client.ask("page", node=node, pod=pod, port=_ADMIN_PORT, target=question(asked))
        if answer["status"] != 200:
            raise Failure(f"{f'Pod {pod}' if pod else f'The ztunnel of {node}'} cannot say: {answer['text'].strip()}")
        return Explanation.read(json.loads(answer["text"]))

    return ask


def _print(found: Journey, output: Format) -> None:
    allowed, text = verdict(found)
    if output is not Format.TABLE:
        legs = [{"who": leg.who, **leg.explanation.document()} for leg in found.legs]
        document = {"allowed": allowed, "verdict": text, "legs": legs}
        typer.echo(pretty_json(document) if output is Format.JSON else dump(document), nl=False)
        return
    console = Console(highlight=False, soft_wrap=True)
    for leg in found.legs:
        console.print(Text(leg.who, style="bold"))
        width = max(len(step.subject) for step in leg.explanation.steps)
        for step in leg.explanation.steps:
            mark, style = _MARKS[step.outcome]
            console.print(Text(f"  {mark} {step.subject:<{width}}  {step.text}", style=style))
    console.print(Text(f"The call {text}." if allowed else f"The call is {text}.", style="green" if allowed else "red"))
