"""The keepers of a whole lab are killed with -9 under load: nobody is refused, and nothing that is open breaks."""

import subprocess

import pytest

from bench.kills import scenes
from bench.kills.mesh import ESTABLISHED, MANIFESTS, Mesh
from tests.lab_for_tests import MakeLab

pytestmark = pytest.mark.netns

LATE = """
apiVersion: v1
kind: Pod
metadata: {name: late, namespace: steady, labels: {app: late}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{name: late, command: [sleep, infinity]}]
"""


@pytest.mark.parametrize("user", [False, True], ids=["a user for each worker", "a single user"])
def test_keepers_killed_under_load(lab: MakeLab, capsys: pytest.CaptureFixture[str], *, user: bool) -> None:
    there = lab(MANIFESTS, user=user)
    mesh = Mesh(there.name, there.prefix, there.environment)
    before = {pod: mesh.pids(pod) for pod in ("echo", "caller")}
    told = scenes.keepers_killed(mesh).told
    with capsys.disabled():
        print(f"\nkeepers killed under load: {told}")
    assert told.refused == told.lost == 0, (told, there.logs("ztunnel"))
    assert told.served > 100
    assert told.exchanges > ESTABLISHED
    assert before == {pod: mesh.pids(pod) for pod in before}

    there.on_node("node-1", "kill", "-KILL", *map(str, before["caller"]))
    assert mesh.once("caller") < 1
    there.apply(LATE)
    there.wait(lambda: mesh.pids("late"), "the worker of a pod that came later")
    there.wait(lambda: served(mesh, "late"), "its first call")
    there.label("pod", "caller", "istio.io/dataplane-mode=none", namespace="steady")
    there.wait(lambda: not mesh.pids("caller"), "the end of the worker of a pod that left")
    assert served(mesh, "caller")


def served(mesh: Mesh, pod: str) -> bool:
    try:
        mesh.once(pod)
    except subprocess.CalledProcessError:
        return False
    return True
