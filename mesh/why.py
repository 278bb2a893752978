"""How a decision came about, step by step: what a proxy answers when a person asks what it would do now, and why.

Proxies make explanations from the very functions by which they decide; `meshctl why` puts those of all proxies on the
way together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mesh.policy import Action, Policy
from mesh.refusal import Reason, Refusal
from mesh.verdict import Call, authorize, unmet, would_match


class Outcome(Enum):
    """What a step came to."""

    YES = "yes"
    NO = "no"
    """The call ends here."""
    BESIDE = "beside"
    """Looked at, and of no effect: a policy or a rule that does not match."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at: `subject` in a word (policy, route, endpoint), `text` for a person."""

    subject: str
    text: str
    outcome: Outcome = Outcome.YES


@dataclass(frozen=True, slots=True)
class Hop:
    """Where the call may go from here; where there are several, chance and health choose."""

    address: str
    """What is dialled, `ip:port`."""
    target: str
    """What the bytes are for; in a tunnel the CONNECT's authority."""
    workload: str = ""
    """The uid of the pod behind the address; empty where the mesh knows none."""
    tunnel: bool = False
    waypoint: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """One proxy's part in a call. Without a hop it ends here: at the application, or with a refusal."""

    steps: tuple[Step, ...]
    hops: tuple[Hop, ...] = ()
    identity: str = ""
    """The SPIFFE id that the next hops see; empty where none is shown."""

    def document(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "steps": [{"subject": one.subject, "text": one.text, "outcome": one.outcome.value} for one in self.steps],
            "hops": [{name: getattr(one, name) for name in _HOP} for one in self.hops],
            "identity": self.identity,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Explanation:
        """The explanation of a document. Raises KeyError or ValueError if it is none."""
        steps = (Step(one["subject"], one["text"], Outcome(one["outcome"])) for one in document["steps"])
        hops = (Hop(**{name: one[name] for name in _HOP}) for one in document["hops"])
        return cls(tuple(steps), tuple(hops), document["identity"])


_HOP = ("address", "target", "workload", "tunnel", "waypoint")


def ended(subject: str, refusal: Refusal) -> Step:
    """The step at which a call is refused."""
    return Step(subject, f"{refusal.reason.value}: {refusal.detail}", Outcome.NO)


def policy_steps(policies: Iterable[Policy], call: Call) -> tuple[Step, ...]:
    """What each policy in force says of a call, and the verdict of them all."""
    in_force = tuple(policies)
    verdict = authorize(in_force, call)
    steps = [_policy_step(policy, call) for policy in sorted(in_force, key=lambda one: one.action is Action.ALLOW)]
    if verdict.ask is not None:
        whom = f"authorizer {verdict.ask.service}:{verdict.ask.port}"
        return (*steps, Step("policy", f"allowed if {whom} agrees, which was not asked: {verdict.why}"))
    if verdict.allowed:
        return (*steps, Step("policy", f"allowed: {verdict.why}"))
    return (*steps, ended("policy", Refusal(Reason.POLICY_DENIED, verdict.why)))


def _policy_step(policy: Policy, call: Call) -> Step:
    matches = would_match(policy, call)
    what = f"{policy.action.name} policy {policy.key} matches"
    if not matches:
        missing = "; ".join(unmet(policy, call)) or "it has no rule"
        what = f"{policy.action.name} policy {policy.key} does not match ({missing})"
    if policy.dry_run:
        return Step("policy", f"{what}; it is a dry run and decides nothing", Outcome.BESIDE)
    return Step("policy", what, Outcome.YES if matches else Outcome.BESIDE)
