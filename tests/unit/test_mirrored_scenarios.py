"""The page that says which of our tests shows which of ztunnel's scenarios names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_stands_for_one_of_ztunnels_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/ztunnel-tests.md").read_text()))
    there = {
        found
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 60
    assert not named - there
