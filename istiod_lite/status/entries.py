"""The status of ServiceEntries: the addresses that their hosts were given, and what of them is not carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istiod_lite.compile.hosts import automatic_addresses, hosts_of
from istiod_lite.compile.serviceentries import unhonoured
from istiod_lite.status.binding import waypoint_bound
from istiod_lite.status.condition import Condition

if TYPE_CHECKING:
    from istiod_lite.compile.settings import Settings
    from istiod_lite.facts import ServiceEntry
    from istiod_lite.status.condition import Moment
    from istiod_lite.world import World

Status = dict[str, Any]


class EntryStatuses:
    """What the statuses of all ServiceEntries have in common."""

    def __init__(self, world: World, settings: Settings, moment: Moment) -> None:
        self._world = world
        self._settings = settings
        self._moment = moment
        self._automatic = automatic_addresses(world, settings)

    def status(self, entry: ServiceEntry, former: Status) -> Status:
        """The status of one ServiceEntry."""
        bound = waypoint_bound(self._world, entry, self._settings)
        conditions = [self._accepted(entry)] + ([bound] if bound is not None else [])
        written = self._moment.written(conditions, entry.meta.generation, former.get("conditions"))
        keys = ((entry.meta.namespace, host) for host in hosts_of(self._world, entry, self._settings))
        addresses = [{"value": str(self._automatic[key]), "host": key[1]} for key in keys if key in self._automatic]
        return {"conditions": written} | ({"addresses": addresses} if addresses else {})

    def _accepted(self, entry: ServiceEntry) -> Condition:
        if faults := unhonoured(self._world, entry, self._settings):
            return Condition("Accepted", holds=False, reason="UnsupportedValue", message="; ".join(faults))
        return Condition("Accepted", holds=True, reason="Accepted", message="its hosts are served as written")
