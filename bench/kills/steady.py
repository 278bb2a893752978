"""A steady load and its server, for pods: established connections that exchange data, and clients that make new ones.

steady.py serve PORT                            repeats what it hears; told to end, it goes on for a while
steady.py once HOST PORT                        one call; prints the seconds that it took
steady.py call HOST PORT CLIENTS ESTABLISHED    prints `begun`, calls until its input says something, prints the counts

One process, one thread, one epoll: a thousand connections cost the machine next to nothing beside what carries them.
It imports nothing of Ambit, so that it runs in any pod.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

MESSAGE = b"m" * 64
PATIENCE = 20.0
"""Seconds after which an exchange counts as failed."""
EXCHANGE_EVERY = 1.0
"""Seconds between two exchanges of an established connection."""
PAUSE = 0.1
"""Seconds between two calls of a client."""
LINGER = 3.0
"""Seconds that a server goes on after SIGTERM: callers have to hear first that it goes."""
TURN = 0.02
"""Seconds between two looks at who is due."""


@dataclass(slots=True)
class Counts:
    """What became of the load."""

    served: int = 0
    refused: int = 0
    established: int = 0
    exchanges: int = 0
    lost: int = 0
    slowest: float = 0.0
    """Seconds that the slowest new connection took, from connecting to its answer."""
    why: list[str] = field(default_factory=list)

    def failed(self, fault: str) -> None:
        """Remember the first few reasons."""
        if len(self.why) < 5:
            self.why.append(fault)


class Call:
    """One connection that sends a message and waits for it to come back, once or again and again."""

    def __init__(self, address: tuple[str, int], *, lasting: bool) -> None:
        self.lasting = lasting
        self.began = self.sent = time.monotonic()
        self.due = 0.0
        self.waiting = True
        self._heard = 0
        self._connecting = True
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            self.sock.connect(address)

    @property
    def interest(self) -> int:
        """What to wait for."""
        return select.EPOLLOUT if self._connecting else select.EPOLLIN

    def send(self) -> None:
        """Begin an exchange."""
        self.sent, self.waiting, self._heard = time.monotonic(), True, 0
        self.sock.sendall(MESSAGE)

    def proceed(self) -> bool:
        """Do what can be done; True at the end of an exchange. Raises OSError when the connection failed."""
        if self._connecting:
            fault = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if fault:
                raise OSError(fault, "cannot connect")
            self._connecting = False
            self.send()
            return False
        data = self.sock.recv(4096)
        if not data:
            raise OSError("the connection ended")
        self._heard += len(data)
        if self._heard < len(MESSAGE):
            return False
        self.waiting = False
        return True


class Load:
    """All connections of one caller."""

    def __init__(self, host: str, port: int, clients: int, established: int) -> None:
        self._address = (socket.gethostbyname(host), port)
        self._clients = clients
        self._wanted = established
        self._calls: dict[int, Call] = {}
        self._idle = [0.0] * clients
        self._epoll = select.epoll()
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self.counts = Counts()

    def run(self) -> Counts:
        """Establish what is to be established, then call until the input says something."""
        told, ended = False, False
        while not ended:
            for number, _ in self._epoll.poll(TURN):
                if number == sys.stdin.fileno():
                    ended = True
                elif number in self._calls:
                    self._proceed(self._calls[number])
            self._turn()
            if not told and self.counts.established == self._wanted and (self.counts.served or not self._clients):
                told = True
                print("begun", flush=True)
        return self.counts

    def _turn(self) -> None:
        now = time.monotonic()
        for call in list(self._calls.values()):
            if call.waiting and now - call.sent > PATIENCE:
                self._fail(call, "no answer in time")
            elif not call.waiting and call.due <= now:
                self._attempt(call)
        if self.counts.established < self._wanted:
            under_way = sum(call.lasting for call in self._calls.values()) - self.counts.established
            for _ in range(min(32 - under_way, self._wanted - self.counts.established - under_way)):
                self._begin(lasting=True)
        else:
            for _ in range(sum(since + PAUSE <= now for since in self._idle)):
                self._idle.remove(min(self._idle))
                self._begin(lasting=False)

    def _begin(self, *, lasting: bool) -> None:
        call = Call(self._address, lasting=lasting)
        self._calls[call.sock.fileno()] = call
        self._epoll.register(call.sock, call.interest)

    def _attempt(self, call: Call) -> None:
        try:
            call.send()
        except OSError as fault:
            self._fail(call, str(fault))

    def _proceed(self, call: Call) -> None:
        try:
            done = call.proceed()
        except BlockingIOError:
            return
        except OSError as fault:
            self._fail(call, str(fault))
            return
        self._epoll.modify(call.sock, call.interest)
        if done:
            self._succeed(call)

    def _succeed(self, call: Call) -> None:
        now = time.monotonic()
        if call.lasting:
            first = not call.due
            self.counts.established += first
            self.counts.exchanges += not first
            call.due = now + EXCHANGE_EVERY
        else:
            self.counts.served += 1
            self.counts.slowest = max(self.counts.slowest, now - call.began)
            self._end(call)

    def _fail(self, call: Call, why: str) -> None:
        self.counts.failed(why)
        if call.lasting and call.due:
            self.counts.lost += 1
        else:
            self.counts.refused += 1
        self._end(call)

    def _end(self, call: Call) -> None:
        del self._calls[call.sock.fileno()]
        call.sock.close()
        if not call.lasting:
            self._idle.append(time.monotonic())


def once(host: str, port: int) -> float:
    """One call, from connecting to its answer."""
    began = time.monotonic()
    with socket.create_connection((host, port), timeout=PATIENCE) as sock:
        sock.sendall(MESSAGE)
        heard = 0
        while heard < len(MESSAGE):
            data = sock.recv(4096)
            if not data:
                raise OSError("the connection ended")
            heard += len(data)
    return time.monotonic() - began


def serve(port: int) -> None:
    """Repeat what is heard, until a while after SIGTERM."""
    ending: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(time.monotonic() + LINGER))
    listener = socket.create_server(("", port), backlog=4096, reuse_port=False)
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while not ending or time.monotonic() < ending[0]:
        for number, _ in epoll.poll(0.5):
            if number == listener.fileno():
                with contextlib.suppress(OSError):
                    sock, _ = listener.accept()
                    connections[sock.fileno()] = sock
                    epoll.register(sock, select.EPOLLIN)
            elif not _repeat(connections[number]):
                connections.pop(number).close()


def _repeat(sock: socket.socket) -> bool:
    try:
        data = sock.recv(65536)
        sock.sendall(data)
    except OSError:
        return False
    return bool(data)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["once", host, port]:
            print(once(host, int(port)))
        case ["call", host, port, clients, established]:
            print(json.dumps(asdict(Load(host, int(port), int(clients), int(established)).run())))
