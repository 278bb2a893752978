"""All parts of the supervisor, put together and run."""

from __future__ import annotations

import json
import logging
import socket
from importlib.metadata import version
from typing import Final

import trio

from mesh.net import admin, ads
from mesh.net.accesslog import AccessLog
from mesh.net.certs import CaEndpoint
from mesh.net.crlfile import CrlFile
from mesh.net.metrics import Metrics
from mesh.net.spans import Spans
from mesh.xds.node import ZTUNNEL
from mesh.xds.node import Node as XdsNode
from mesh.xds.resource import NODE_TYPES
from ztunnel import confine
from ztunnel.config import Config
from ztunnel.supervisor.door import attend, open_door
from ztunnel.supervisor.expiry import Expiry
from ztunnel.supervisor.ledger import Ledger
from ztunnel.supervisor.pages import admin_pages, metrics_pages, readiness_pages
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.roster import Entry, Roster, read_line
from ztunnel.supervisor.session import Session
from ztunnel.supervisor.signing import Signing
from ztunnel.supervisor.state import State
from ztunnel.supervisor.tally import Tally

ADMIN_PORT: Final = 15000
METRICS_PORT: Final = 15020
READINESS_PORT: Final = 15021

_CHUNK: Final = 64 * 1024

_log = logging.getLogger("supervisor")


class Node:
    """One node's supervisor."""

    def __init__(self, config: Config) -> None:
        self._config = config
        cluster_id = config.control_plane.cluster_id
        self._place = Place(config.trust_domain, cluster_id, config.network, config.cluster_domain)
        self._state = State()
        self._roster = Roster()
        self._metrics = Metrics(version("ambit-mesh"))
        tracing = config.tracing
        self._spans = Spans(tracing, _resource(config), self._metrics) if tracing is not None else None
        self._ledger = Ledger(self._state, self._place, self._metrics, AccessLog().write_all, self._spans)
        self._tally = Tally(self._metrics)
        self._expiry = Expiry(self._metrics)
        self._signing = Signing(CaEndpoint.of(config.control_plane), self._place, config.secret_ttl)
        self._lacks = confine.lacks(confine.worker(confine.FIRST_WORKER_UID))
        self._revoked = CrlFile(config.crl_path)
        self._show_gauges()

    async def run(self, keeper: socket.socket) -> None:
        """Serve until the keeper hangs up."""
        door = open_door(self._config.supervisor_socket)
        readiness = admin.listener("::", READINESS_PORT)
        metrics = admin.listener("::", METRICS_PORT)
        inspection = admin.listener("127.0.0.1", ADMIN_PORT)
        shown = admin_pages(self._state, self._roster, self._signing, self._lacks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_istiod)
            nursery.start_soon(attend, door, self._roster, self._converse)
            nursery.start_soon(self._ledger.log)
            nursery.start_soon(self._revoked.run)
            if self._spans is not None:
                nursery.start_soon(self._spans.run)
            nursery.start_soon(admin.serve, metrics, metrics_pages(self._metrics))
            nursery.start_soon(admin.serve, readiness, readiness_pages(self._state, self._roster, self._lacks))
            nursery.start_soon(admin.serve, inspection, shown)
            await self._obey(keeper)
            nursery.cancel_scope.cancel()

    async def _obey(self, keeper: socket.socket) -> None:
        """Say that we are here, and take in which workers there are until the keeper hangs up."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(keeper))
        await stream.send_all(json.dumps({"ready": True}).encode() + b"\n")
        rest = b""
        while data := await stream.receive_some(_CHUNK):
            *lines, rest = (rest + bytes(data)).split(b"\n")
            for line in lines:
                try:
                    self._roster.note(read_line(line))
                except ValueError as fault:
                    _log.error("%s", fault)

    async def _follow_istiod(self) -> None:
        config, state = self._config, self._state
        node = XdsNode(
            ZTUNNEL,
            config.pod_name,
            config.pod_namespace,
            str(config.instance_ip),
            {"NODE_NAME": config.node_name, "CLUSTER_ID": config.control_plane.cluster_id},
        )
        endpoint = ads.XdsEndpoint.of(config.control_plane, node)
        await ads.subscribe(endpoint, NODE_TYPES, state.apply, connected=state.note_connected, synced=state.note_synced)

    async def _converse(self, entry: Entry, stream: trio.SocketStream) -> None:
        session = Session(
            entry.pod,
            stream,
            self._state,
            self._place,
            sign=self._signing.sign,
            revoked=self._revoked,
            report=lambda report: self._ledger.take(entry.pod, report),
            named=lambda naming: self._tally.take(entry.pod, naming),
            hold=lambda until: self._expiry.hold(entry, until),
        )
        try:
            with self._roster.speaking(entry):
                await session.run()
        finally:
            self._expiry.forget(entry)

    def _show_gauges(self) -> None:
        state, roster, gauge = self._state, self._roster, self._metrics.gauge
        gauge("ambit_istiod_connected", "1 while istiod tells of changes").set_function(lambda: float(state.connected))
        gauge("ambit_istiod_synced", "1 once istiod has told everything").set_function(lambda: float(state.synced))
        gauge("ambit_workers", "Workers of this node").set_function(lambda: len(roster.entries()))
        gauge("ambit_workers_connected", "Workers that are connected").set_function(lambda: len(roster.present()))
        layers = gauge("ambit_confinement", "1 if the layer holds workers in, 0 if the platform lacks it", "layer")
        for layer in confine.LAYERS:
            layers.labels(layer=layer).set(layer not in self._lacks)


def _resource(config: Config) -> dict[str, str]:
    """Who makes our spans, by the names of OpenTelemetry's resource conventions."""
    return {
        "service.name": f"ztunnel.{config.pod_namespace}",
        "service.version": version("ambit-mesh"),
        "k8s.namespace.name": config.pod_namespace,
        "k8s.pod.name": config.pod_name,
        "k8s.node.name": config.node_name,
        "k8s.cluster.name": config.control_plane.cluster_id,
    }
