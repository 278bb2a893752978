"""What a waypoint shows of itself: metrics on 15020, readiness on 15021, the configuration in force on 15000."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs

from mesh.document.dump import dump
from mesh.net.admin import Ask, Page, Pages
from mesh.net.metrics import CONTENT_TYPE, Metrics
from waypoint.callee import Gateway
from waypoint.inquiry import why
from waypoint.state import State

_LEVELS: Final = {"debug", "info", "warning", "error"}


def metrics_pages(metrics: Metrics) -> Pages:
    """15020, for scrapers."""

    def show(_: Ask) -> Page:
        return Page(metrics.page(), CONTENT_TYPE)

    return {("GET", "/metrics"): show, ("GET", "/stats/prometheus"): show}


def readiness_pages(state: State) -> Pages:
    """15021, for probes."""

    def ready(_: Ask) -> Page:
        pending = list(state.pending())
        if pending:
            return Page(f"not ready, pending: {', '.join(pending)}\n".encode(), status=500)
        return Page(b"ready\n")

    return {("GET", "/healthz/ready"): ready}


def admin_pages(state: State, here: Gateway) -> Pages:
    """15000, for people in the pod."""

    def config_dump(_: Ask) -> Page:
        return Page(_dump(state, here), "application/json")

    return {
        ("GET", "/config_dump"): config_dump,
        ("GET", "/why"): lambda ask: why(state, here, ask.query),
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


def _dump(state: State, here: Gateway) -> Iterable[bytes]:
    credentials = state.credentials
    certificates = (
        [{"identity": str(credentials.identity), "chain": credentials.chain_pem.decode()}] if credentials else []
    )
    more = {
        "gateway": f"{here.namespace}/{here.name}",
        "certificates": certificates,
        "istiod": {"connected": state.connected, "pending": list(state.pending())},
    }
    return dump(state.snapshot, more)
