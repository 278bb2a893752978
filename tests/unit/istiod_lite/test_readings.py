from __future__ import annotations

from istiod_lite.facts import Namespace, Service
from istiod_lite.readings import Readings

GOOD = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}"
CHANGED = GOOD.replace("80", "81")
BAD = GOOD.replace("80", "eighty")
OTHER = "{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{port: 80}]}}"


def ports(readings: Readings, **files: str | None) -> dict[str, list[int]]:
    """The services after an update, with their ports."""
    world = readings.update({f"{name}.yaml": text for name, text in files.items()}).world
    return {one.meta.name: [port.port for port in one.ports] for one in world.all(Service)}


def test_files_come_change_and_go() -> None:
    readings = Readings()
    assert ports(readings, a=GOOD, b=OTHER) == {"web": [80], "cart": [80]}
    assert ports(readings, a=CHANGED) == {"web": [81], "cart": [80]}
    assert ports(readings, a=None) == {"cart": [80]}


def test_a_bad_object_keeps_its_last_good_meaning_and_is_reported_once() -> None:
    readings = Readings()
    ports(readings, a=GOOD)
    outcome = readings.update({"a.yaml": BAD})
    (problem,) = outcome.problems
    assert "a.yaml" in str(problem)
    assert "Service shop/web" in str(problem)
    assert [port.port for port in outcome.world.all(Service)[0].ports] == [80]
    assert readings.update({"b.yaml": OTHER}).problems == ()
    assert ports(readings, a=CHANGED) == {"web": [81], "cart": [80]}


def test_a_bad_object_that_never_was_good_is_not_there() -> None:
    assert ports(Readings(), a=BAD, b=OTHER) == {"cart": [80]}


def test_a_file_that_is_not_yaml_keeps_all_that_was_in_it() -> None:
    readings = Readings()
    ports(readings, a=f"{GOOD}\n---\n{OTHER}")
    assert ports(readings, a=f"{CHANGED}\n---\n{{oops") == {"web": [81], "cart": [80]}
    assert ports(readings, a=CHANGED) == {"web": [81]}, "in a sound file, what is left out is gone"


def test_a_bad_object_that_is_taken_away_is_gone() -> None:
    readings = Readings()
    ports(readings, a=GOOD, b=OTHER)
    ports(readings, a=BAD)
    assert ports(readings, a=None) == {"cart": [80]}


def test_of_two_files_with_one_object_the_first_wins_until_it_goes() -> None:
    readings = Readings()
    outcome = readings.update({"a.yaml": GOOD, "b.yaml": CHANGED})
    assert ["already defined in a.yaml" in str(problem) for problem in outcome.problems] == [True]
    assert ports(readings) == {"web": [80]}
    assert ports(readings, a=None) == {"web": [81]}


def test_an_object_may_move_from_file_to_file() -> None:
    readings = Readings()
    ports(readings, a=f"{GOOD}\n---\n{OTHER}")
    assert ports(readings, a=OTHER, z=GOOD) == {"web": [80], "cart": [80]}


def test_nothing_changed_means_the_very_same_world() -> None:
    readings = Readings()
    world = readings.update({"a.yaml": GOOD}).world
    assert readings.update({}).world is world


def test_cluster_scoped_objects_are_known_by_name_alone() -> None:
    world = Readings().update({"n.yaml": "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"}).world
    assert [one.meta.name for one in world.all(Namespace)] == ["shop"]
