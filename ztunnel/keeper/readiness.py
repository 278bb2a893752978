"""What a node still waits for before it can be called ready, as far as its keeper knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def pending(*, connected: bool, named: bool, stopping: bool, uncaptured: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """In words: whether the CNI agent is there and has named its pods, and which pods are not captured, and why."""
    parts = []
    if stopping:
        parts.append("the node's proxy is ending")
    if not connected:
        parts.append("the CNI agent is not connected")
    elif not named:
        parts.append("the CNI agent has not named all pods yet")
    parts += [f"pod {pod} is not captured: {why}" for pod, why in sorted(uncaptured)]
    return tuple(parts)
