"""Manifests: text becomes objects, and faults of the text become problems that name file, line and mend."""

from __future__ import annotations

import pytest

from istiod_lite import manifests
from istiod_lite.object import ObjectKey

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\n"


def load(text: str, source: str = "a.yaml"):
    return manifests.load({source: text})


def test_several_documents_and_their_lines():
    objects, problems = load(f"# a comment\n---\n{SERVICE}---\n\n---\n{SERVICE.replace('cart', 'web')}")
    assert problems == []
    assert [(one.name, one.line) for one in objects] == [("cart", 3), ("web", 9)]
    assert objects[0].key == ObjectKey("", "Service", "shop", "cart")


def test_a_namespaced_object_without_namespace_is_in_default_and_a_namespace_is_in_none():
    objects, _ = load(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"
    )
    assert [one.namespace for one in objects] == ["default", ""]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n",
        "apiVersion: v1\nkind: PodList\nitems:\n- {metadata: {name: a}}\n",
    ],
)
def test_lists_are_taken_apart(text: str):
    objects, problems = load(text)
    assert problems == []
    assert [str(one.key) for one in objects] == ["Pod default/a"]


def test_json_files_and_several_values_in_one():
    pod = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "NAME"}}'
    text = pod.replace("NAME", "a") + "\n\n" + pod.replace("NAME", "b")
    objects, problems = load(text, "a.json")
    assert problems == []
    assert [(one.name, one.line) for one in objects] == [("a", 1), ("b", 3)]


def test_yaml_is_read_as_kubernetes_reads_it():
    objects, _ = load(
        SERVICE + "data: {when: 2026-01-01T00:00:00Z, time: 12:30:45, yes: 1, 8080: x, rate: 1.5, big: 1e+3}\n"
    )
    assert objects[0].body["data"] == {
        "when": "2026-01-01T00:00:00Z", "time": "12:30:45", "true": 1, "8080": "x", "rate": 1.5, "big": 1000.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "a.yaml:2: this is not YAML: did not find expected ',' or ']' (mend the syntax)"),
        (SERVICE + "spec:\n  a: 1\n  a: 2\n", "a.yaml:6: 'a' is given twice in one mapping (keep one of them)"),
        ("- 1\n", "a.yaml:1: a manifest is a mapping, this is a list (begin with apiVersion, kind and metadata)"),
        ("hello", "a.yaml:1: a manifest is a mapping, this is the text 'hello'"),
        ("kind: Pod\nmetadata: {name: a}\n", "a.yaml:1: Pod: apiVersion: the apiVersion is missing"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "a.yaml:1: kind: the kind is missing"),
        ("apiVersion: v1\nkind: Pod\n", "a.yaml:1: Pod: metadata: metadata is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "metadata.name: the name is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n", "metadata.name: the name 'A_b' is not a name"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: A}\n",
            "metadata.namespace: 'A' is not a namespace",
        ),
    ],
)
def test_a_fault_names_its_place_and_its_mend(text: str, said: str):
    _, problems = load(text)
    assert [str(one)[: len(said)] if not said.startswith("meta") else said in str(one) for one in problems] == [
        said if not said.startswith("meta") else True
    ]


def test_documents_before_a_syntax_fault_still_count():
    objects, problems = load(SERVICE + "---\n{\n")
    assert [one.name for one in objects] == ["cart"]
    assert len(problems) == 1


def test_json_faults():
    _, problems = load('{"a": 1,\n "a": 2}', "a.json")
    assert [one.message for one in problems] == ["'a' is given twice in one object"]
    _, problems = load('{"a": \n}', "a.json")
    assert (problems[0].line, problems[0].message) == (2, "this is not JSON: Expecting value")


def test_the_same_object_twice_is_a_fault_of_the_second():
    objects, problems = manifests.load({"a.yaml": SERVICE, "b.yaml": "\n" + SERVICE})
    assert [one.source for one in objects] == ["a.yaml"]
    assert str(problems[0]) == (
        "b.yaml:2: Service shop/cart: metadata.name: "
        "the same object is already defined in a.yaml:1 (keep one of the two)"
    )


def test_the_same_name_in_two_api_groups_is_two_objects():
    other = SERVICE.replace("v1", "serving.knative.dev/v1")
    objects, problems = manifests.load({"a.yaml": SERVICE, "b.yaml": other})
    assert (len(objects), problems) == (2, [])
