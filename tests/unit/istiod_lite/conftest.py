"""Words for the control plane's unit tests: text in, facts and worlds out."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from istiod_lite import facts, manifests
from istiod_lite.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from istiod_lite.problem import Problem


@pytest.fixture
def problems_of() -> Callable[[str], list[Problem]]:
    """Every problem of a YAML text, of its syntax and of its objects, with their lines."""

    def read(text: str) -> list[Problem]:
        files = {"a.yaml": textwrap.dedent(text)}
        objects, problems = manifests.load(files)
        for obj in objects:
            found = facts.read(obj)
            problems += found if isinstance(found, list) else []
        return manifests.locate(problems, files)

    return read


@pytest.fixture
def world_of() -> Callable[..., World]:
    """The world of some YAML texts, all of which must be faultless."""

    def read(*texts: str) -> World:
        objects, problems = manifests.load({f"{i}.yaml": textwrap.dedent(text) for i, text in enumerate(texts)})
        assert problems == []
        found = [facts.read(obj) for obj in objects]
        assert [one for one in found if isinstance(one, list)] == []
        return World.of(one for one in found if not isinstance(one, list))

    return read


@pytest.fixture(scope="session")
def gateway_api() -> Path:
    """The upstream conformance data of the Gateway API, which lies beside the repository."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "gateway-api"
    if not folder.is_dir():
        pytest.fail(f"the Gateway API conformance data is missing: it belongs to {folder}")
    return folder
