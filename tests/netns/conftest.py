"""The fixture `lab` for everything that needs a whole lab."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab_for_tests import Lab, MakeLab, new_lab


@pytest.fixture
def lab() -> Iterator[MakeLab]:
    """Brings labs up, and takes those down at the end that the test left."""
    made: list[Lab] = []
    with tempfile.TemporaryDirectory(prefix="ambit-") as runtime:

        def make(manifests: str, *, bare: bool = False, nodes: int = 2, user: bool = False, dual: bool = False) -> Lab:
            new = new_lab(Path(runtime), user=user)
            made.append(new)
            new.up(
                manifests,
                "--nodes",
                str(nodes),
                *(["--bare"] if bare else []),
                *(["--ip-families", "dual"] if dual else []),
            )
            return new

        yield make
        for each in made:
            each.meshctl("lab", "down", each.name, code=None)
