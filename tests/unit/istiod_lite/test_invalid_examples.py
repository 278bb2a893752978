"""What the Gateway API's own CRDs refuse is refused by our reading as well, and what they accept is accepted."""

from __future__ import annotations

import pytest

from istiod_lite import facts, manifests

pytestmark = pytest.mark.upstream_data

HTTP_ROUTES = (
    "duplicate-header-match", "duplicate-query-match", "httproute-portless-backend", "httproute-portless-service",
    "invalid-backend-group", "invalid-backend-kind", "invalid-backend-port", "invalid-filter-duplicate",
    "invalid-filter-duplicate-header", "invalid-filter-empty", "invalid-filter-wrong-field", "invalid-header-name",
    "invalid-hostname", "invalid-httpredirect-hostname", "invalid-method", "invalid-path-alphanum-specialchars-mix",
    "invalid-path-specialchars", "invalid-request-redirect-with-backendref",
)  # fmt: skip
GATEWAYS = (
    "duplicate-listeners", "hostname-tcp", "hostname-udp", "invalid-addresses", "invalid-listener-name",
    "invalid-listener-port", "invalid-tls-mode", "tlsconfig-tcp",
)  # fmt: skip
FIELDS = {
    "standard/httproute/invalid-method": "spec.rules[0].matches[0].method",
    "standard/httproute/invalid-backend-port": "spec.rules[0].backendRefs[0].port",
    "standard/httproute/invalid-filter-duplicate-header": "spec.rules[0].filters[0].requestHeaderModifier.remove[1]",
    "standard/gateway/invalid-listener-name": "spec.listeners[0].name",
    "standard/gateway/tlsconfig-tcp": "spec.listeners[0].tls",
}


def read(text: str):
    objects, problems = manifests.load({"example.yaml": text})
    assert problems == []
    return [facts.read(one) for one in objects]


@pytest.mark.parametrize(
    "example",
    [
        *(f"standard/httproute/{name}" for name in HTTP_ROUTES),
        *(f"standard/gateway/{name}" for name in GATEWAYS),
        "standard/gatewayclass/invalid-controller",
        "experimental/httproute/invalid-header-value",
        "experimental/httproute/invalid-filter-externalauth-empty",
    ],
)
def test_an_invalid_example_is_refused(gateway_api, example: str):
    for found in read((gateway_api / "conformance/invalid-examples" / f"{example}.yaml").read_text()):
        assert isinstance(found, list)
        assert found, "it was passed over instead of refused"
        assert all(problem.grave for problem in found)
        if example in FIELDS:
            assert FIELDS[example] in {problem.field for problem in found}


def test_the_list_above_misses_no_example(gateway_api):
    folder = gateway_api / "conformance/invalid-examples/standard"
    assert {one.stem for one in (folder / "httproute").glob("*.yaml")} == set(HTTP_ROUTES)
    assert {one.stem for one in (folder / "gateway").glob("*.yaml")} == set(GATEWAYS)


@pytest.mark.parametrize("folder", ["mesh", "tests-mesh"])
def test_all_objects_of_the_mesh_conformance_tests_are_accepted(gateway_api, folder: str):
    files = sorted((gateway_api / "conformance" / folder).glob("*.yaml"))
    assert files
    for file in files:
        assert [found for found in read(file.read_text()) if isinstance(found, list)] == []
