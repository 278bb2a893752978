"""What the node shows of itself: metrics on 15020, readiness on 15021, the configuration in force on 15000."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final
from urllib.parse import parse_qs

from mesh.document import to_document
from mesh.net.admin import Ask, Page, Pages
from mesh.net.metrics import CONTENT_TYPE, Metrics
from ztunnel.supervisor.roster import Roster
from ztunnel.supervisor.signing import Signing
from ztunnel.supervisor.state import State

_LEVELS: Final = {"debug", "info", "warning", "error"}


def metrics_pages(metrics: Metrics) -> Pages:
    """15020, for scrapers."""

    def show(_: Ask) -> Page:
        return Page(metrics.page(), CONTENT_TYPE)

    return {("GET", "/metrics"): show, ("GET", "/stats/prometheus"): show}


def readiness_pages(state: State, roster: Roster) -> Pages:
    """15021, for probes."""

    def ready(_: Ask) -> Page:
        pending = list(pending_parts(state, roster))
        if pending:
            return Page(f"not ready, pending: {', '.join(pending)}\n".encode(), status=500)
        return Page(b"ready\n")

    return {("GET", "/healthz/ready"): ready}


def pending_parts(state: State, roster: Roster) -> Iterable[str]:
    """What is still awaited before the node can be called ready."""
    if not state.synced:
        yield "istiod has not told everything yet"
    for entry in roster.absent():
        yield f"the worker of {entry.pod} has not come yet"


def admin_pages(state: State, roster: Roster, signing: Signing) -> Pages:
    """15000, for people on the node."""

    def config_dump(_: Ask) -> Page:
        return Page(_dump(state, roster, signing), "application/json")

    return {("GET", "/config_dump"): config_dump, ("POST", "/logging"): set_level}


def set_level(ask: Ask) -> Page:
    """Set the level of this process's log; without one, say which it is."""
    wanted = parse_qs(ask.query).get("level", [""])[-1].lower()
    if wanted and wanted not in _LEVELS:
        return Page(f"level is one of {', '.join(sorted(_LEVELS))}\n".encode(), status=400)
    root = logging.getLogger()
    if wanted:
        root.setLevel(wanted.upper())
    return Page(f"level: {logging.getLevelName(root.level).lower()}\n".encode())


def _dump(state: State, roster: Roster, signing: Signing) -> bytes:
    here = {entry.pid for entry in roster.present()}
    workers = [{**asdict(one.pod), "pid": one.pid, "connected": one.pid in here} for one in roster.entries()]
    dump = {
        **to_document(state.snapshot),
        "workers": workers,
        "certificates": [{"pod": str(pod), **asdict(one)} for pod, one in signing.issued.items()],
        "istiod": {"connected": state.connected, "synced": state.synced},
    }
    return json.dumps(dump, indent=2).encode() + b"\n"
