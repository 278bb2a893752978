"""The fixture `lab` for everything that needs a whole lab, and a mesh with a stranger in it that is ill-treated."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input_scene import Mesh, Target, scene
from tests.lab_for_tests import Lab, MakeLab, new_lab
from tests.stranger_for_tests import Rough, wrapped


@pytest.fixture
def lab() -> Iterator[MakeLab]:
    """Brings labs up, and takes those down at the end that the test left."""
    made: list[Lab] = []
    with tempfile.TemporaryDirectory(prefix="ambit-") as runtime:

        def make(
            manifests: str,
            *options: str,
            bare: bool = False,
            nodes: int = 2,
            user: bool = False,
            dual: bool = False,
        ) -> Lab:
            new = new_lab(Path(runtime), user=user)
            made.append(new)
            new.up(
                manifests,
                "--nodes",
                str(nodes),
                *(["--bare"] if bare else []),
                *(["--ip-families", "dual"] if dual else []),
                *options,
            )
            return new

        yield make
        for each in made:
            each.meshctl("lab", "down", each.name, code=None)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory(prefix="ambit-") as runtime:
        there = new_lab(Path(runtime))
        try:
            with scene(there) as found:
                yield found
        finally:
            there.meshctl("lab", "down", there.name, code=None)


@pytest.fixture(scope="module")
def worker(mesh: Mesh) -> Target:
    ip = mesh.pod("web")
    return Target(ip, f"{ip}:8080", mesh.log("ztunnel_node-2.log"))


@pytest.fixture(scope="module")
def waypoint(mesh: Mesh) -> Target:
    return Target(mesh.pod("waypoint"), f"{mesh.vip('catalog')}:80", mesh.log("shop_waypoint*.log"))


@pytest.fixture(params=["worker", "waypoint"])
def target(request: pytest.FixtureRequest) -> Target:
    """Every HBONE listener of the mesh is attacked in the same ways."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Target)
    return found


@pytest.fixture
def caller(mesh: Mesh, target: Target) -> Iterator[socket.socket]:
    """The stranger's connection to the target."""
    with mesh.stranger.dial(target.ip, 15008) as sock:
        yield sock


@pytest.fixture
def rough(mesh: Mesh, caller: socket.socket) -> Iterator[Rough]:
    """The same, let in with good papers."""
    with wrapped(caller, mesh.papers()) as tls:
        yield Rough(tls)
