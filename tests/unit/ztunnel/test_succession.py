"""Which workers a keeper keeps that finds some."""

from dataclasses import replace

import pytest

from ztunnel.keeper.record import Record, Stage
from ztunnel.keeper.succession import Birth, Fate, Left, fates
from ztunnel.worker.start import Pod

WANTED = Birth("2", {"drain_seconds": 5.0})
RECORD = Record(
    pid=1,
    started=100,
    pod=Pod("u", "web", "shop", "web"),
    generation=1,
    version="2",
    uid=7,
    settings={"drain_seconds": 5.0},
    namespace=(4, 4),
    listeners=(11, 12, 13),
    stage=Stage.SERVING,
)


def left(*, alive: bool = True, listening: bool = True, **changes: object) -> Left:
    return Left(replace(RECORD, **changes), alive, listening)


@pytest.mark.parametrize(
    ("one", "fate"),
    [
        (left(), Fate.SERVES),
        (left(version="1"), Fate.REPLACED),
        (left(settings={"drain_seconds": 6.0}), Fate.REPLACED),
        (left(stage=Stage.BORN), Fate.REPLACED),
        (left(alive=False), Fate.REPLACED),
        (left(stage=Stage.LEAVING), Fate.LEAVES),
        (left(listening=False), Fate.LEAVES),
    ],
)
def test_a_worker_alone(one, fate):
    assert fates([one], WANTED) == {1: fate}


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        (left(), left(generation=2), (Fate.RETIRES, Fate.SERVES)),
        (left(stage=Stage.LEAVING), left(generation=2), (Fate.DRAINS, Fate.SERVES)),
        (left(listening=False), left(generation=2), (Fate.DRAINS, Fate.SERVES)),
        (left(version="1"), left(generation=2, stage=Stage.BORN), (Fate.RETIRES, Fate.REPLACED)),
        (left(version="1"), left(generation=2, alive=False), (Fate.RETIRES, Fate.REPLACED)),
        (left(), left(generation=2, stage=Stage.LEAVING), (Fate.SERVES, Fate.DRAINS)),
        (left(stage=Stage.LEAVING), left(generation=2, stage=Stage.LEAVING), (Fate.LEAVES, Fate.LEAVES)),
    ],
)
def test_of_two_workers_of_a_pod_the_newer_goes_on(older, newer, expected):
    newer = replace(newer, record=replace(newer.record, pid=2))
    for order in ([older, newer], [newer, older]):
        found = fates(order, WANTED)
        assert (found[1], found[2]) == expected


def test_pods_do_not_concern_each_other():
    other = left(pid=2, namespace=(4, 5), version="1", generation=9)
    assert fates([left(), other], WANTED) == {1: Fate.SERVES, 2: Fate.REPLACED}
