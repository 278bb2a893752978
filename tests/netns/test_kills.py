"""Parts of a whole lab are killed and restarted under load: no new connection fails, nothing that is open breaks."""

from collections.abc import Iterator

import pytest

from bench.kills import scenes
from bench.kills.mesh import ESTABLISHED, Mesh, Told, lab
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


@pytest.mark.parametrize("scene", [scenes.supervisors_killed, scenes.supervisors_restarted, scenes.keepers_killed])
def test_nobody_notices(mesh, scene):
    assert_nobody_noticed(scene(mesh).told)


def test_a_killed_worker_is_its_own_pods_matter(mesh):
    """Its own connections end, nobody else's; the next one waits for the next worker."""
    outcome = scenes.worker_killed(mesh)
    assert_nobody_noticed(outcome.told)
    assert outcome.own.lost == scenes.OWN_ESTABLISHED
    assert outcome.own.refused <= scenes.OWN_CLIENTS, "only what the worker had taken already may end with it"
    assert outcome.own.served > 20
    assert outcome.own.slowest < 1
