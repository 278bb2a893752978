"""A keeper and its zygote at work for a CNI agent: pods come and go, and whatever dies, nobody is refused."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import zds
from ztunnel import confine

pytestmark = pytest.mark.netns

STAND_IN = Path(__file__).with_name("stand_in.py")
OWN_USERS = confine.maps_user(Path("/proc/self/uid_map").read_text(), confine.FIRST_WORKER_UID)
ADD = zds.Add("uid-of-web-1", "web-1", "shop", "web")


class Agent:
    """The node's CNI agent, with a keeper that it talks to."""

    def __init__(self, directory: Path) -> None:
        self.run_dir = directory / "run"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(directory / "cni.sock"))
        self._listener.listen()
        self._listener.settimeout(10)
        self.keeper = subprocess.Popen(
            [sys.executable, str(STAND_IN), "keeper"],
            stdout=subprocess.PIPE,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "NODE_NAME": "node-1",
                "INPOD_UDS": str(directory / "cni.sock"),
                "AMBIT_RUN_DIR": str(self.run_dir),
            },
        )
        self._heard = b""
        self.accept()

    def accept(self) -> None:
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(10)
        assert zds.parse_hello(self._connection.recv(zds.LARGEST_PACKET)) == zds.Hello()

    def hang_up(self) -> None:
        self._connection.close()

    def ask(self, request: zds.Request, namespace: int | None = None) -> zds.Ack:
        socket.send_fds(self._connection, [zds.encode_request(request)], [] if namespace is None else [namespace])
        return zds.parse_ack(self._connection.recv(zds.LARGEST_PACKET))

    def send(self, packet: bytes, descriptors: list[int]) -> bytes:
        socket.send_fds(self._connection, [packet], descriptors)
        return self._connection.recv(zds.LARGEST_PACKET)

    def told_supervisor(self) -> str:
        """The next line that a supervisor prints."""
        while b"\n" not in self._heard:
            assert select.select([self.keeper.stdout], [], [], 10)[0], "the supervisor was told nothing"
            self._heard += os.read(self.keeper.stdout.fileno(), 65536)
        line, self._heard = self._heard.split(b"\n", 1)
        return line.decode()

    def child(self, name: str) -> int:
        """The keeper's child of this name, as soon as there is one."""
        return until(lambda: next((pid for pid in children(self.keeper.pid) if name_of(pid) == name), 0))

    def close(self) -> None:
        if self.keeper.poll() is None:
            self.keeper.terminate()
            assert self.keeper.wait(20) == 0
        self.keeper.stdout.close()
        self._connection.close()
        self._listener.close()


def until(condition, seconds: float = 10):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def descriptors_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def name_of(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


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


def call(place, other, port: int = 8080, version: int = 4) -> tuple[socket.socket, list[str]]:
    """A connection and what the worker that took it says of itself."""
    connection = place.connect(version, other, port)
    return connection, connection.recv(100).decode().split()


def taker(place, other, port: int = 8080) -> str:
    """The listener that a short call arrives at."""
    connection, (listener, *_) = call(place, other, port)
    connection.close()
    return listener


def echoes(connection: socket.socket) -> bool:
    connection.sendall(b"still there")
    return connection.recv(100) == b"still there"


def rules_of(pod) -> str:
    return pod.run("nft", "list", "ruleset") + pod.run("ip", "rule") + pod.run("ip", "-6", "rule")


def test_an_added_pod_is_served_by_a_worker_of_its_own(captured, pod, peer):
    _, (listener, pid, uid) = call(pod, peer)
    assert listener == "outbound"
    assert name_of(int(pid)) == "zt-web-1"
    assert int(uid) == (confine.FIRST_WORKER_UID if OWN_USERS else os.getuid())
    assert str(Path(f"/proc/{pid}/ns/net").readlink()) == f"net:[{os.fstat(pod.namespace).st_ino}]"
    assert call(peer, pod)[1] == ["inbound_plaintext", pid, uid]
    assert call(peer, pod, 15008)[1] == ["inbound", pid, uid]
    assert call(peer, pod, version=6)[1] == ["inbound_plaintext", pid, uid]


def test_a_worker_has_nothing_of_the_zygotes(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    targets = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [target for target in targets if target.startswith("net:")]
    assert len([target for target in targets if target.startswith("socket:")]) <= 4  # three listeners and this call
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000002000" in status


def test_a_killed_worker_is_replaced_before_anybody_is_refused(captured, pod, peer):
    _, (_, first, uid) = call(pod, peer)
    os.kill(int(first), signal.SIGKILL)
    begun = time.monotonic()
    _, (listener, second, same) = call(pod, peer)
    assert time.monotonic() - begun < 1
    assert (listener, same) == ("outbound", uid)
    assert second != first


def test_a_worker_that_dies_again_and_again_keeps_nobody_waiting_for_a_second(captured, pod, peer):
    for _ in range(6):
        begun = time.monotonic()
        _, (_, pid, _) = call(pod, peer)
        assert time.monotonic() - begun < 1
        os.kill(int(pid), signal.SIGKILL)


def test_a_killed_zygote_is_replaced_and_no_worker_notices(captured, pod, peer):
    connection, (_, first, _) = call(pod, peer)
    zygote = captured.child("zt-zygote")
    os.kill(zygote, signal.SIGKILL)
    until(lambda: captured.child("zt-zygote") != zygote)
    assert echoes(connection)
    os.kill(int(first), signal.SIGKILL)
    _, (_, second, _) = call(pod, peer)
    until(lambda: int(second) in children(captured.keeper.pid))


def test_a_supervisor_hears_of_all_workers_and_a_new_one_hears_it_again(captured, pod, peer):
    connection, (_, pid, uid) = call(pod, peer)
    facts = {
        "pod_uid": ADD.uid,
        "name": "web-1",
        "namespace": "shop",
        "service_account": "web",
        "pid": int(pid),
        "uid": int(uid),
    }
    word, supervisor = captured.told_supervisor().split()
    assert word == "supervisor"
    assert json.loads(captured.told_supervisor()) == {"worker": facts}
    if OWN_USERS:
        assert f"Uid:\t{confine.SUPERVISOR_UID}\t" in Path(f"/proc/{supervisor}/status").read_text()
    os.kill(int(supervisor), signal.SIGKILL)
    assert captured.told_supervisor() != f"supervisor {supervisor}"
    assert json.loads(captured.told_supervisor()) == {"worker": facts}
    assert echoes(connection)
    os.kill(int(pid), signal.SIGKILL)
    assert json.loads(captured.told_supervisor()) == {"gone": {"pid": int(pid)}}


def test_a_deleted_pod_is_captured_no_more_while_its_connections_end_in_peace(captured, pod, peer):
    before_worker = call(pod, peer)[1][1]
    connection, _ = call(pod, peer)
    outside = peer.listen(4, 8080)
    assert captured.ask(zds.Delete(ADD.uid)) == zds.Ack()
    direct = pod.connect(4, peer, 8080)
    outside.accept()[0].sendall(b"direct")
    assert direct.recv(100) == b"direct"
    assert call(peer, pod, 15008)[1][:2] == ["inbound", before_worker]
    assert echoes(connection)


def test_nothing_is_left_of_a_deleted_pod(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    pod.sockets.close()
    captured.ask(zds.Delete(ADD.uid))
    until(lambda: "ambit" not in rules_of(pod))
    until(lambda: "lookup 100" not in rules_of(pod))
    until(lambda: int(pid) not in children(captured.keeper.pid))
    with pytest.raises(ConnectionRefusedError):
        peer.connect(4, pod, 15008)


def test_a_pod_that_leaves_and_comes_back_is_served_at_once(captured, pod, peer):
    connection, (_, first, _) = call(pod, peer)
    captured.ask(zds.Delete(ADD.uid))
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert taker(pod, peer) == "outbound"
    assert echoes(connection)
    connection.close()
    until(lambda: int(first) not in children(captured.keeper.pid))
    assert taker(pod, peer) == "outbound"
    assert taker(peer, pod, 15008) == "inbound"


def test_adding_a_pod_twice_changes_nothing(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert call(pod, peer)[1][1] == pid


def test_a_pod_whose_ports_are_taken_is_refused_with_the_reason(agent, pod):
    pod.listen(4, 15001)
    ack = agent.ask(ADD, pod.namespace)
    assert "pod shop/web-1: " in ack.error
    assert "cannot listen on port 15001 in the pod" in ack.error
    assert "redirect" not in rules_of(pod)


def test_after_a_new_snapshot_only_the_pods_it_names_stay(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    captured.hang_up()
    captured.accept()
    assert captured.ask(zds.Keep(ADD.uid)) == zds.Ack()
    assert "not held here" in captured.ask(zds.Keep("another")).error
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    assert call(pod, peer)[1][1] == pid
    captured.hang_up()
    captured.accept()
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    until(lambda: "redirect" not in rules_of(pod))


@pytest.mark.parametrize(
    ("packet", "descriptors"),
    [
        (b"\xff\xff\xff", 0),
        (zds.encode_request(ADD), 0),
        (zds.encode_request(ADD), 2),
        (zds.encode_request(zds.Keep("u")), 1),
        (b"\x00" * 2000, 0),
    ],
    ids=["garbage", "no namespace", "two namespaces", "a needless namespace", "too long"],
)
def test_an_agent_that_breaks_the_protocol_is_left_and_dialled_again(captured, pod, peer, packet, descriptors):
    _, (_, pid, _) = call(pod, peer)
    held = descriptors_of(captured.keeper.pid)
    assert captured.send(packet, [pod.namespace] * descriptors) == b""
    captured.accept()
    assert call(pod, peer)[1][1] == pid
    assert descriptors_of(captured.keeper.pid) == held


def test_a_node_that_ends_leaves_its_pods_as_they_were_before(captured, pod, peer):
    before = call(pod, peer)[1]
    pod.sockets.close()
    captured.keeper.terminate()
    assert captured.keeper.wait(20) == 0
    assert "ambit" not in rules_of(pod)
    assert not Path(f"/proc/{before[1]}").exists()
    outside = peer.listen(4, 8080)
    client = pod.connect(4, peer, 8080)
    outside.accept()[0].sendall(b"direct")
    assert client.recv(100) == b"direct"
