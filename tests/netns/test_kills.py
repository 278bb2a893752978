"""Parts of a whole lab are killed and restarted under load: no new connection fails, nothing that is open breaks."""

from collections.abc import Iterator

import pytest

from bench.kills import scenes
from bench.kills.mesh import ESTABLISHED, NO_NEIGHBOURS, Mesh, Told, lab
from tests.lab_for_tests import unused_name

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with lab(unused_name()) as made:
        yield made


def assert_nobody_noticed(told: Told) -> None:
    assert told.refused == told.lost == 0, told
    assert told.established == ESTABLISHED
    assert told.exchanges > ESTABLISHED
    assert told.served > 200


def assert_policies_are_current(mesh: Mesh) -> None:
    """A change that comes afterwards is in force on workers old and new, and so is its end."""
    mesh.apply(NO_NEIGHBOURS)
    mesh.wait("the policy in force", lambda: not mesh.served("neighbour"))
    mesh.delete("authorizationpolicy", "no-neighbours")
    mesh.wait("its end", lambda: mesh.served("neighbour"))


@pytest.mark.parametrize(
    "scene", [scenes.supervisors_killed, scenes.supervisors_restarted, scenes.keepers_killed, scenes.istiod_away]
)
def test_nobody_notices(mesh, scene):
    assert_nobody_noticed(scene(mesh).told)
    assert_policies_are_current(mesh)


@pytest.mark.parametrize(
    "scene", [scenes.caller_leaves_and_returns, scenes.server_leaves_and_returns, scenes.server_deleted]
)
def test_pods_come_and_go_and_no_new_connection_fails(mesh, scene):
    told = scene(mesh).told
    assert told.refused == 0, told
    assert told.served > 200


def test_a_node_is_upgraded_and_nobody_notices(mesh):
    """First to a version beside the running one, then by another that is put in its place."""
    for scene in (scenes.upgraded, scenes.upgraded_in_place):
        assert_nobody_noticed(scene(mesh).told)
        assert_policies_are_current(mesh)


def test_a_killed_worker_is_its_own_pods_matter(mesh):
    """Its own connections end, nobody else's; the next one waits for the next worker."""
    outcome = scenes.worker_killed(mesh)
    assert_nobody_noticed(outcome.told)
    assert outcome.own.lost == scenes.OWN_ESTABLISHED
    assert outcome.own.refused <= scenes.OWN_CLIENTS, "only what the worker had taken already may end with it"
    assert outcome.own.served > 20
    assert outcome.own.slowest < 1
