"""`meshctl lab exec` and `logs`: look inside pods and nodes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from meshctl.client import LabClient, checked, lab_named
from meshctl.failure import ExitCode, Failure
from meshctl.lab.wire import Caller
from meshctl.verbs import follow, terminal
from meshctl.verbs.lifecycle import LabOption
from meshctl.verbs.objects import NamespaceOption

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_to(app: typer.Typer) -> None:
    """Add these verbs to a command."""
    app.command("exec")(execute)
    app.command("logs")(logs)


def execute(
    words: Annotated[list[str], typer.Argument(metavar="[POD] -- COMMAND...", help="Where, and what to run.")],
    *,
    namespace: NamespaceOption = "default",
    container: Annotated[str | None, typer.Option("-c", "--container", help="Which container; else the first.")] = None,
    node: Annotated[str | None, typer.Option(help="Run it in this node's network instead of a pod.")] = None,
    privileged: Annotated[
        bool, typer.Option("--privileged", help="Enter the pod's network only, with the lab's rights.")
    ] = False,
    lab: LabOption = None,
) -> None:
    """Run a command in a pod or on a node; its exit code is this command's."""
    pod, command = (None, words) if node else (words[0], words[1:])
    if not command:
        raise Failure("There is no command to run.", "meshctl lab exec POD -n NAMESPACE -- COMMAND", ExitCode.USAGE)
    request: dict[str, object] = {
        "verb": "exec",
        "namespace": namespace,
        "pod": pod,
        "container": container,
        "node": node,
        "privileged": privileged,
        "command": command,
    }
    sys.exit(_run(lab_named(lab), request))


def _run(client: LabClient, request: dict[str, object]) -> int:
    with client.open() as sock:
        caller = Caller(sock)
        if all(os.isatty(number) for number in (0, 1, 2)):
            return terminal.run(caller, request, client.place)
        with _passing_signals_on(caller):
            caller.send(request, (0, 1, 2))
            return int(checked(caller.receive(), client.place)["exit"])


@contextmanager
def _passing_signals_on(caller: Caller) -> Iterator[None]:
    """Send the signals that this command gets to the one it runs."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        caller.send({"signal": number})

    former = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def logs(
    of: Annotated[str, typer.Argument(metavar="POD|ztunnel|waypoint|istiod|lab", help="Whose.")],
    *,
    namespace: NamespaceOption = "default",
    container: Annotated[str | None, typer.Option("-c", "--container", help="Only this container's.")] = None,
    node: Annotated[str | None, typer.Option(help="For ztunnel: only this node's.")] = None,
    following: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines are written.")] = False,
    tail: Annotated[int, typer.Option(help="How many lines from the end; -1 is all.")] = -1,
    lab: LabOption = None,
) -> None:
    """Show what a pod's containers, node proxies, waypoints, istiod or the lab's daemon have written."""
    client = lab_named(lab)
    paths = follow.logs_of(client, of, namespace, container, node)
    follow.show(paths, tail, following)
