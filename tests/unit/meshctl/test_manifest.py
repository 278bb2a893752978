"""Documents, kinds, admission, and statuses."""

import pytest

from meshctl.failure import Failure
from meshctl.gateway import Traffic, condition, waypoint_gateway
from meshctl.kind import kind_called
from meshctl.lab.admission import problems_of
from meshctl.lab.status import merge
from meshctl.manifest import documents, dump, key_of


def test_several_documents_a_list_and_the_default_namespace() -> None:
    text = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, namespace: ignored}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: web}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}
---
"""
    found = [str(key_of(body)) for body in documents(text, "test")]
    assert found == [
        "Namespace shop",
        "ServiceAccount web in namespace default",
        "ServiceAccount web in namespace shop",
    ]


def test_dates_stay_the_text_that_they_were() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {day: 2026-01-02}"
    [body] = documents(text, "test")
    assert body["data"] == {"day": "2026-01-02"}
    assert documents(dump(body), "again") == [body]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "test is not YAML"),
        ("just words", "test, document 1 is not an object"),
        ("{apiVersion: v1, kind: Pod, metadata: {}}", "needs metadata.name"),
        ("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}}", "does not know the kind DaemonSet"),
        ("{apiVersion: v1, kind: Deployment, metadata: {name: a}}", "Write apiVersion: apps/v1"),
    ],
)
def test_what_is_no_object_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(Failure, match=reason):
        documents(text, "test")


@pytest.mark.parametrize("alias", ["po", "pod", "pods", "Pod", "PODS"])
def test_kinds_have_kubectls_names(alias: str) -> None:
    assert kind_called(alias).name == "Pod"


def test_a_misspelled_kind_is_guessed() -> None:
    with pytest.raises(Failure, match="Did you mean deployment"):
        kind_called("deploymant")


def test_what_a_lab_cannot_run_is_refused() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    }
    assert "A lab pulls no images" in next(iter(problems_of(pod)))
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "wen"}}, "spec": {"containers": [{"command": ["x"]}]}},
        },
    }
    assert list(problems_of(deployment)) == [
        "Deployment web in namespace shop: spec.selector does not match the labels of spec.template."
    ]


def test_conditions_of_two_writers_are_merged_by_type() -> None:
    own = {"phase": "x", "conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}
    written = {"conditions": [{"type": "B", "status": "False"}]}
    assert merge(own, written) == {
        "phase": "x",
        "conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}],
    }


def test_a_waypoint_is_a_gateway_with_one_hbone_listener() -> None:
    gateway = waypoint_gateway("waypoint", "shop", Traffic.ALL)
    assert gateway["metadata"]["labels"] == {"istio.io/waypoint-for": "all"}
    assert gateway["spec"]["listeners"] == [{"name": "mesh", "port": 15008, "protocol": "HBONE"}]


def test_a_condition_of_an_older_generation_says_nothing() -> None:
    gateway = waypoint_gateway("waypoint", "shop", None)
    gateway["metadata"]["generation"] = 2
    gateway["status"] = {"conditions": [{"type": "Programmed", "status": "True", "observedGeneration": 1}]}
    assert condition(gateway, "Programmed")["status"] == "Unknown"
    gateway["status"]["conditions"][0]["observedGeneration"] = 2
    assert condition(gateway, "Programmed")["status"] == "True"
