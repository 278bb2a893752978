"""Which pods belong to the mesh: the decision that a node's CNI agent makes from labels and annotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DATAPLANE_MODE: Final = "istio.io/dataplane-mode"
"""Label of a namespace or a pod: `ambient` or `none`; the pod's own wins."""

SIDECAR_STATUS: Final = "sidecar.istio.io/status"
"""Annotation that an injector leaves on a pod which got a sidecar."""

REDIRECTION: Final = "ambient.istio.io/redirection"
"""Annotation that the CNI agent writes on a pod: `enabled` once its traffic is captured, `pending` until then."""

DNS_CAPTURE: Final = "ambient.istio.io/dns-capture"
"""Annotation of a pod: `false` leaves its questions for names alone."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Whether a pod's traffic is captured, and why, in words for a person."""

    captured: bool
    why: str

    def __bool__(self) -> bool:
        return self.captured


def enrolled(
    namespace_labels: Mapping[str, str],
    pod_labels: Mapping[str, str],
    pod_annotations: Mapping[str, str],
    host_network: bool,
) -> Enrolment:
    """Decide for one pod.

    A pod in the host's network or with a sidecar is never captured. Else the pod's label decides, if it says something
    that is known; else its namespace's; unlabelled pods stay outside.
    """
    if host_network:
        return Enrolment(False, "it uses the host's network")
    if SIDECAR_STATUS in pod_annotations:
        return Enrolment(False, "it has a sidecar")
    for owner, labels in (("the pod", pod_labels), ("its namespace", namespace_labels)):
        match labels.get(DATAPLANE_MODE):
            case "ambient":
                return Enrolment(True, f"{owner} is labelled {DATAPLANE_MODE}=ambient")
            case "none":
                return Enrolment(False, f"{owner} is labelled {DATAPLANE_MODE}=none")
            case _:
                continue
    return Enrolment(False, f"neither the pod nor its namespace is labelled {DATAPLANE_MODE}=ambient")


def names_captured(pod_annotations: Mapping[str, str]) -> bool:
    """Whether the questions for names of a pod that is captured are answered by its worker."""
    return pod_annotations.get(DNS_CAPTURE) != "false"
