"""`meshctl lab apply`, `delete`, `get`, `label`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from meshctl.client import lab_named
from meshctl.failure import ExitCode, Failure
from meshctl.manifest import dump
from meshctl.source import read_source
from meshctl.verbs.lifecycle import LabOption, wait_until_ready
from meshctl.verbs.table import show, table_of

NamespaceOption = Annotated[str, typer.Option("-n", "--namespace", help="Which namespace.")]

out = Console(highlight=False, soft_wrap=True)


class Format(StrEnum):
    """How `get` prints."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def add_to(app: typer.Typer) -> None:
    """Add these verbs to a command."""
    app.command("apply")(apply)
    app.command("delete")(delete)
    app.command("get")(get)
    app.command("label")(label)


def apply(
    file: Annotated[list[str], typer.Option("-f", "--file", help="Manifests: a file, a folder, or -.")],
    namespace: NamespaceOption = "default",
    wait: Annotated[bool, typer.Option("--wait", help="Return when everything in the lab is ready.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 60.0,
    lab: LabOption = None,
) -> None:
    """Create or change objects. A file is taken as a whole or not at all."""
    client = lab_named(lab)
    for path in file:
        for line in client.apply(read_source(path), namespace):
            out.print(line)
    if wait:
        wait_until_ready(client, timeout)


def delete(
    kind: Annotated[str, typer.Argument(help="A kind, as kubectl names it.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Which objects.")],
    namespace: NamespaceOption = "default",
    lab: LabOption = None,
) -> None:
    """Delete objects."""
    client = lab_named(lab)
    for name in names:
        out.print(client.ask("delete", kind=kind, name=name, namespace=namespace))


def get(
    kind: Annotated[str, typer.Argument(help="A kind, as kubectl names it.")],
    name: Annotated[str | None, typer.Argument(help="One object.")] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="Only this namespace.")] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE,
    lab: LabOption = None,
) -> None:
    """Show objects, with the status that the mesh gives them. Without -n: of all namespaces."""
    where = namespace or ("default" if name else None)
    answer = lab_named(lab).ask("get", kind=kind, name=name, namespace=where)
    objects = answer["objects"]
    if output is Format.TABLE:
        show(table_of(answer["kind"], objects, answer["processes"]))
        return
    whole = objects[0] if name is not None else {"apiVersion": "v1", "kind": "List", "items": objects}
    typer.echo(dump(whole) if output is Format.YAML else json.dumps(whole, indent=2), nl=output is Format.JSON)


def label(
    kind: Annotated[str, typer.Argument(help="A kind, as kubectl names it.")],
    name: Annotated[str, typer.Argument(help="Which object.")],
    labels: Annotated[list[str], typer.Argument(metavar="KEY=VALUE|KEY-...", help="Set a label, or take it away.")],
    namespace: NamespaceOption = "default",
    lab: LabOption = None,
) -> None:
    """Set labels of an object, or take them away."""
    changes = dict(_change(text) for text in labels)
    out.print(lab_named(lab).ask("label", kind=kind, name=name, namespace=namespace, labels=changes))


def _change(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if equals:
        return name, value
    if text.endswith("-"):
        return text[:-1], None
    raise Failure(f"'{text}' is no change of a label.", "Write KEY=VALUE to set, KEY- to take away.", ExitCode.USAGE)
