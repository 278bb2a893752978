"""How a worker's bare facts become a record: its own side is who it is, not who it says it is."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mesh.address import Address
from mesh.identity import Identity
from mesh.record import Event, Reporter
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Snapshot
from mesh.trace import SAMPLED, Step, TraceContext
from mesh.workload import Workload
from ztunnel.channel.frames import ChannelError
from ztunnel.channel.sighting import Sighting, complete, from_document

WEB = Workload("web", "web", "shop", "web", addresses=(ip_address("10.0.0.1"),))
DB = Workload("db", "db", "shop", "db", addresses=(ip_address("10.0.0.2"),))
MESH = Snapshot.of((WEB, DB))
HERE, THERE = Address.parse("10.0.0.1:40000"), Address.parse("10.0.0.2:8080")


def test_outbound_the_worker_is_the_source() -> None:
    seen = Sighting(Event.OPENED, outbound=True, source=HERE, destination=THERE, peer=DB.identity, endpoint="db")
    record = complete(seen, MESH, WEB, WEB.identity, "")
    assert record.reporter is Reporter.SOURCE
    assert (record.source.workload, record.source.identity) == (WEB, WEB.identity)
    assert (record.destination.workload, record.destination.identity) == (DB, DB.identity)


def test_inbound_the_worker_is_the_destination_and_the_caller_is_found_by_address() -> None:
    seen = Sighting(Event.OPENED, outbound=False, source=HERE, destination=THERE, peer=WEB.identity)
    record = complete(seen, MESH, DB, DB.identity, "")
    assert record.reporter is Reporter.DESTINATION
    assert (record.source.workload, record.source.identity) == (WEB, WEB.identity)
    assert (record.destination.workload, record.destination.identity) == (DB, DB.identity)


def test_a_worker_cannot_speak_for_another_pod() -> None:
    """However it describes its own side, the record shows the pod that it serves."""
    seen = Sighting(Event.CLOSED, outbound=True, source=THERE, destination=THERE, endpoint="db")
    record = complete(seen, MESH, WEB, WEB.identity, "")
    assert (record.source.workload, record.source.identity) == (WEB, WEB.identity)


def test_the_place_in_a_trace_is_the_workers_to_tell() -> None:
    step = Step(TraceContext("a" * 32, "b" * 16, SAMPLED), "c" * 16)
    seen = Sighting(Event.CLOSED, outbound=True, trace="a" * 32, step=step, moments=(("resolved", 0.5),), ended=7)
    record = complete(seen, MESH, WEB, WEB.identity, "")
    assert (record.step, record.moments, record.ended) == (step, (("resolved", 0.5),), 7)


@pytest.mark.parametrize(
    "more",
    [
        {"step": {"own": "nonsense"}},
        {"step": {"own": f"00-{'a' * 32}-{'b' * 16}-01", "parent": "b" * 15}},
        {"step": {"own": f"00-{'a' * 32}-{'b' * 16}-01", "state": "a=1"}},
        {"moments": [["resolved"]]},
        {"moments": [["resolved", -1]]},
        {"moments": [["resolved", 1.0]] * 17},
        {"ended": -1},
        {"ended": True},
    ],
)
def test_what_no_span_can_be_made_of_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ChannelError):
        from_document({"event": "CLOSED", "outbound": True, "seconds": 1.0, **more})


def test_what_is_not_known_is_left_out() -> None:
    refusal = Refusal(Reason.OVER_BUDGET, "too many")
    record = complete(Sighting(Event.CLOSED, outbound=True, refusal=refusal), Snapshot(), None, WEB.identity, "")
    assert (record.source.workload, record.destination.workload) == (None, None)
    assert record.source.identity == Identity("cluster.local", "shop", "web")
    assert record.refusal == refusal
