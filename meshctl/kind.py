"""The kinds of object a lab knows, and the names people call them by."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches

from meshctl.failure import ExitCode, Failure


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `core` kinds are run by the lab itself; the others mean something to istiod only."""

    name: str
    api: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    core: bool = field(default=False)


_ISTIO = "networking.istio.io"
_GATEWAY = "gateway.networking.k8s.io"

KINDS: tuple[Kind, ...] = (
    Kind("Namespace", "v1", "namespaces", ("ns",), namespaced=False, core=True),
    Kind("ServiceAccount", "v1", "serviceaccounts", ("sa",), core=True),
    Kind("ConfigMap", "v1", "configmaps", ("cm",), core=True),
    Kind("Service", "v1", "services", ("svc",), core=True),
    Kind("Pod", "v1", "pods", ("po",), core=True),
    Kind("Deployment", "apps/v1", "deployments", ("deploy",), core=True),
    Kind("GatewayClass", f"{_GATEWAY}/v1", "gatewayclasses", ("gc",), namespaced=False),
    Kind("Gateway", f"{_GATEWAY}/v1", "gateways", ("gtw", "gw")),
    Kind("HTTPRoute", f"{_GATEWAY}/v1", "httproutes"),
    Kind("GRPCRoute", f"{_GATEWAY}/v1", "grpcroutes"),
    Kind("TCPRoute", f"{_GATEWAY}/v1alpha2", "tcproutes"),
    Kind("TLSRoute", f"{_GATEWAY}/v1alpha2", "tlsroutes"),
    Kind("ReferenceGrant", f"{_GATEWAY}/v1beta1", "referencegrants", ("refgrant",)),
    Kind("AuthorizationPolicy", "security.istio.io/v1", "authorizationpolicies", ("ap",)),
    Kind("PeerAuthentication", "security.istio.io/v1", "peerauthentications", ("pa",)),
    Kind("RequestAuthentication", "security.istio.io/v1", "requestauthentications", ("ra",)),
    Kind("ServiceEntry", f"{_ISTIO}/v1", "serviceentries", ("se",)),
    Kind("DestinationRule", f"{_ISTIO}/v1", "destinationrules", ("dr",)),
    Kind("WorkloadEntry", f"{_ISTIO}/v1", "workloadentries", ("we",)),
    Kind("TrafficPolicy", "policy.ambit-mesh.dev/v1alpha1", "trafficpolicies", ("tp",)),
    Kind("Telemetry", "telemetry.istio.io/v1", "telemetries", ("telemetry",)),
)

BY_NAME = {kind.name: kind for kind in KINDS}
_BY_ALIAS = {alias.lower(): kind for kind in KINDS for alias in (kind.name, kind.plural, *kind.short)}


def kind_called(alias: str) -> Kind:
    """Return the kind meant by a name, plural, short name, or `kind.group`. Raises Failure for an unknown one."""
    wanted = alias.lower().split(".", 1)[0]
    if found := _BY_ALIAS.get(wanted):
        return found
    near = get_close_matches(wanted, _BY_ALIAS, 1)
    mend = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(kind.plural for kind in KINDS)}."
    raise Failure(f"There is no kind '{alias}'.", mend, ExitCode.USAGE)
