"""A Service's limits in a lab: a TrafficPolicy applied, kept to by the waypoint, and taken away again."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.lab_for_tests import Lab, MakeLab
from tests.netns.waypoint.test_waypoint_in_lab import SHOP, curl, metrics, status

pytestmark = pytest.mark.netns

LIMIT = """
apiVersion: policy.ambit-mesh.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  rateLimit: {requests: 5, per: 1h}
"""


def accepted(there: Lab) -> tuple[str, str]:
    [policy] = there.get("trafficpolicies", "shop", "web")
    for ancestor in policy.get("status", {}).get("ancestors", ()):
        for condition in ancestor["conditions"]:
            return condition["status"], condition["reason"]
    return "", ""


def test_a_service_takes_no_more_than_its_policy_says(lab: MakeLab) -> None:
    there = lab(SHOP)
    there.meshctl("waypoint", "create", "-n", "shop", "--enroll-namespace", "--wait", seconds=100)
    there.wait(lambda: status(there, "http://web/") == "200", "an answer through the waypoint")
    there.wait(lambda: 'reporter="waypoint"' in metrics(there), "the waypoint's own count of requests")

    there.apply(LIMIT)
    there.wait(lambda: accepted(there) == ("True", "Accepted"), "the policy's status")
    there.wait(lambda: status(there, "http://web/") == "429", "the limit")
    answers = Counter(curl(there, "-o", "/dev/null", "-w", "%{http_code}\\n", "http://web/[1-20]").split())
    assert answers == {"429": 20}
    assert "retry-after: " in curl(there, "-i", "http://web/").lower()
    assert 'response_flags="RL"' in metrics(there)

    there.delete("trafficpolicy", "web", "shop")
    there.wait(lambda: status(there, "http://web/") == "200", "an answer without a limit")


FAULT = """
apiVersion: policy.ambit-mesh.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  faults: {abort: {httpStatus: 418}}
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: pod, ttl: 60s}}}}
"""


def reason(there: Lab) -> str:
    [rule] = there.get("destinationrules", "shop", "web")
    return next((one["reason"] for one in rule.get("status", {}).get("conditions", ())), "")


def test_a_destination_rule_is_kept_to_until_a_traffic_policy_takes_its_place(lab: MakeLab) -> None:
    there = lab(SHOP)
    there.meshctl("waypoint", "create", "-n", "shop", "--enroll-namespace", "--wait", seconds=100)
    there.wait(lambda: status(there, "http://web/") == "200", "an answer through the waypoint")

    there.apply(RULE)
    there.wait(lambda: reason(there) == "Accepted", "the rule's status")
    there.wait(lambda: "set-cookie: pod=" in curl(there, "-i", "http://web/").lower(), "the cookie")

    there.apply(FAULT)
    there.wait(lambda: status(there, "http://web/") == "418", "the fault")
    there.wait(lambda: reason(there) == "Conflicted", "the rule's status")
    assert "set-cookie" not in curl(there, "-i", "http://web/").lower()
    assert 'response_flags="FI"' in metrics(there)

    there.delete("trafficpolicy", "web", "shop")
    there.wait(lambda: "set-cookie: pod=" in curl(there, "-i", "http://web/").lower(), "the cookie again")
