import pytest

from mesh.enrolment import enrolled, names_captured

AMBIENT = {"istio.io/dataplane-mode": "ambient"}
NONE = {"istio.io/dataplane-mode": "none"}
SIDECAR = {"sidecar.istio.io/status": "{}"}


@pytest.mark.parametrize(
    ("namespace", "pod", "annotations", "host_network", "captured", "why"),
    [
        ({}, {}, {}, False, False, "neither the pod nor its namespace"),
        (AMBIENT, {}, {}, False, True, "its namespace is labelled"),
        ({}, AMBIENT, {}, False, True, "the pod is labelled"),
        (AMBIENT, NONE, {}, False, False, "the pod is labelled"),
        (NONE, AMBIENT, {}, False, True, "the pod is labelled"),
        (NONE, {}, {}, False, False, "its namespace is labelled"),
        (AMBIENT, {"istio.io/dataplane-mode": "sidecar"}, {}, False, True, "its namespace is labelled"),
        (AMBIENT, AMBIENT, {}, True, False, "the host's network"),
        (AMBIENT, AMBIENT, SIDECAR, False, False, "a sidecar"),
    ],
)
def test_the_pod_beats_its_namespace_and_some_pods_never_enrol(
    namespace, pod, annotations, host_network, captured, why
):
    decision = enrolled(namespace, pod, annotations, host_network)
    assert bool(decision) is captured
    assert why in decision.why


@pytest.mark.parametrize(("value", "captured"), [(None, True), ("true", True), ("false", False), ("", True)])
def test_a_pod_keeps_its_questions_for_names_only_if_it_says_so(value, captured):
    annotations = {} if value is None else {"ambient.istio.io/dns-capture": value}
    assert names_captured(annotations) is captured
