"""The duties of process 1 of a lab: start every process, and reap every process, adopted ones too."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshctl.lab import kernel
from meshctl.lab.netns import Netns


class SpawnFailed(Exception):
    """A process could not be started; says at which step."""


class CommandFailed(Exception):
    """A tool of the lab (ip, nft) returned non-zero; carries what it said."""


@dataclass(frozen=True, slots=True)
class Stdio:
    """Descriptors that become 0, 1 and 2 of a new process."""

    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Start:
    """What a forked copy of the daemon needs to become another program."""

    command: Sequence[str]
    env: Mapping[str, str]
    stdio: Stdio
    prepare: Callable[[], None]
    keep: Sequence[int]
    terminal: bool


@dataclass(frozen=True, slots=True)
class Output:
    """What a finished command said. `code` is 128 + n if signal n ended it."""

    code: int
    text: str


class Child:
    """One process that this lab started."""

    def __init__(self, pid: int, ended: asyncio.Future[int]) -> None:
        self.pid = pid
        self._ended = ended

    @property
    def running(self) -> bool:
        """Whether it has not been reaped yet; only then is `pid` its number."""
        return not self._ended.done()

    async def wait(self) -> int:
        """Return its exit code; 128 + n if signal n ended it."""
        return await asyncio.shield(self._ended)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal unless it is gone."""
        if self.running:
            os.kill(self.pid, number)


class Init:
    """Starts and reaps. There is one per lab, made inside the running event loop."""

    def __init__(self) -> None:
        self._children: dict[int, asyncio.Future[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._children.pop(pid, None)
            if ended is not None and not ended.done():
                code = os.waitstatus_to_exitcode(status)
                ended.set_result(code if code >= 0 else 128 - code)

    async def spawn(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stdio: Stdio,
        prepare: Callable[[], None] = lambda: None,
        keep: Sequence[int] = (),
        terminal: bool = False,
    ) -> Child:
        """Start `command` after `prepare` has run in the new process; `keep` stays open there under its number.

        With `terminal` its stdin, which is one, becomes the controlling terminal of its session.

        Raises SpawnFailed with the reason if `prepare` or the start itself failed.
        """
        report, reporter = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            _become(Start(command, env, stdio, prepare, keep, terminal), reporter)
        os.close(reporter)
        ended: asyncio.Future[int] = self._loop.create_future()
        self._children[pid] = ended
        child = Child(pid, ended)
        try:
            reason = await self._read(report)
        except BaseException:
            child.signal(signal.SIGKILL)
            raise
        finally:
            os.close(report)
        if reason:
            raise SpawnFailed(reason.decode(errors="replace"))
        return child

    async def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        netns: Netns | None = None,
        given: str = "",
        keep: Sequence[int] = (),
        prepare: Callable[[], None] = lambda: None,
    ) -> Output:
        """Run a command to its end with `given` as its input; output and errors come back together."""

        def enter() -> None:
            if netns is not None:
                kernel.setns(netns.fd, kernel.CLONE_NEWNET)
            prepare()

        stdin = os.memfd_create("stdin", os.MFD_CLOEXEC)
        said, say = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(stdin, given.encode())
            os.lseek(stdin, 0, os.SEEK_SET)
            try:
                child = await self.spawn(command, env=env, stdio=Stdio(stdin, say, say), keep=keep, prepare=enter)
            finally:
                os.close(say)
            text = await self._read(said)
            return Output(await child.wait(), text.decode(errors="replace"))
        finally:
            os.close(stdin)
            os.close(said)

    async def _read(self, fd: int) -> bytes:
        os.set_blocking(fd, False)
        chunks: list[bytes] = []
        while True:
            try:
                chunk = os.read(fd, 65536)
            except BlockingIOError:
                readable: asyncio.Future[None] = self._loop.create_future()
                self._loop.add_reader(fd, _set, readable)
                try:
                    await readable
                finally:
                    self._loop.remove_reader(fd)
                continue
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _become(start: Start, reporter: int) -> None:
    """Turn the forked copy of the daemon into the command. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for caught in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(caught, signal.SIG_DFL)
        os.setsid()
        given = [os.dup(fd) for fd in (start.stdio.stdin, start.stdio.stdout, start.stdio.stderr)]
        start.prepare()
        for number, fd in enumerate(given):
            os.dup2(fd, number, inheritable=True)
        if start.terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for fd in start.keep:
            os.set_inheritable(fd, True)
        os.execvpe(start.command[0], list(start.command), dict(start.env))  # noqa: S606
    except BaseException as error:  # noqa: BLE001  (whatever it is, the parent has to hear it and this copy has to end)
        os.write(reporter, f"{start.command[0]}: {error}".encode())
    finally:
        os._exit(127)
