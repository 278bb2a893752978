"""From a delta xDS response to changes of a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mesh.snapshot import Change, Put
from mesh.xds import codec, resource
from mesh.xds.codec import Rejection

if TYPE_CHECKING:
    from mesh.xds.subscriber import Delivery, Subscriber

_SHARES_A_TABLE: Final = {
    resource.AUTHORIZATION: resource.WAYPOINT_POLICY,
    resource.WAYPOINT_POLICY: resource.AUTHORIZATION,
}
"""A policy that moves from nodes to waypoints keeps its key: it is put under one type and removed under the other."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a response changes, in order, and what of it cannot be read."""

    changes: tuple[Change, ...]
    rejections: tuple[Rejection, ...]


def take(subscriber: Subscriber, delivery: Delivery) -> Intake:
    """Read a delivery. Nothing is recorded yet: that is `Subscriber.settle`'s part, when the changes were applied."""
    changes: list[Change] = []
    rejections: list[Rejection] = []
    twin = _SHARES_A_TABLE.get(delivery.type_url)
    for name in delivery.removed:
        if twin is None or not subscriber.holds(twin, name):
            changes += codec.drops(delivery.type_url, name)
    for one in delivery.resources:
        if one.resource.type_url != delivery.type_url:
            rejections.append(Rejection(one.name, f"it is a {one.resource.type_url or 'nameless type'}"))
            continue
        value = codec.decode(delivery.type_url, one.name, one.resource.value)
        if isinstance(value, Rejection):
            rejections.append(value)
        else:
            changes.append(Put(value))
    return Intake(tuple(changes), tuple(rejections))
