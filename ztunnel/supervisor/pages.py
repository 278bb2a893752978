"""What the node shows of itself: metrics on 15020, readiness on 15021, the configuration in force on 15000."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Final
from urllib.parse import parse_qs

from mesh.document.dump import dump
from mesh.net.admin import Ask, Page, Pages
from mesh.net.metrics import CONTENT_TYPE, Metrics
from ztunnel.supervisor.inquiry import why
from ztunnel.supervisor.roster import Roster
from ztunnel.supervisor.signing import Issued, Signing
from ztunnel.supervisor.state import State

_LEVELS: Final = {"debug", "info", "warning", "error"}


def metrics_pages(metrics: Metrics) -> Pages:
    """15020, for scrapers."""

    def show(_: Ask) -> Page:
        return Page(metrics.page(), CONTENT_TYPE)

    return {("GET", "/metrics"): show, ("GET", "/stats/prometheus"): show}


def readiness_pages(state: State, roster: Roster, lacks: Mapping[str, str]) -> Pages:
    """15021, for probes. `lacks` are layers that workers do without here; a node is ready all the same, and says so."""
    ready_text = "".join(("ready\n", *(f"less confined, no {layer}: {why}\n" for layer, why in lacks.items())))

    def ready(_: Ask) -> Page:
        pending = list(pending_parts(state, roster))
        if pending:
            return Page(f"not ready, pending: {', '.join(pending)}\n".encode(), status=500)
        return Page(ready_text.encode())

    return {("GET", "/healthz/ready"): ready}


def pending_parts(state: State, roster: Roster) -> Iterable[str]:
    """What is still awaited before the node can be called ready."""
    if not state.synced:
        yield "istiod has not told everything yet"
    yield from roster.awaited
    for entry in roster.absent():
        yield f"the worker of {entry.pod} has not come yet"


def admin_pages(state: State, roster: Roster, signing: Signing, lacks: Mapping[str, str]) -> Pages:
    """15000, for people on the node."""

    def config_dump(_: Ask) -> Page:
        return Page(_dump(state, roster, signing, lacks), "application/json")

    return {
        ("GET", "/config_dump"): config_dump,
        ("GET", "/why"): lambda ask: why(state.snapshot, ask.query),
        ("POST", "/logging"): set_level,
    }


def set_level(ask: Ask) -> Page:
    """Set the level of this process's log; without one, say which it is."""
    wanted = parse_qs(ask.query).get("level", [""])[-1].lower()
    if wanted and wanted not in _LEVELS:
        return Page(f"level is one of {', '.join(sorted(_LEVELS))}\n".encode(), status=400)
    root = logging.getLogger()
    if wanted:
        root.setLevel(wanted.upper())
    return Page(f"level: {logging.getLevelName(root.level).lower()}\n".encode())


def _dump(state: State, roster: Roster, signing: Signing, lacks: Mapping[str, str]) -> Iterable[bytes]:
    """Under the names of ztunnel's own dump, as far as the supervisor knows: connections are known to workers alone."""
    more = {
        "certificates": [_certificate(one) for one in signing.issued.values()],
        "workloadState": _workers(roster),
        "confinement": {"lacks": dict(lacks)},
        "istiod": {"connected": state.connected, "synced": state.synced},
        "version": version("ambit-mesh"),
    }
    return dump(state.snapshot, more)


def _certificate(one: Issued) -> dict[str, object]:
    leaf = {"serialNumber": one.serial, "validFrom": one.valid_from, "expirationTime": one.expires}
    return {"identity": one.identity, "state": "Available", "certChain": [leaf]}


def _workers(roster: Roster) -> dict[str, dict[str, object]]:
    """By pod uid: whether the pod's worker speaks to us, and which process it is."""
    here = {entry.pid for entry in roster.present()}
    return {
        entry.pod.uid: {
            "state": "Up" if entry.pid in here else "Pending",
            "pid": entry.pid,
            "info": {
                "name": entry.pod.name,
                "namespace": entry.pod.namespace,
                "serviceAccount": entry.pod.service_account,
            },
        }
        for entry in roster.entries()
    }
