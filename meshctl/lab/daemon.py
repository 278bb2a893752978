"""Process 1 of a lab. Started by `meshctl.lab.launch`: its argument is the lab's name, the rest is on its input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshctl.lab.admission import Admission
from meshctl.lab.agent import Agent
from meshctl.lab.api import Api
from meshctl.lab.control import Control
from meshctl.lab.exposure import expose_programs
from meshctl.lab.generated import GeneratedFolder
from meshctl.lab.init import CommandFailed, Init
from meshctl.lab.kubelet import Kubelet
from meshctl.lab.launch import Options
from meshctl.lab.nameserver import Nameserver
from meshctl.lab.network import Network, Node
from meshctl.lab.node_proxy import NodeProxy
from meshctl.lab.pages import Pages
from meshctl.lab.place import Place
from meshctl.lab.server import Server
from meshctl.lab.sessions import Sessions
from meshctl.lab.status import StatusFolder
from meshctl.lab.store import Store
from meshctl.lab.surroundings import Surroundings
from meshctl.lab.survey import Survey
from meshctl.lab.system import system_objects
from meshctl.lab.tokens import TokenIssuer
from meshctl.manifest import Body

log = logging.getLogger("meshctl.lab")

FIRST_NAMESPACES = ("default", "istio-system")


@dataclass(frozen=True, slots=True)
class Told:
    """What the launcher says."""

    place: Place
    options: Options
    reporter: int


def main() -> None:
    """Be a lab until told to end."""
    given: dict[str, Any] = json.load(sys.stdin)
    told = Told(
        Place(sys.argv[1], Path(given["root"])),
        Options(
            nodes=given["nodes"],
            bare=given["bare"],
            trust_domain=given["trust_domain"],
            dual=given["dual"],
            otlp=given["otlp"],
            trace_share=given["trace_share"],
        ),
        given["reporter"],
    )
    os.umask(0o022)
    with open(os.devnull, "rb") as silence:  # noqa: PTH123
        os.dup2(silence.fileno(), 0)
    for inherited in (given["lock"], told.reporter):
        os.set_inheritable(inherited, False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    asyncio.run(Daemon(told).run())


class Daemon:
    """One lab."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._reporter: int | None = told.reporter
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Build the lab, report to the launcher, and keep everything going."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ending.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._build(tasks)
                self._report({"ready": True})
                await self._ending.wait()
                os._exit(0)  # process 1: the kernel ends everything else
        except BaseException as error:
            log.exception("the lab cannot go on")
            self._report({"error": f"The lab could not be built: {_told_by(error)}"})
            raise

    async def _build(self, tasks: asyncio.TaskGroup) -> None:
        place, options = self._told.place, self._told.options
        expose_programs()
        init, store, issuer = Init(), Store(place.objects), TokenIssuer()
        place.jwks.write_text(issuer.jwks(), encoding="utf-8")
        network = Network(init, dual=options.dual)
        await network.make_fabric()
        numbers = range(1, options.nodes + 1)
        nodes = await asyncio.gather(*(network.add_node(number, options.nodes) for number in numbers))
        by_name = {node.name: node for node in nodes}
        around = Surroundings(place, init, network, store, issuer)
        agents, proxies = self._node_programs(around, nodes)
        kubelet = Kubelet(around, by_name, agents.get)
        control = Control(store, network, kubelet, nodes)
        await self._serve_names(control, nodes)
        api = Api(
            store, Admission(init, place.objects, bare=options.bare, dual=options.dual), StatusFolder(place.status)
        )
        for body in self._first_objects():
            api.write(body)
        tasks.create_task(control.run())
        for name, proxy in proxies.items():
            tasks.create_task(agents[name].run(agents[name].listen()))
            tasks.create_task(proxy.run())
        tasks.create_task(GeneratedFolder(place.generated, api).run())
        survey = Survey(around, kubelet, nodes=nodes, proxies=proxies, agents=agents)
        sessions, pages = Sessions(init, kubelet, by_name), Pages(kubelet, by_name)
        server = Server(place, api, sessions=sessions, pages=pages, survey=survey, end=self._ending.set)
        tasks.create_task(server.run(server.listen()))

    def _node_programs(self, around: Surroundings, nodes: list[Node]) -> tuple[dict[str, Agent], dict[str, NodeProxy]]:
        """Return each node's CNI agent and ztunnel; a bare lab has none."""
        options = self._told.options
        agents: dict[str, Agent] = {}
        proxies: dict[str, NodeProxy] = {}
        for node in () if options.bare else nodes:
            proxies[node.name] = proxy = NodeProxy(node, around, options)
            proxy.make_folder()
            agents[node.name] = Agent(node.name, proxy.cni_socket, around.store)
        return agents, proxies

    def _first_objects(self) -> Iterator[Body]:
        for namespace in FIRST_NAMESPACES:
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        if not self._told.options.bare:
            yield from system_objects(self._told.place, self._told.options)

    async def _serve_names(self, control: Control, nodes: list[Node]) -> None:
        nameserver = Nameserver(lambda: control.zone)
        for node in nodes:
            await nameserver.serve(node.netns)

    def _report(self, message: dict[str, object]) -> None:
        """Tell the launcher, once, how building went."""
        if self._reporter is None:
            return
        with open(self._reporter, "wb") as launcher, contextlib.suppress(BrokenPipeError):  # noqa: PTH123  (a descriptor)
            launcher.write(json.dumps(message).encode() + b"\n")
        self._reporter = None


def _told_by(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, CommandFailed) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
