"""All parts of a waypoint, put together and run."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
from importlib.metadata import version
from typing import Final

import trio

from mesh import pki
from mesh.hbone.headers import BAGGAGE, ISTIO_SOURCE, Baggage
from mesh.identity import Identity
from mesh.net import admin, ads, certs
from mesh.net.accesslog import AccessLog
from mesh.net.deadlines import Deadlines
from mesh.net.metrics import Metrics
from mesh.net.pool import Pool
from mesh.net.relay import Relay
from mesh.net.spans import Spans
from mesh.net.tls import ClientTls, Credentials, ServerTls
from mesh.xds.node import WAYPOINT
from mesh.xds.node import Node as XdsNode
from mesh.xds.resource import WAYPOINT_TYPES
from waypoint.config import Config
from waypoint.journal import Journal
from waypoint.names import Names
from waypoint.pages import admin_pages, metrics_pages, readiness_pages
from waypoint.scene import Scene
from waypoint.server import Server
from waypoint.state import State
from waypoint.upstream import Upstream

HBONE_PORT: Final = 15008
ADMIN_PORT: Final = 15000
METRICS_PORT: Final = 15020
READINESS_PORT: Final = 15021

_FAREWELL_SECONDS: Final = 1.0
"""Callers are still let in for so long after SIGTERM: word that this waypoint goes takes a moment to reach them."""

_log = logging.getLogger("waypoint")


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT and, after that, until what is in progress has ended or its time is up."""
    waypoint = _Waypoint(config)
    try:
        await waypoint.run()
    finally:
        waypoint.close()


class _Waypoint:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = State()
        self._names = Names(config.gateway, lambda: self._state.snapshot)
        self._state.completed = self._names.filled
        self._names.changed = self._state.apply
        self._metrics = Metrics(version("ambit-mesh"))
        self._deadlines = Deadlines()
        tracing = config.tracing
        self._spans = Spans(tracing, _resource(config), self._metrics) if tracing is not None else None
        self._journal = Journal(self._metrics, AccessLog(), self._deadlines, self._spans)
        self._server: Server | None = None

    async def run(self) -> None:
        state = self._state
        readiness = admin.listener("::", READINESS_PORT)
        metrics = admin.listener("::", METRICS_PORT)
        inspection = admin.listener("127.0.0.1", ADMIN_PORT)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(admin.serve, readiness, readiness_pages(state))
                nursery.start_soon(admin.serve, metrics, metrics_pages(self._metrics))
                nursery.start_soon(admin.serve, inspection, admin_pages(state, self._config.gateway))
                nursery.start_soon(self._follow_istiod)
                nursery.start_soon(self._keep_certificate)
                nursery.start_soon(self._names.run)
                if self._spans is not None:
                    nursery.start_soon(self._spans.run)
                nursery.start_soon(self._work)
                async for number in signals:
                    _log.info("%s: %s", signal.Signals(number).name, "ending now" if state.draining else "draining")
                    if state.draining:
                        break
                    state.draining = True
                    nursery.start_soon(self._drain, nursery.cancel_scope)
                nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Write the last records."""
        self._journal.flush()

    async def _work(self) -> None:
        """Serve callers, from the moment on at which it is known who may call whom."""
        state, here = self._state, self._config.gateway
        await state.complete.wait()
        if state.credentials is None:
            raise RuntimeError("complete without credentials")
        relay, deadlines = Relay(), self._deadlines
        tls = _Tls(state.credentials)
        async with trio.open_nursery() as nursery:
            await nursery.start(relay.run)
            nursery.start_soon(deadlines.run)
            pool = Pool(relay, ClientTls(state.credentials))

            def renew(credentials: Credentials) -> None:
                tls.renew(credentials)
                pool.renew(ClientTls(credentials))

            upstream = Upstream(relay, deadlines, pool, headers=self._headers())
            dice = random.SystemRandom().random
            scene = Scene(
                here,
                lambda: state.snapshot,
                relay,
                deadlines,
                upstream,
                self._journal.note,
                dice,
                _new_id,
                sampling=self._config.tracing.sampling if self._config.tracing is not None else None,
            )
            server = self._server = Server(scene, relay, lambda: tls.server)
            state.on_change, state.on_credentials = server.recheck, renew
            self._metrics.gauge("ambit_waypoint_tunnels", "Tunnels from callers").set_function(lambda: server.tunnels)
            listener = admin.listener("::", HBONE_PORT)
            gc.collect()
            gc.freeze()  # what is here now stays: the collector need not look at it again
            _log.info("serving gateway %s/%s as %s", here.namespace, here.name, self._config.identity)
            await server.serve(listener)

    async def _drain(self, scope: trio.CancelScope) -> None:
        """Let callers hear that we go, finish what is in progress, and end."""
        await trio.sleep(_FAREWELL_SECONDS)
        server = self._server
        if server is not None:
            server.drain()
            with trio.move_on_after(self._config.drain_seconds):
                await server.wait_drained()
            server.abort()
        scope.cancel()

    async def _follow_istiod(self) -> None:
        config, state = self._config, self._state
        node = XdsNode(
            WAYPOINT,
            config.pod_name,
            config.pod_namespace,
            str(config.instance_ip),
            {"GATEWAY_NAME": config.gateway_name, "CLUSTER_ID": config.control_plane.cluster_id},
        )
        endpoint = ads.XdsEndpoint.of(config.control_plane, node)
        await ads.subscribe(
            endpoint, WAYPOINT_TYPES, state.apply, connected=state.note_connected, synced=state.note_synced
        )

    async def _keep_certificate(self) -> None:
        config = self._config
        authority = certs.CaEndpoint.of(config.control_plane)

        async def sign(csr_pem: bytes, identity: Identity) -> pki.Chain:
            return await certs.sign(authority, csr_pem, identity, config.secret_ttl, impersonate=False)

        await certs.keep(sign, config.identity, self._state.note_credentials)

    def _headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What every CONNECT of ours says of us."""
        config = self._config
        ours = Baggage(
            cluster=config.control_plane.cluster_id,
            namespace=config.pod_namespace,
            workload=config.gateway_name,
            service=config.gateway_name,
        )
        return ((BAGGAGE, ours.encode()), (ISTIO_SOURCE, b"waypoint"))


class _Tls:
    """The server's credentials in force; connections that live keep those they began with."""

    def __init__(self, credentials: Credentials) -> None:
        self.server = ServerTls(credentials)

    def renew(self, credentials: Credentials) -> None:
        self.server = ServerTls(credentials)


def _resource(config: Config) -> dict[str, str]:
    """Who makes our spans, by the names of OpenTelemetry's resource conventions."""
    return {
        "service.name": f"{config.gateway_name}.{config.pod_namespace}",
        "service.version": version("ambit-mesh"),
        "k8s.namespace.name": config.pod_namespace,
        "k8s.pod.name": config.pod_name,
        "k8s.cluster.name": config.control_plane.cluster_id,
    }


def _new_id() -> str:
    """A random UUID (RFC 9562, version 4)."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
