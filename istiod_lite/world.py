"""The world: all facts at one moment, indexed for the questions that the compiler asks.

A world is never changed; `replace` makes the next one. Whoever drives it keeps the last good fact of every object.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from istiod_lite.facts import AuthorizationPolicy, Namespace, PeerAuthentication, Pod, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istiod_lite.facts import Fact
    from istiod_lite.object import ObjectKey

_F = TypeVar("_F")


@dataclass(frozen=True, slots=True)
class World:
    """Facts by the key of their object."""

    facts: Mapping[ObjectKey, Fact] = field(default_factory=dict)
    _kinds: Mapping[type, tuple[Any, ...]] = field(init=False, repr=False, compare=False)
    _named: Mapping[tuple[type, str, str], Any] = field(init=False, repr=False, compare=False)
    _labelled_pods: Mapping[tuple[str, str, str], tuple[Pod, ...]] = field(init=False, repr=False, compare=False)
    _selecting: Mapping[tuple[str, str, str], tuple[Service, ...]] = field(init=False, repr=False, compare=False)
    _policies: Mapping[str, tuple[AuthorizationPolicy, ...]] = field(init=False, repr=False, compare=False)
    _peers: Mapping[str, tuple[PeerAuthentication, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the indices. Facts of a kind stand in the order of their keys."""
        kinds: defaultdict[type, list[Any]] = defaultdict(list)
        named: dict[tuple[type, str, str], Any] = {}
        pods: defaultdict[tuple[str, str, str], list[Pod]] = defaultdict(list)
        selecting: defaultdict[tuple[str, str, str], list[Service]] = defaultdict(list)
        for key in sorted(self.facts):
            fact = self.facts[key]
            kinds[type(fact)].append(fact)
            named[type(fact), key.namespace, key.name] = fact
            if isinstance(fact, Pod):
                for label in fact.meta.labels.items():
                    pods[key.namespace, *label].append(fact)
            elif isinstance(fact, Service) and fact.selector:
                selecting[key.namespace, *min(fact.selector.items())].append(fact)
        put = object.__setattr__
        put(self, "_kinds", {kind: tuple(facts) for kind, facts in kinds.items()})
        put(self, "_named", named)
        put(self, "_labelled_pods", {label: tuple(facts) for label, facts in pods.items()})
        policies: defaultdict[str, list[AuthorizationPolicy]] = defaultdict(list)
        for policy in kinds[AuthorizationPolicy]:
            if policy.selector is not None:
                policies[policy.meta.namespace].append(policy)
        peers: defaultdict[str, list[PeerAuthentication]] = defaultdict(list)
        for peer in sorted(kinds[PeerAuthentication], key=lambda one: one.meta.age):
            peers[peer.meta.namespace].append(peer)
        put(self, "_policies", {namespace: tuple(facts) for namespace, facts in policies.items()})
        put(self, "_peers", {namespace: tuple(facts) for namespace, facts in peers.items()})
        put(self, "_selecting", {label: tuple(facts) for label, facts in selecting.items()})

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> World:
        """A world of exactly these facts."""
        return cls({fact.meta.key: fact for fact in facts})

    def replace(self, put: Iterable[Fact] = (), drop: Iterable[ObjectKey] = ()) -> World:
        """The world in which some facts are new or changed and some objects are gone."""
        gone = frozenset(drop)
        kept = {key: fact for key, fact in self.facts.items() if key not in gone}
        return World(kept | {fact.meta.key: fact for fact in put})

    def all(self, kind: type[_F]) -> tuple[_F, ...]:
        """Every fact of a kind, in the order of namespace and name."""
        return self._kinds.get(kind, ())

    def get(self, kind: type[_F], namespace: str, name: str) -> _F | None:
        """The fact of this kind with this name. Not for routes, of which there are two kinds."""
        found: _F | None = self._named.get((kind, namespace, name))
        return found

    def namespace(self, name: str) -> Namespace | None:
        """The namespace of this name."""
        return self.get(Namespace, "", name)

    def policies_with_selector(self, namespace: str) -> tuple[AuthorizationPolicy, ...]:
        """The AuthorizationPolicies of a namespace that select workloads."""
        return self._policies.get(namespace, ())

    def peer_authentications(self, namespace: str) -> tuple[PeerAuthentication, ...]:
        """The PeerAuthentications of a namespace, the oldest first."""
        return self._peers.get(namespace, ())

    def namespace_labels(self, namespace: str) -> dict[str, str]:
        """The labels of a namespace, with the one that Kubernetes gives to all."""
        found = self.namespace(namespace)
        return {"kubernetes.io/metadata.name": namespace} | dict(found.meta.labels if found else {})

    def pods_labelled(self, namespace: str, name: str, value: str) -> tuple[Pod, ...]:
        """The pods of a namespace with this label."""
        return self._labelled_pods.get((namespace, name, value), ())

    def services_of(self, pod: Pod) -> Iterator[Service]:
        """The services whose selector selects the pod, in the order of their names.

        A service is indexed by the first of its selector's labels, so that only likely ones are tried.
        """
        likely = [
            service
            for label in pod.meta.labels.items()
            for service in self._selecting.get((pod.meta.namespace, *label), ())
        ]
        labels = pod.meta.labels
        for service in sorted(likely, key=lambda one: one.meta.name):
            if all(labels.get(name) == value for name, value in service.selector.items()):
                yield service

    def pods_of(self, service: Service) -> Iterator[Pod]:
        """The pods that the service's selector selects."""
        if not service.selector:
            return
        wanted = service.selector
        for pod in self.pods_labelled(service.meta.namespace, *min(wanted.items())):
            if all(pod.meta.labels.get(name) == value for name, value in wanted.items()):
                yield pod
