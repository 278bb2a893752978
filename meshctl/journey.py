"""A call's way through the mesh as each proxy on it would decide it now, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from mesh.address import Address
from mesh.enrolment import REDIRECTION
from mesh.why import Explanation, Hop, Outcome, Step
from meshctl.manifest import Body

_BRANCHES = 4
"""Endpoints whose part is asked for; their pods may have policies of their own."""
_CLUSTER = "Kubernetes"

Ask = Callable[[str, str, Mapping[str, Any] | Sequence[tuple[str, str]]], Explanation]
"""(node, pod or "", the question) to what the admin page there answers."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of layer 7; header names in lower case."""

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """One proxy's part."""

    who: str
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Journey:
    """All parts, in the order of the way; where a service has several endpoints, those of each."""

    legs: tuple[Leg, ...]


class Guide:
    """Knows the pods, and asks the proxies of a mesh."""

    def __init__(self, pods: Sequence[Body], ask: Ask) -> None:
        self._by_ip = {pod["status"]["podIP"]: pod for pod in pods if pod.get("status", {}).get("podIP")}
        self._ask = ask

    def journey(self, source: Body, destination: Address, beyond: Sequence[Address], request: Request) -> Journey:
        """The way of a call from the pod `source` to `destination`.

        `beyond` is where the node leads it if the pod is not in the mesh: the endpoints of the service that has the
        address, or the address itself.
        """
        return Journey(tuple(self._legs(source, destination, beyond, request)))

    def _legs(self, source: Body, destination: Address, beyond: Sequence[Address], request: Request) -> Iterator[Leg]:
        if not captured(source):
            step = Step("capture", f"pod {name_of(source)} is not in the mesh: its calls leave it as they are")
            yield Leg("no proxy", Explanation((step,)))
            hops = tuple(Hop(str(one), str(one)) for one in beyond)
            peer = ""
        else:
            node = source["spec"]["nodeName"]
            found = self._ask(node, "", {"from": uid_of(source), "to": str(destination)})
            yield Leg(f"ztunnel of {node}, for pod {name_of(source)}", found)
            hops, peer = found.hops, found.identity
        for hop in hops[:_BRANCHES]:
            if hop.waypoint:
                yield from self._through_waypoint(source, hop, peer, request)
                return  # every pod of a waypoint decides alike
            yield from self._arrival(hop, peer, source["status"]["podIP"])

    def _through_waypoint(self, source: Body, hop: Hop, peer: str, request: Request) -> Iterator[Leg]:
        waypoint = self._pod_at(hop)
        if waypoint is None:
            return
        asked = [
            *(("peer", peer), ("source", source["status"]["podIP"]), ("authority", hop.target)),
            *(("method", request.method), ("path", request.path), ("host", request.host)),
            *(("header", f"{name}:{value}") for name, value in request.headers),
        ]
        found = self._ask("", name_of(waypoint), asked)
        yield Leg(f"waypoint {name_of(waypoint)}", found)
        for after in found.hops[:_BRANCHES]:
            yield from self._arrival(after, found.identity, waypoint["status"]["podIP"])

    def _arrival(self, hop: Hop, peer: str, source: str) -> Iterator[Leg]:
        pod = self._pod_at(hop)
        if pod is None or not captured(pod):
            what = f"pod {name_of(pod)} is not in the mesh" if pod is not None else "that is outside the mesh"
            yield Leg(f"at {hop.target}", Explanation((Step("application", f"{what}: nothing judges the call"),)))
            return
        node = pod["spec"]["nodeName"]
        asked = {"at": uid_of(pod), "to": hop.address, "source": source}
        if hop.tunnel:
            asked |= {"peer": peer, "authority": hop.target}
        yield Leg(f"ztunnel of {node}, for pod {name_of(pod)}", self._ask(node, "", asked))

    def _pod_at(self, hop: Hop) -> Body | None:
        return self._by_ip.get(str(Address.parse(hop.address).ip))


def captured(pod: Body) -> bool:
    """Whether a worker serves the pod."""
    return (pod["metadata"].get("annotations") or {}).get(REDIRECTION) == "enabled"


def name_of(pod: Body) -> str:
    """Its namespace and name."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def uid_of(pod: Body) -> str:
    """Under which uid the mesh knows the pod."""
    return f"{_CLUSTER}//Pod/{name_of(pod)}"


def question(asked: Mapping[str, Any] | Sequence[tuple[str, str]]) -> str:
    """The page's address with its question."""
    return f"/why?{urlencode(asked)}"


def verdict(journey: Journey) -> tuple[bool, str]:
    """Whether the call gets through, and if not by whose word, in one line. One endpoint's refusal is enough."""
    for leg in journey.legs:
        for step in leg.explanation.steps:
            if step.outcome is Outcome.NO:
                return False, f"refused by {leg.who}: {step.text}"
    return True, "gets through"
