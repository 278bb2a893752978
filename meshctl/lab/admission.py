"""What may enter a lab: objects of kinds that it runs, and mesh objects that istiod-lite finds good."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from meshctl.config import program_path
from meshctl.failure import Failure
from meshctl.kind import BY_NAME
from meshctl.lab.addressing import SERVICES
from meshctl.lab.init import Init, SpawnFailed
from meshctl.manifest import Body, dump, key_of

_RENDERED = re.compile(r"^stdin:[0-9]+: ", re.MULTILINE)
"""How istiod-lite names where an object stands in what it was given, which is not the text that the user wrote."""


class Admission:
    """Asks `istiod-lite check`, as an API server asks an admission webhook; a bare lab has no mesh and asks nobody."""

    def __init__(self, init: Init, objects: Path, *, bare: bool, dual: bool = False) -> None:
        self._init = init
        self._objects = objects
        self._bare = bare
        self._dual = dual

    async def check(self, bodies: Sequence[Body], source: str) -> None:
        """Raise Failure, with all that is wrong, unless every object is good. `source` is the file they came from."""
        problems = [problem for body in bodies for problem in problems_of(body, dual=self._dual)]
        if problems:
            raise Failure("\n".join(problems))
        if self._bare:
            _refuse_mesh_kinds(bodies)
            return
        await self._ask_istiod(bodies, source)

    async def _ask_istiod(self, bodies: Sequence[Body], source: str) -> None:
        command = ["istiod-lite", "check", "-f", "-", "--context", str(self._objects)]
        env = {"PATH": program_path(), "HOME": "/", "LANG": "C.UTF-8"}
        documents = "---\n".join(dump(body) for body in bodies)
        try:
            output = await self._init.run(command, env=env, given=documents)
        except SpawnFailed as error:
            raise Failure(f"The objects cannot be checked: {error}", "Is the package installed completely?") from None
        if output.code != 0:
            said = _RENDERED.sub(lambda _: f"{source}: ", output.text.strip())
            raise Failure(said or f"istiod-lite check ended with {output.code} and no reason.")


def problems_of(body: Body, *, dual: bool = False) -> Iterable[str]:
    """Say what a lab, with both address families if `dual`, cannot run in an object of a kind that it runs itself."""
    key = key_of(body)
    if key.kind in {"Service", "Pod", "Deployment"} and not isinstance(body.get("spec"), dict):
        yield f"{key} has no spec."
        return
    if key.kind == "Service":
        yield from _service_problems(str(key), body["spec"], dual=dual)
    elif key.kind == "Deployment":
        if not isinstance(body["spec"].get("replicas", 1), int):
            yield f"{key}: spec.replicas is not a number."
        template = body["spec"].get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        wanted = (body["spec"].get("selector") or {}).get("matchLabels") or {}
        if any(labels.get(name) != value for name, value in wanted.items()):
            yield f"{key}: spec.selector does not match the labels of spec.template."
        yield from _pod_problems(str(key), template.get("spec") or {})
    elif key.kind == "Pod":
        yield from _pod_problems(str(key), body["spec"])


def _service_problems(where: str, spec: Body, *, dual: bool) -> Iterable[str]:
    if (spec.get("ipFamilies") or ["IPv4"])[0] != "IPv4":
        yield (
            f"{where}: spec.ipFamilies begins with {spec['ipFamilies'][0]}, but a lab's services are IPv4 or both: "
            "write ipFamilyPolicy: PreferDualStack instead."
        )
    if spec.get("ipFamilyPolicy") == "RequireDualStack" and not dual:
        yield f"{where}: spec.ipFamilyPolicy RequireDualStack needs a lab that is up with --ip-families dual."
    address = spec.get("clusterIP")
    if address not in {None, "", "None"} and not _is_service_address(address):
        yield f"{where}: spec.clusterIP {address} is no address of {SERVICES}, which a lab's services are in."
    for port in spec.get("ports") or ():
        if not isinstance(port.get("port"), int) or not 0 < port["port"] < 65536:
            yield f"{where}: spec.ports has a port that is no number from 1 to 65535."


def _is_service_address(text: object) -> bool:
    try:
        return IPv4Address(str(text)) in SERVICES
    except ValueError:
        return False


def _pod_problems(where: str, spec: Body) -> Iterable[str]:
    containers = spec.get("containers") or []
    if not containers:
        yield f"{where} has no containers."
    if spec.get("initContainers"):
        yield f"{where} has init containers, which a lab does not run: do their work in the container's command."
    for container in containers:
        if not container.get("command"):
            yield (
                f"{where}: container {container.get('name')} has no command. "
                "A lab pulls no images: say what to run, a program of this machine."
            )


def _refuse_mesh_kinds(bodies: Sequence[Body]) -> None:
    for body in bodies:
        if not BY_NAME[body["kind"]].core:
            raise Failure(
                f"{key_of(body)} means nothing here: this lab is bare, without istiod and ztunnel.",
                "Bring the lab up without --bare.",
            )
