"""What a Deployment makes of its pods."""

import itertools

from meshctl.lab.controllers.deployment import deployment_edits, owner_of, template_hash
from meshctl.lab.controllers.edit import Edit, Put, Terminate
from meshctl.lab.store import Objects
from meshctl.manifest import Body, key_of


def deployment(replicas: int = 2, command: str = "one", **spec: object) -> Body:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "command": [command]}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "d1", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


class Cluster:
    """Applies edits the way the daemon does."""

    def __init__(self, *bodies: Body) -> None:
        self.objects: Objects = {key_of(body): body for body in bodies}
        self._letters = (f"{number:05d}" for number in itertools.count())

    def step(self) -> list[Edit]:
        edits = deployment_edits(self.objects, lambda: next(self._letters))
        for edit in edits:
            match edit:
                case Put(body):
                    self.objects[key_of(body)] = body
                case Terminate(key):
                    pod = self.objects[key]
                    metadata = {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
                    self.objects[key] = {**pod, "metadata": metadata}
        return edits

    def settle(self) -> None:
        while self.step():
            pass

    def become_ready(self) -> None:
        for pod in self.pods:
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.objects[key_of(pod)] = {**pod, "status": ready}

    def bury(self) -> None:
        for pod in self.going:
            del self.objects[key_of(pod)]

    def replace(self, body: Body) -> None:
        self.objects[key_of(body)] = body

    @property
    def pods(self) -> list[Body]:
        found = [body for key, body in sorted(self.objects.items()) if key.kind == "Pod"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    @property
    def going(self) -> list[Body]:
        return [body for body in self.objects.values() if "deletionTimestamp" in body["metadata"]]

    @property
    def commands(self) -> list[str]:
        return [pod["spec"]["containers"][0]["command"][0] for pod in self.pods]


def test_makes_as_many_pods_as_asked_for_and_owns_them() -> None:
    cluster = Cluster(deployment(replicas=3))
    cluster.settle()
    assert len(cluster.pods) == 3
    web = deployment()
    current = template_hash(web["spec"]["template"])
    for pod in cluster.pods:
        assert pod["metadata"]["name"].startswith(f"web-{current}-")
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": current}
        assert owner_of(pod) == key_of(web)


def test_template_hashes_look_like_kubernetes_own() -> None:
    found = template_hash(deployment()["spec"]["template"])
    assert len(found) == 10
    assert set(found) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_replaces_a_pod_that_is_going() -> None:
    cluster = Cluster(deployment(replicas=1))
    cluster.settle()
    [pod] = cluster.pods
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.settle()
    assert len(cluster.pods) == 1
    assert cluster.pods[0]["metadata"]["name"] != pod["metadata"]["name"]


def test_scaling_down_ends_unready_pods_first() -> None:
    cluster = Cluster(deployment(replicas=2))
    cluster.settle()
    _, second = cluster.pods
    cluster.objects[key_of(second)] = {**second, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    cluster.replace(deployment(replicas=1))
    cluster.settle()
    assert [pod["metadata"]["name"] for pod in cluster.pods] == [second["metadata"]["name"]]


def test_a_changed_template_is_rolled_out_with_never_fewer_ready_pods_than_asked_for() -> None:
    cluster = Cluster(deployment(replicas=3))
    cluster.settle()
    cluster.become_ready()
    cluster.replace(deployment(replicas=3, command="two"))
    for _ in range(20):
        cluster.settle()
        ready = [pod for pod in cluster.pods if "status" in pod]
        assert len(ready) >= 3
        assert len(cluster.pods) <= 4
        cluster.bury()
        cluster.become_ready()
    assert cluster.commands == ["two"] * 3


def test_a_broken_new_version_never_replaces_the_old_one() -> None:
    cluster = Cluster(deployment(replicas=2))
    cluster.settle()
    cluster.become_ready()
    cluster.replace(deployment(replicas=2, command="broken"))
    for _ in range(10):
        cluster.settle()
        cluster.bury()
    assert sorted(cluster.commands) == ["broken", "one", "one"]


def test_recreate_waits_until_the_last_old_pod_has_gone() -> None:
    cluster = Cluster(deployment(replicas=1, strategy={"type": "Recreate"}))
    cluster.settle()
    cluster.replace(deployment(replicas=1, command="two", strategy={"type": "Recreate"}))
    cluster.settle()
    assert cluster.commands == []
    cluster.bury()
    cluster.settle()
    assert cluster.commands == ["two"]


def test_pods_end_with_their_deployment() -> None:
    cluster = Cluster(deployment())
    cluster.settle()
    del cluster.objects[key_of(deployment())]
    cluster.settle()
    assert cluster.pods == []


def test_status_counts_pods() -> None:
    cluster = Cluster(deployment())
    cluster.settle()
    cluster.become_ready()
    cluster.settle()
    status = cluster.objects[key_of(deployment())]["status"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert status["conditions"] == [{"type": "Available", "status": "True"}]
