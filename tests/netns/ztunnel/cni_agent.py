"""A node's CNI agent with a keeper of its own, and what tests of keepers look at."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from mesh import zds
from ztunnel import confine

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
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "NODE_NAME": "node-1",
            "INPOD_UDS": str(directory / "cni.sock"),
            "AMBIT_RUN_DIR": str(self.run_dir),
        }
        self.start_keeper()
        self.accept()

    def start_keeper(self, **settings: str) -> None:
        """Begin a keeper that dials the agent; with these settings besides the usual ones."""
        self._heard = b""
        self.awaited: list[str] = ["nothing told"]
        self.keeper = subprocess.Popen(
            [sys.executable, str(STAND_IN), "keeper"],
            stdout=subprocess.PIPE,
            env=self._environment | settings,
        )

    def kill_keeper(self) -> None:
        """With -9."""
        self.keeper.kill()
        self.keeper.wait()
        self.keeper.stdout.close()
        self._connection.close()

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
        """The next line that a supervisor prints of itself or of workers."""
        while '{"pending"' in (line := self._next_line()):
            self.awaited = json.loads(line)["pending"]
        return line

    def awaits(self, *parts: str) -> None:
        """Wait until the keeper tells the supervisor that it waits for these things, by a word of each."""
        while not (len(parts) == len(self.awaited) and all(map(str.__contains__, self.awaited, parts))):
            line = self._next_line()
            if '{"pending"' in line:
                self.awaited = json.loads(line)["pending"]

    def _next_line(self) -> str:
        while b"\n" not in self._heard:
            assert select.select([self.keeper.stdout], [], [], 10)[0], "the supervisor was told nothing"
            self._heard += os.read(self.keeper.stdout.fileno(), 65536)
        line, self._heard = self._heard.split(b"\n", 1)
        return line.decode()

    def child(self, name: str) -> int:
        """The keeper's child of this name, as soon as there is one."""
        return until(lambda: next((pid for pid in children(self.keeper.pid) if name_of(pid) == name), 0))

    def records(self) -> list[dict]:
        """What the keeper has written down of its workers."""
        found = []
        for path in (self.run_dir / "workers").glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # the keeper removed it since it was listed
                found.append(json.loads(path.read_text()))
        return found

    def close(self) -> None:
        if self.keeper.poll() is None:
            self.keeper.terminate()
            assert self.keeper.wait(20) == 0
        self.keeper.stdout.close()
        self._connection.close()
        self._listener.close()
        for record in self.records():
            with contextlib.suppress(ProcessLookupError):
                os.kill(record["pid"], signal.SIGKILL)


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
