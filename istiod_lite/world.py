"""The world: all facts at one moment, indexed for the questions that the compiler asks.

A world is never changed; `replace` makes the next one. Whoever drives it keeps the last good fact of every object.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from istiod_lite.facts import AuthorizationPolicy, Namespace, PeerAuthentication, Pod, Service, ServiceEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istiod_lite.facts import Fact
    from istiod_lite.object import ObjectKey

_F = TypeVar("_F")
_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class World:
    """Facts by the key of their object."""

    facts: Mapping[ObjectKey, Fact] = field(default_factory=dict)
    _kinds: Mapping[type, tuple[Any, ...]] = field(init=False, repr=False, compare=False)
    _named: Mapping[tuple[type, str, str], Any] = field(init=False, repr=False, compare=False)
    _labelled_pods: Mapping[tuple[str, str, str], tuple[Pod, ...]] = field(init=False, repr=False, compare=False)
    _selecting: Mapping[tuple[str, str, str], tuple[Service, ...]] = field(init=False, repr=False, compare=False)
    _choosing: Mapping[str, tuple[ServiceEntry, ...]] = field(init=False, repr=False, compare=False)
    _hosts: Mapping[tuple[str, str], tuple[ServiceEntry, ...]] = field(init=False, repr=False, compare=False)
    _policies: Mapping[str, tuple[AuthorizationPolicy, ...]] = field(init=False, repr=False, compare=False)
    _peers: Mapping[str, tuple[PeerAuthentication, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the indices. Facts of a kind stand in the order of their keys."""
        facts = [self.facts[key] for key in sorted(self.facts)]
        pods = [fact for fact in facts if isinstance(fact, Pod)]
        services = [fact for fact in facts if isinstance(fact, Service) and fact.selector]
        entries = sorted((fact for fact in facts if isinstance(fact, ServiceEntry)), key=lambda one: one.meta.age)
        policies = [fact for fact in facts if isinstance(fact, AuthorizationPolicy) and fact.selector is not None]
        peers = sorted((fact for fact in facts if isinstance(fact, PeerAuthentication)), key=lambda one: one.meta.age)
        put = object.__setattr__
        put(self, "_kinds", _grouped((type(fact), fact) for fact in facts))
        put(self, "_named", {(type(fact), fact.meta.namespace, fact.meta.name): fact for fact in facts})
        labels = (((pod.meta.namespace, *label), pod) for pod in pods for label in pod.meta.labels.items())
        put(self, "_labelled_pods", _grouped(labels))
        put(self, "_selecting", _grouped(((one.meta.namespace, *min(one.selector.items())), one) for one in services))
        put(self, "_choosing", _grouped((entry.meta.namespace, entry) for entry in entries if entry.selector))
        put(self, "_hosts", _grouped(((one.meta.namespace, host), one) for one in entries for host in one.hosts))
        put(self, "_policies", _grouped((policy.meta.namespace, policy) for policy in policies))
        put(self, "_peers", _grouped((peer.meta.namespace, peer) for peer in peers))

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
        """The labels of a namespace; the one that Kubernetes gives to all cannot be forged."""
        found = self.namespace(namespace)
        return dict(found.meta.labels if found else {}) | {"kubernetes.io/metadata.name": namespace}

    def namespaces_of_pods(self) -> tuple[str, ...]:
        """The namespaces in which there are pods."""
        return tuple(sorted({pod.meta.namespace for pod in self.all(Pod)}))

    def pods_labelled(self, namespace: str, name: str, value: str) -> tuple[Pod, ...]:
        """The pods of a namespace with this label."""
        return self._labelled_pods.get((namespace, name, value), ())

    def services_of(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Service]:
        """The services whose selector selects a workload with these labels, in the order of their names.

        A service is indexed by the first of its selector's labels, so that only likely ones are tried.
        """
        likely = [service for label in labels.items() for service in self._selecting.get((namespace, *label), ())]
        for service in sorted(likely, key=lambda one: one.meta.name):
            if service.selector.items() <= labels.items():
                yield service

    def entries_of(self, namespace: str, labels: Mapping[str, str]) -> Iterator[ServiceEntry]:
        """The ServiceEntries whose selector selects a workload with these labels, the oldest first."""
        for entry in self._choosing.get(namespace, ()):
            if entry.selector is not None and all(labels.get(key) == value for key, value in entry.selector):
                yield entry

    def entry_of_host(self, namespace: str, host: str) -> ServiceEntry | None:
        """The ServiceEntry of a namespace that has this host: the oldest, where several claim it."""
        return next(iter(self._hosts.get((namespace, host), ())), None)

    def pods_selected(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Pod]:
        """The pods of a namespace that have all these labels, of which there must be one at least."""
        wanted = labels.items()
        for pod in self.pods_labelled(namespace, *min(wanted)):
            if wanted <= pod.meta.labels.items():
                yield pod


def _grouped(pairs: Iterable[tuple[_K, _F]]) -> Mapping[_K, tuple[_F, ...]]:
    groups: defaultdict[_K, list[_F]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: tuple(values) for key, values in groups.items()}
