"""The keepers of a whole lab are killed with -9 under load: nobody is refused, and nothing that is open breaks."""

import json

import pytest

from tests.lab_for_tests import Lab, MakeLab

pytestmark = pytest.mark.netns

MESH = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec: {selector: {app: echo}, ports: [{name: tcp, port: 7000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: echo, namespace: shop, labels: {app: echo}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: echo
    command: [python, netns/steady.py, serve, "7000"]
    readinessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop, labels: {app: caller}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{name: caller, command: [sleep, infinity]}]
"""

LATE = """
apiVersion: v1
kind: Pod
metadata: {name: late, namespace: shop, labels: {app: late}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{name: late, command: [sleep, infinity]}]
"""

CLIENTS, ESTABLISHED = 32, 300


def keepers(there: Lab) -> set[int]:
    """Their pids, in the lab's own process namespace."""
    return {int(pid) for pid in there.on_node("node-1", "pgrep", "-f", "ztunnel serve").out.split()}


def workers(there: Lab) -> dict[str, int]:
    found = there.on_node("node-1", "pgrep", "-l", "zt-").out.splitlines()
    return {name[3:]: int(pid) for pid, name in (line.split() for line in found)}


def ready(there: Lab) -> bool:
    """Whether every node's new supervisor knows all of its workers, and hears them."""
    nodes = ("node-1", "node-2")
    return all(
        there.on_node(node, "curl", "-sS", "127.0.0.1:15021/healthz/ready", code=None).out == "ready\n"
        for node in nodes
    )


@pytest.mark.parametrize("user", [False, True], ids=["a user for each worker", "a single user"])
def test_keepers_killed_under_load(lab: MakeLab, capsys: pytest.CaptureFixture[str], *, user: bool) -> None:
    there = lab(MESH, user=user)
    load = there.start(
        "lab", "exec", "caller", "-n", "shop", "--",
        "python", "netns/steady.py", "call", "echo", "7000", str(CLIENTS), str(ESTABLISHED),
    )  # fmt: skip
    assert load.stdout.readline() == "begun\n"
    first, before = keepers(there), workers(there)
    there.on_node("node-1", "kill", "-KILL", *map(str, first))
    there.wait(lambda: len(keepers(there) - first) == 2, "new keepers")
    there.wait(lambda: ready(there), "ready nodes")
    assert {name: workers(there)[name] for name in ("echo", "caller")} == {
        name: before[name] for name in ("echo", "caller")
    }
    out, err = load.communicate("end\n", timeout=60)
    told = json.loads(out)
    with capsys.disabled():
        print(f"\nkeepers killed under load: {told}")
    assert told["refused"] == told["lost"] == 0, (told, err, there.logs("ztunnel"))
    assert told["served"] > 100
    assert told["exchanges"] > 1000

    there.on_node("node-1", "kill", "-KILL", str(before["caller"]))
    call = ("python", "netns/steady.py", "once", "echo", "7000")
    seconds = float(there.exec("caller", *call, namespace="shop").out)
    assert seconds < 1
    there.apply(LATE)
    there.wait(lambda: "late" in workers(there), "the worker of a pod that came later")
    there.wait(lambda: there.exec("late", *call, namespace="shop", code=None).code == 0, "its first call")
    there.label("pod", "caller", "istio.io/dataplane-mode=none", namespace="shop")
    there.wait(lambda: "caller" not in workers(there), "the end of the worker of a pod that left")
    there.exec("caller", *call, namespace="shop")
