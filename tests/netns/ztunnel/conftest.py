"""A pod and a peer on the network, each a network namespace of its own that only the test's descriptors keep alive."""

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mesh import zds
from tests.netns.ztunnel.cni_agent import ADD, Agent, until
from tests.zygote_for_tests import Zygote, zygote_of_attackers
from ztunnel import netns

POD = {4: "10.244.1.2", 6: "fd00:244:1::2"}
PEER = {4: "10.244.1.1", 6: "fd00:244:1::1"}


@dataclass
class Place:
    """One network namespace, and the sockets that a test made in it."""

    namespace: int
    addresses: dict[int, str]
    sockets: ExitStack = field(default_factory=ExitStack)

    def run(self, *command: str) -> str:
        return subprocess.run(
            ("nsenter", f"--net=/proc/self/fd/{self.namespace}", *command),
            check=True,
            capture_output=True,
            text=True,
            pass_fds=(self.namespace,),
        ).stdout

    def make_socket(self, version: int, *, mark: int = 0) -> socket.socket:
        with netns.entered(self.namespace):
            made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        self.sockets.callback(made.close)
        made.settimeout(5)
        if mark:
            made.setsockopt(socket.SOL_SOCKET, 36, mark)
        return made

    def listen(self, version: int, port: int) -> socket.socket:
        made = self.make_socket(version)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((self.addresses[version], port))
        made.listen()
        return made

    def connect(self, version: int, place: "Place", port: int, *, mark: int = 0) -> socket.socket:
        made = self.make_socket(version, mark=mark)
        made.connect((place.addresses[version], port))
        return made


def _new_namespace() -> int:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x40000000):
            raise OSError(ctypes.get_errno(), "cannot make a network namespace: run as root, or under unshare -Urnm")
        try:
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        finally:
            netns.enter(home)
    finally:
        os.close(home)


@pytest.fixture
def network() -> Iterator[tuple[Place, Place]]:
    pod, peer = Place(_new_namespace(), POD), Place(_new_namespace(), PEER)
    far = f"/proc/{os.getpid()}/fd/{peer.namespace}"
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far)
    for place in (pod, peer):
        # Without this an IPv6 address is tentative for a second, and nobody may use it.
        place.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_dad=0")
        for version, length in ((4, 24), (6, 64)):
            place.run("ip", "address", "add", f"{place.addresses[version]}/{length}", "dev", "eth0")
        for device in ("lo", "eth0"):
            place.run("ip", "link", "set", device, "up")
    pod.run("ip", "route", "add", "default", "via", PEER[4])
    pod.run("ip", "-6", "route", "add", "default", "via", PEER[6])
    try:
        yield pod, peer
    finally:
        for place in (pod, peer):
            place.sockets.close()
            os.close(place.namespace)


@pytest.fixture
def pod(network: tuple[Place, Place]) -> Place:
    return network[0]


@pytest.fixture
def peer(network: tuple[Place, Place]) -> Place:
    return network[1]


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ambit-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def agent(directory) -> Iterator[Agent]:
    made = Agent(directory)
    yield made
    made.close()


@pytest.fixture
def captured(agent, pod) -> Agent:
    until(lambda: agent.ask(ADD, pod.namespace) == zds.Ack())
    return agent


@pytest.fixture
def attackers(pod) -> Iterator[Zygote]:
    """The pod's workers have been taken over."""
    with zygote_of_attackers(pod.namespace) as made:
        yield made
