"""Facts: what the objects of the cluster say, read strictly into immutable values, one file per kind.

`read` never guesses: an object with any fault is reported and not used. `stand_in` gives what protects in the place of
a policy that never could be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from istiod_lite.facts.authorizationpolicy import AuthorizationPolicy, read_authorization_policy
from istiod_lite.facts.deployment import Deployment, read_deployment
from istiod_lite.facts.destinationrule import DestinationRule, read_destination_rule
from istiod_lite.facts.field import Field, Reading
from istiod_lite.facts.gateway import Gateway, GatewayClass, read_gateway, read_gateway_class
from istiod_lite.facts.grpcroute import read_grpc_route
from istiod_lite.facts.httproute import read_http_route
from istiod_lite.facts.meshconfig import NAME, MeshConfig, read_mesh_config
from istiod_lite.facts.namespace import Namespace, read_namespace
from istiod_lite.facts.node import Node, read_node
from istiod_lite.facts.peerauthentication import PeerAuthentication, read_peer_authentication
from istiod_lite.facts.pod import Pod, read_pod
from istiod_lite.facts.requestauthentication import RequestAuthentication, read_request_authentication
from istiod_lite.facts.route import RouteFact
from istiod_lite.facts.service import Service, read_service
from istiod_lite.facts.serviceaccount import ServiceAccount, read_service_account
from istiod_lite.facts.serviceentry import ServiceEntry, read_service_entry
from istiod_lite.facts.standin import stand_in
from istiod_lite.facts.trafficpolicy import POLICY_GROUP, TrafficPolicy, read_traffic_policy
from istiod_lite.facts.workloadentry import WorkloadEntry, read_workload_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from istiod_lite.object import Object
    from istiod_lite.problem import Problem

__all__ = [
    "AuthorizationPolicy",
    "Deployment",
    "DestinationRule",
    "Fact",
    "Gateway",
    "GatewayClass",
    "MeshConfig",
    "Namespace",
    "Node",
    "PeerAuthentication",
    "Pod",
    "RequestAuthentication",
    "RouteFact",
    "Service",
    "ServiceAccount",
    "ServiceEntry",
    "TrafficPolicy",
    "WorkloadEntry",
    "read",
    "stand_in",
]

Fact = (
    AuthorizationPolicy
    | Deployment
    | DestinationRule
    | Gateway
    | GatewayClass
    | MeshConfig
    | Namespace
    | Node
    | PeerAuthentication
    | Pod
    | RequestAuthentication
    | RouteFact
    | Service
    | ServiceAccount
    | ServiceEntry
    | TrafficPolicy
    | WorkloadEntry
)

_GATEWAY: Final = "gateway.networking.k8s.io"
_NETWORKING: Final = "networking.istio.io"
_SECURITY: Final = "security.istio.io"
_READERS: Final[dict[tuple[str, str], tuple[frozenset[str], Callable[[Object, Field], Fact]]]] = {
    ("", "ConfigMap"): (frozenset({"v1"}), read_mesh_config),
    ("", "Namespace"): (frozenset({"v1"}), read_namespace),
    ("", "Node"): (frozenset({"v1"}), read_node),
    ("", "Pod"): (frozenset({"v1"}), read_pod),
    ("", "Service"): (frozenset({"v1"}), read_service),
    ("", "ServiceAccount"): (frozenset({"v1"}), read_service_account),
    ("apps", "Deployment"): (frozenset({"v1"}), read_deployment),
    (_GATEWAY, "Gateway"): (frozenset({"v1", "v1beta1"}), read_gateway),
    (_GATEWAY, "GatewayClass"): (frozenset({"v1", "v1beta1"}), read_gateway_class),
    (_GATEWAY, "GRPCRoute"): (frozenset({"v1"}), read_grpc_route),
    (_GATEWAY, "HTTPRoute"): (frozenset({"v1", "v1beta1"}), read_http_route),
    (_NETWORKING, "DestinationRule"): (frozenset({"v1", "v1beta1", "v1alpha3"}), read_destination_rule),
    (_NETWORKING, "ServiceEntry"): (frozenset({"v1", "v1beta1", "v1alpha3"}), read_service_entry),
    (_NETWORKING, "WorkloadEntry"): (frozenset({"v1", "v1beta1", "v1alpha3"}), read_workload_entry),
    (POLICY_GROUP, "TrafficPolicy"): (frozenset({"v1alpha1"}), read_traffic_policy),
    (_SECURITY, "AuthorizationPolicy"): (frozenset({"v1", "v1beta1"}), read_authorization_policy),
    (_SECURITY, "PeerAuthentication"): (frozenset({"v1", "v1beta1"}), read_peer_authentication),
    (_SECURITY, "RequestAuthentication"): (frozenset({"v1", "v1beta1"}), read_request_authentication),
}


def read(obj: Object) -> Fact | list[Problem]:
    """The fact that an object states, or its problems.

    A kind that the mesh has no interest in gives no problems at all; a kind of our own API groups that we do not
    implement gives one that is not grave, so that nobody trusts in what is not enforced.
    """
    reading = Reading(obj)
    group, _, version = str(obj.body["apiVersion"]).rpartition("/")
    known = _READERS.get((group, obj.kind))
    if obj.kind == "ConfigMap" and obj.key.name != NAME:
        return reading.problems
    if known is None:
        if group in {_GATEWAY, _NETWORKING, POLICY_GROUP, _SECURITY}:
            mend = "nothing in it has any effect here"
            reading.fault("kind", f"{obj.kind} is not implemented", mend, grave=False)
        return reading.problems
    versions, reader = known
    if version not in versions:
        mend = "write " + " or ".join(f"{group}/{one}" if group else one for one in sorted(versions))
        reading.fault("apiVersion", f"{obj.kind} has no version {version!r}", mend)
        return reading.problems
    fact = reader(obj, reading.root())
    return reading.problems or fact
