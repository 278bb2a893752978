"""istiod-lite at work: from the folder to the proxies, and back to the folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import grpc

from istiod_lite import status, waypoints
from istiod_lite.ads import DiscoveryService
from istiod_lite.authority import load_or_create
from istiod_lite.ca import CertificateService
from istiod_lite.compile import compile_world
from istiod_lite.doorkeeper import Doorkeeper
from istiod_lite.facts import Namespace, RequestAuthentication
from istiod_lite.fetch import fetch
from istiod_lite.folder import Folder
from istiod_lite.issuers import Issuers
from istiod_lite.mirror import Mirror
from istiod_lite.object import ObjectKey
from istiod_lite.present import Present
from istiod_lite.publish import Publication, publish
from istiod_lite.readiness import Readiness
from istiod_lite.readings import Readings
from istiod_lite.watch import watch
from mesh import jwks, pki

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from istiod_lite.config import Serve

_SERVER_NAMES: Final = ("istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", "istiod", "localhost")
_ROOT_CONFIG_MAP: Final = "istio-ca-root-cert"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 200 * 1024 * 1024),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_GRACE: Final = 0.2

_log = logging.getLogger("istiod")


class ControlPlane:
    """Everything that istiod knows at the moment, and what follows from it."""

    def __init__(self, config: Serve) -> None:
        self.config = config
        self._readings = Readings()
        self._publication = Publication()
        self._statuses = Mirror(config.status) if config.status is not None else None
        self._generated = Mirror(config.generated) if config.generated is not None else None
        self._former = _statuses_of(self._statuses) if self._statuses is not None else {}
        self.present = Present()
        self.authority = load_or_create(config.state, config.settings.trust_domain, datetime.now(UTC))
        dice = random.SystemRandom().random
        self.issuers = Issuers(lambda uri: fetch(uri, config.reach, jwks.LONGEST), config.state / "jwks.json", dice)

    def update(self, changes: Mapping[str, str | None]) -> Publication:
        """Take in changed files; say what is wrong with them; write what istiod owns; give what is to be served."""
        outcome = self._readings.update(changes)
        for problem in outcome.problems:
            _log.log(logging.ERROR if problem.grave else logging.WARNING, "%s", problem)
        self.present.become(outcome.world)
        rules = (rule for one in outcome.world.all(RequestAuthentication) for rule in one.rules)
        self.issuers.want(rule.uri for rule in rules if rule.uri)
        return self.renew()

    def renew(self) -> Publication:
        """What is to be served now that there is news of manifests or of issuers' keys."""
        settings = self.config.settings
        snapshot = compile_world(self.present.world, settings, self.issuers.keys)
        self._publication = publish(snapshot, self._publication, settings.service_key)
        self._write()
        return self._publication

    def _write(self) -> None:
        if self._generated is not None:
            self._generated.hold(self._owned())
        if self._statuses is not None:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._former = status.statuses(
                self.present.world,
                self.config.settings,
                former=self._former,
                now=now,
                missing=self.issuers.missing,
            )
            self._statuses.hold(status.document(key, one) for key, one in self._former.items())

    def _owned(self) -> Iterator[dict[str, Any]]:
        """The objects that istiod itself has made: waypoints, and the root certificate in every namespace."""
        settings = self.config.settings
        around = waypoints.Surroundings(
            trust_domain=settings.trust_domain,
            cluster_id=settings.cluster_id,
            network=settings.network,
            otlp_endpoint=self.config.otlp_endpoint,
            trace_share=self.config.trace_share,
        )
        yield from waypoints.owned(self.present.world, around)
        for namespace in self.present.world.all(Namespace):
            metadata = {"name": _ROOT_CONFIG_MAP, "namespace": namespace.meta.name}
            data = {"root-cert.pem": self.authority.certificate_pem.decode()}
            yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def serve(config: Serve) -> None:
    """Run until SIGTERM or SIGINT. Proxies are served from the moment when all manifests were read once."""
    plane, readiness, doorkeeper = ControlPlane(config), Readiness(), Doorkeeper(config.token_jwks)
    discovery = DiscoveryService(doorkeeper)
    certificates = CertificateService(
        plane.authority,
        doorkeeper,
        plane.present,
        config.settings.trust_domain,
        config.trusted_node_accounts,
    )
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((discovery.handler(), certificates.handler()))
    port = server.add_secure_port(config.listen, _ServerCertificate(plane.authority).credentials())
    health = await readiness.serve(*_host_port(config.ready_listen))

    async def ready() -> None:
        await server.start()
        readiness.ready = True
        _log.info("serving on port %d", port)

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with health, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(plane, discovery, ready))
        fetching = tasks.create_task(_fetch_keys(plane, discovery))
        await stopped.wait()
        following.cancel()
        fetching.cancel()
        await server.stop(_GRACE)


async def _follow(plane: ControlPlane, discovery: DiscoveryService, ready: Callable[[], Awaitable[None]]) -> None:
    """Take in the folder and all its changes. `ready` is called once, when there is something to serve."""
    serving = False
    async for changes in watch(Folder(plane.config.manifests)):
        try:
            publication = plane.update(changes)
        except Exception:
            if not serving:
                raise
            # Proxies and their certificates depend on this process: it goes on with what it published last.
            _log.exception("these changes could not be taken in: %s", ", ".join(sorted(changes)))
            continue
        discovery.publish(publication)
        _tell(changes, publication)
        if not serving:
            serving = True
            await ready()


async def _fetch_keys(plane: ControlPlane, discovery: DiscoveryService) -> None:
    """Keep the keys of issuers, and tell proxies and people of every change."""

    def changed() -> None:
        try:
            discovery.publish(plane.renew())
        except Exception:  # noqa: BLE001  proxies depend on this process: it goes on with what it published last
            _log.exception("news of issuers' keys could not be taken in")

    plane.issuers.changed = changed
    await plane.issuers.run()


def _tell(changes: Mapping[str, str | None], publication: Publication) -> None:
    counts = ", ".join(
        f"{len(names)} of {url.rpartition('/')[2]}" for url, names in sorted(publication.changes.items())
    )
    _log.info("%d files changed: %s", len(changes), counts or "nothing new for proxies")


def _statuses_of(mirror: Mirror) -> dict[ObjectKey, dict[str, Any]]:
    """The statuses that a former process wrote, so that conditions keep the times of their transitions."""
    found: dict[ObjectKey, dict[str, Any]] = {}
    for one in mirror.documents():
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            group = one["apiVersion"].rpartition("/")[0]
            metadata = one["metadata"]
            found[ObjectKey(group, one["kind"], metadata.get("namespace", ""), metadata["name"])] = one["status"]
    return found


class _ServerCertificate:
    """Certificates for the server itself, signed by the root that clients trust; each serves for half of its life."""

    def __init__(self, authority: pki.Authority) -> None:
        self._authority = authority
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def credentials(self) -> grpc.ServerCredentials:
        """What the server listens with; gRPC asks for news at every handshake."""
        return grpc.dynamic_ssl_server_credentials(self._fresh(), self._news, require_client_authentication=False)

    def _news(self) -> grpc.ServerCertificateConfiguration:
        """The next certificate when its time has come; None, which the stubs do not know of, keeps the one in use."""
        return self._fresh() if datetime.now(UTC) >= self._renew_at else None  # type: ignore[return-value]

    def _fresh(self) -> grpc.ServerCertificateConfiguration:
        key, now = pki.new_key(), datetime.now(UTC)
        certificate = pki.issue_server(self._authority, key, _SERVER_NAMES, now)
        self._renew_at = pki.renew_at(pki.leaf_of(certificate))
        return grpc.ssl_server_certificate_configuration([(pki.key_pem(key), certificate)])


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
