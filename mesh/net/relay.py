"""The hot loop: one private epoll inside one trio task moves the bytes of every established connection.

trio owns lifetimes, the relay owns bytes. Accepting, handshakes, policy and dialling are ordinary trio tasks; what is
established is watched here and handled in plain calls, without a task switch or an allocation per event.
"""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable
from mmap import MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE, mmap
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    import socket

    from mesh.net.flow import Flow

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
FAULT: Final = select.EPOLLET
"""Neither of them: only an error or hang-up, and that once, for it stays and nobody could turn it off by reading."""
KEEP_ALIVE: Final = 10.0
"""Seconds between two ticks."""
_TURNS: Final = 64
"""Turns in a row before the other trio tasks get theirs, however busy the sockets are."""
_LINGER: Final = 0.001
"""Seconds: how closely messages follow each other for the next to be waited for here; the shortest wait there is."""
_CIPHERTEXT: Final = 513 * 1024
"""An outbox full of frames, as records; and what is read at once."""
_PLAINTEXT: Final = 1024 * 1024

Handler = Callable[[int], None]


class Flushable(Protocol):
    """Something that collects output during a turn and sends it in one piece at its end."""

    def flush(self) -> None:
        """Send it."""


class Mortal(Protocol):
    """Something that lives in a relay and must not outlive it."""

    def abort(self) -> None:
        """End at once."""


class Watch:
    """One descriptor and what it is watched for. Level-triggered; watched for nothing, it is not in the epoll set."""

    __slots__ = ("_fd", "_handler", "_relay", "events")

    def __init__(self, relay: Relay, fd: int, handler: Handler) -> None:
        self._relay = relay
        self._fd = fd
        self._handler = handler
        self.events = 0

    def want(self, events: int) -> None:
        """Be called when any of `events` (IN, OUT) is so; an error or hang-up is told along with them.

        FAULT counts only without them, and 0 is the end.
        """
        if events & (IN | OUT):
            events &= ~FAULT
        before, self.events = self.events, events
        if events == before:
            return
        relay = self._relay
        if not events:
            relay.epoll.unregister(self._fd)
            del relay.handlers[self._fd]
        elif before:
            relay.epoll.modify(self._fd, events)
        else:
            relay.epoll.register(self._fd, events)
            relay.handlers[self._fd] = self._handler


class _Others(trio.abc.Instrument):
    """Notices that another task than the relay's own has something to do."""

    def __init__(self, own: trio.lowlevel.Task) -> None:
        self.stirred = False
        self._own = own

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Called by trio, whoever wakes the task."""
        if task is not self._own:
            self.stirred = True


class Relay:
    """The loop and what is shared by all that live in it. `run` must be running for anything to move."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.handlers: dict[int, Handler] = {}
        self._scratch = tuple(mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS) for size in (_CIPHERTEXT, _PLAINTEXT))
        self.ciphertext, self.plaintext = (memoryview(scratch) for scratch in self._scratch)
        """Scratch for one read or one sending, and for one decryption; nobody keeps anything in them.

        They are mapped, so that a relay with nothing to do has no memory for them, and are given back at every tick.
        """
        self.residents: set[Mortal] = set()
        self.on_tick: set[Callable[[], None]] = set()
        """Called every KEEP_ALIVE seconds."""
        self._dirty: list[Flushable] = []
        self._turning = False
        self._last_turn = 0.0
        self._flusher: trio.lowlevel.Task | None = None
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Move bytes until cancelled; whatever still lives here then is aborted."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._watch)
                nursery.start_soon(self._flush_between_turns)
                nursery.start_soon(self._tick)
                task_status.started()
        finally:
            self._nursery = None
            for resident in list(self.residents):
                resident.abort()
            self.epoll.close()

    def watch(self, fd: int, handler: Handler) -> Watch:
        """Make `handler` the one to call for `fd`, once the watch is told what it wants."""
        return Watch(self, fd, handler)

    def join(self, left: socket.socket, right: socket.socket) -> Flow:
        """Copy bytes both ways between two connected sockets, which the flow then owns."""
        from mesh.net.join import Join

        return Join(self, left, right)

    def spawn(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task that ends with the relay at the latest. RuntimeError when the relay is not running."""
        if self._nursery is None:
            raise RuntimeError("the relay is not running")
        self._nursery.start_soon(task, *arguments)

    def touch(self, output: Flushable) -> None:
        """Have `output` flushed at the end of this turn; or, between turns, after the tasks that are running now."""
        self._dirty.append(output)
        if self._flusher is not None and not self._turning:
            trio.lowlevel.reschedule(self._flusher)
            self._flusher = None

    async def _watch(self) -> None:
        descriptor = self.epoll.fileno()
        others = _Others(trio.lowlevel.current_task())
        trio.lowlevel.add_instrument(others)
        try:
            while True:
                await trio.lowlevel.wait_readable(descriptor)
                self._turning = True
                try:
                    self._turns(others)
                finally:
                    self._turning = False
        finally:
            trio.lowlevel.remove_instrument(others)

    def _turns(self, others: _Others) -> None:
        """Handle what there is; and what comes right behind it, if of late nobody but the relay had anything to do.

        A way through trio's scheduler costs more than a small message. So when messages follow each other closely, the
        next is waited for here. A task that is woken meanwhile ends that at once; what would wake one from outside
        (a new connection, a deadline) waits for a few milliseconds at most.
        """
        began = monotonic()
        alone = not others.stirred and began - self._last_turn < _LINGER
        others.stirred = False
        for _ in range(_TURNS):
            if not self._turn(_LINGER if alone else 0):
                break
            if others.stirred:
                alone = False
            elif alone and monotonic() - began > _LINGER:
                break
        self._last_turn = monotonic()

    def _turn(self, patience: float) -> bool:
        events = self.epoll.poll(patience)
        handlers = self.handlers
        for fd, event in events:
            handler = handlers.get(fd)
            if handler is not None:
                handler(event)
        if self._dirty:
            self._flush()
        return bool(events)

    def _flush(self) -> None:
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for output in dirty:
                output.flush()

    async def _flush_between_turns(self) -> None:
        def gone(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._flusher = None
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            if self._dirty:
                await trio.lowlevel.checkpoint()
            else:
                self._flusher = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(gone)
            self._flush()

    async def _tick(self) -> None:
        while True:
            await trio.sleep(KEEP_ALIVE)
            for scratch in self._scratch:
                scratch.madvise(MADV_DONTNEED)
            for call in list(self.on_tick):
                call()
