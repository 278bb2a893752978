"""A lab with IPv4 and IPv6: services, pods and the tunnels between them in either family."""

import re

import pytest

from tests.lab_for_tests import Lab, MakeLab
from tests.netns.meshctl.test_meshed_lab import MESHED

pytestmark = pytest.mark.netns

DUAL = MESHED.replace("spec: {selector: {app: web},", "spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web},")


def ask(there: Lab, family: str, url: str = "http://web/") -> str:
    return there.exec("client", "curl", family, "-sS", "--max-time", "5", url, namespace="shop").out


def addresses(there: Lab, app: str) -> list[str]:
    [pod] = there.pods(app, "shop")
    return [one["ip"] for one in pod["status"]["podIPs"]]


def test_every_way_is_captured_in_either_family_and_shows_the_callers_address(lab: MakeLab) -> None:
    there = lab(DUAL, dual=True)
    [service] = there.get("service", "shop", "web")
    v4, v6 = service["spec"]["clusterIPs"]
    assert (v4.count("."), v6.count("::")) == (3, 1)
    mine, theirs = addresses(there, "client"), addresses(there, "web")
    for family, own, other in (("-4", mine[0], theirs[0]), ("-6", mine[1], theirs[1])):
        where = f"[{other}]" if ":" in other else other
        for url in ("http://web/", f"http://{where}:8080/"):
            assert ask(there, family, url).split()[-1] == own, url
        tunnelled = re.compile(rf"dst.addr={re.escape(where)}:15008 .*dst.hbone_addr={re.escape(where)}:8080 ")
        there.wait(lambda seen=tunnelled: seen.search(there.logs("ztunnel", "--node", "node-1")), "the tunnel's record")


def test_a_lab_with_one_family_refuses_a_service_that_requires_two(lab: MakeLab) -> None:
    there = lab(MESHED, bare=True)
    refused = there.apply(DUAL.split("---")[1], code=1)
    assert "--ip-families dual" in refused.err
