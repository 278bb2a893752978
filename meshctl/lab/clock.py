"""The time as objects carry it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the time in RFC 3339, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
