"""What a container is to run, worked out from its pod."""

from collections.abc import Mapping
from typing import Any

import pytest

from meshctl.lab.podspec import Unmet, expanded, plan_container
from meshctl.lab.privilege import USUAL
from meshctl.manifest import Body

POD: Body = {
    "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "labels": {"app": "web"}},
    "spec": {"nodeName": "node-1", "serviceAccountName": "web"},
    "status": {"podIP": "10.244.1.2", "podIPs": [{"ip": "10.244.1.2"}], "hostIP": "172.30.0.11"},
}
MAPS = {"settings": {"COLOUR": "blue"}}


def plan(container: Mapping[str, Any], pod: Body = POD) -> Any:
    return plan_container(pod, {"name": "web", "command": ["serve"], **container}, MAPS.get, "/bin")


def test_arguments_follow_the_command_and_variables_are_filled_in() -> None:
    found = plan({"args": ["--port=$(PORT)", "$(NONE)", "$$(PORT)"], "env": [{"name": "PORT", "value": "80"}]})
    assert found.command == ("serve", "--port=80", "$(NONE)", "$(PORT)")


def test_a_variable_may_use_an_earlier_one() -> None:
    env = [{"name": "HOST", "value": "web"}, {"name": "URL", "value": "http://$(HOST)/"}]
    assert plan({"env": env}).env["URL"] == "http://web/"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "web"),
        ("status.podIP", "10.244.1.2"),
        ("status.podIPs", "10.244.1.2"),
        ("status.hostIP", "172.30.0.11"),
    ],
)
def test_a_pod_can_know_itself(path: str, expected: str) -> None:
    env = [{"name": "IT", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert plan({"env": env}).env["IT"] == expected


def test_variables_come_from_config_maps() -> None:
    one = {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}}
    found = plan({"env": [one], "envFrom": [{"configMapRef": {"name": "settings"}}]})
    assert (found.env["C"], found.env["COLOUR"]) == ("blue", "blue")


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"command": []}, "no command"),
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, "ConfigMap none does not exist yet"),
        ({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.colour"}}}]}, "spec.colour"),
        ({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "secretKeyRef"),
    ],
)
def test_what_is_missing_is_named(container: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unmet, match=reason):
        plan(container)


def test_the_containers_user_wins_over_the_pods() -> None:
    pod = {**POD, "spec": {**POD["spec"], "securityContext": {"runAsUser": 1, "runAsGroup": 2}}}
    found = plan({"securityContext": {"runAsUser": 1337}}, pod).privilege
    assert (found.user, found.group) == (1337, 2)


def test_a_container_cannot_send_raw_packets_unless_it_says_so() -> None:
    assert "NET_RAW" not in plan({}).privilege.capabilities
    added = plan({"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}).privilege.capabilities
    assert added == USUAL | {"NET_RAW"}
    assert plan({"securityContext": {"capabilities": {"drop": ["ALL"]}}}).privilege.capabilities == frozenset()


def test_dollars() -> None:
    assert expanded("$(A) $$(A) $$$(A) $A", {"A": "1"}) == "1 $(A) $1 $A"
