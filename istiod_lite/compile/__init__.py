"""The compiler: a world of facts becomes the snapshot that the proxies work by.

Each kind of resource has its own file, and each resource is compiled by itself, so that a change of one object can
later be answered by compiling what depends on it and nothing else.
"""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from istiod_lite.compile.authentications import compile_authentications
from istiod_lite.compile.hosts import automatic_addresses
from istiod_lite.compile.policies import compile_policies
from istiod_lite.compile.routes import compile_routes
from istiod_lite.compile.serviceentries import compile_endpoints, compile_entry, compile_workload_entry
from istiod_lite.compile.services import compile_service
from istiod_lite.compile.settings import Settings
from istiod_lite.compile.traffic import compile_traffic
from istiod_lite.compile.workloads import compile_workload
from istiod_lite.facts import Pod, RouteFact, Service, ServiceEntry, WorkloadEntry
from mesh.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istiod_lite.world import World

__all__ = ["Settings", "compile_world"]


_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def compile_world(world: World, settings: Settings, keys: Mapping[str, str] = _NONE) -> Snapshot:
    """Everything that proxies are told. The same world always gives the same snapshot.

    `keys` are the JWK Sets of issuers that were fetched, by their URI.
    """
    entries, automatic = world.all(ServiceEntry), automatic_addresses(world, settings)
    workloads = chain(
        (compile_workload(world, pod, settings) for pod in world.all(Pod)),
        (compile_workload_entry(world, entry, settings) for entry in world.all(WorkloadEntry)),
        chain.from_iterable(compile_endpoints(world, entry, settings) for entry in entries),
    )
    services = chain(
        (compile_service(world, service, settings) for service in world.all(Service)),
        chain.from_iterable(compile_entry(world, entry, automatic, settings) for entry in entries),
    )
    routes = chain.from_iterable(compile_routes(world, route, settings) for route in world.all(RouteFact))
    return Snapshot(
        workloads={one.uid: one for one in workloads if one is not None},
        services={one.key: one for one in services if one is not None},
        policies={one.key: one for one in compile_policies(world, settings)},
        routes={one.key: one for one in routes},
        traffic={one.key: one for one in compile_traffic(world, settings)},
        authentications={one.key: one for one in compile_authentications(world, keys, settings)},
    )
