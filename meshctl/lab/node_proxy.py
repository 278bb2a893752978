"""A node's ztunnel: started in the node's network, started again when it ends, given its token and root certificate.

Another installed version takes a node over by its own `ztunnel upgrade`; from then on it is the one that is started.

Only the process itself is ever signalled. The workers that it started belong to pods, outlive it, and are found
again by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from meshctl.config import program_path
from meshctl.failure import Failure
from meshctl.lab import kernel
from meshctl.lab.addressing import DNS, ISTIOD
from meshctl.lab.file import write_whole
from meshctl.lab.init import Child, SpawnFailed, Stdio
from meshctl.lab.launch import Options
from meshctl.lab.network import Node
from meshctl.lab.privilege import several_users
from meshctl.lab.probe import Probe, succeeds
from meshctl.lab.surroundings import Surroundings
from meshctl.lab.system import (
    ISTIOD_HOST,
    ISTIOD_PORT,
    NAMESPACE,
    ROOT_CONFIG_MAP,
    TOKEN_AUDIENCE,
    TOKEN_SECONDS,
    ZTUNNEL_ACCOUNT,
)
from meshctl.lab.tokens import Bearer

SUPERVISOR_UID = 1_336_999
"""The user that ztunnel's supervisor runs as where there are several: it reads the token, nobody else does."""

_RESTART_SECONDS = 0.3
_READY = Probe({"httpGet": {"path": "/healthz/ready"}}, port=15021, delay=0, period=1, timeout=2, failures=1)

log = logging.getLogger(__name__)


class NodeProxy:
    """The ztunnel of one node."""

    def __init__(self, node: Node, around: Surroundings, options: Options) -> None:
        self._init = around.init
        self._place = around.place
        self._store = around.store
        self._issuer = around.issuer
        self._options = options
        self._folder = around.place.node(node.name)
        self._child: Child | None = None
        self._program = "ztunnel"
        self.node = node
        self.restarts = 0
        self.why = "waits for istiod's root certificate"

    @property
    def cni_socket(self) -> Path:
        """Where the node's CNI agent listens."""
        return self._folder / "cni.sock"

    @property
    def pid(self) -> int | None:
        """The keeper's number while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    def make_folder(self) -> None:
        """Make the node's folder: what is in it is passed by name to users that cannot list it."""
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o711)
        write_whole(self._resolv_conf, f"nameserver {DNS}\n", 0o644)

    async def run(self) -> None:
        """Keep ztunnel running, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew_token())
            await self._await_root()
            tasks.create_task(self._watch_readiness())
            while True:
                try:
                    self._child = await self._start()
                    code = await self._child.wait()
                except SpawnFailed as error:
                    log.warning("%s: ztunnel cannot be started: %s", self.node.name, error)
                else:
                    log.warning("%s: ztunnel ended with %d", self.node.name, code)
                await asyncio.sleep(_RESTART_SECONDS)
                self.restarts += 1

    async def upgrade(self, program: str) -> str:
        """Hand the node over to another ztunnel, and return what that one says. Raises Failure."""
        try:
            done = await self._init.run((program, "upgrade"), env=self._environment(), netns=self.node.netns)
        except SpawnFailed as error:
            raise Failure(
                f"This ztunnel cannot be run: {error}", "Say the path of another version's `ztunnel`."
            ) from error
        if done.code:
            raise Failure(f"{self.node.name} was not upgraded: {done.text.strip()}")
        self._program = program
        return done.text.strip()

    async def _start(self) -> Child:
        netns = self.node.netns
        output = os.open(
            self._place.node_log(self.node.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        silence = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await self._init.spawn(
                (self._program, "serve"),
                env=self._environment(),
                stdio=Stdio(silence, output, output),
                prepare=lambda: kernel.setns(netns.fd, kernel.CLONE_NEWNET),
            )
        finally:
            os.close(output)
            os.close(silence)

    def _environment(self) -> dict[str, str]:
        istiod = f"https://{ISTIOD}:{ISTIOD_PORT}"
        return {
            "PATH": program_path(),
            "HOME": "/",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "NODE_NAME": self.node.name,
            "INPOD_UDS": str(self.cni_socket),
            "XDS_ADDRESS": istiod,
            "CA_ADDRESS": istiod,
            "XDS_ROOT_CA": str(self._root),
            "ALT_XDS_HOSTNAME": ISTIOD_HOST,
            "AUTH_TOKEN": str(self._token),
            "CLUSTER_ID": "Kubernetes",
            "TRUST_DOMAIN": self._options.trust_domain,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._options.otlp,
            "OTEL_TRACES_SAMPLER_ARG": str(self._options.trace_share),
            "POD_NAME": f"ztunnel-{self.node.name}",
            "POD_NAMESPACE": NAMESPACE,
            "INSTANCE_IP": str(self.node.address),
            "AMBIT_RESOLV_CONF": str(self._resolv_conf),
            "AMBIT_RUN_DIR": str(self._folder / "run"),
        }

    @property
    def _resolv_conf(self) -> Path:
        return self._folder / "resolv.conf"

    @property
    def _token(self) -> Path:
        return self._folder / "token"

    @property
    def _root(self) -> Path:
        return self._folder / "root-cert.pem"

    async def _await_root(self) -> None:
        while (found := self._store.get("ConfigMap", NAMESPACE, ROOT_CONFIG_MAP)) is None:
            await self._store.changed(self._store.version)
        write_whole(self._root, found["data"]["root-cert.pem"], 0o644)
        self.why = "is starting"

    async def _renew_token(self) -> None:
        pod = f"ztunnel-{self.node.name}"
        bearer = Bearer(NAMESPACE, ZTUNNEL_ACCOUNT, pod, f"uid-of-{pod}", self.node.name)
        while True:
            token = self._issuer.issue(bearer, TOKEN_AUDIENCE, int(time.time()), TOKEN_SECONDS)
            write_whole(self._token, token, 0o600, SUPERVISOR_UID if several_users() else None)
            await asyncio.sleep(TOKEN_SECONDS / 2)

    async def _watch_readiness(self) -> None:
        async def nothing(_command: list[str]) -> int:
            return 1

        while True:
            ready = await succeeds(_READY, self.node.netns, self.node.address, nothing)
            self.why = "" if ready else "ztunnel is not ready"
            await asyncio.sleep(_READY.period if ready else _READY.period / 10)
