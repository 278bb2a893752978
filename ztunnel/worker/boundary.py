"""The boundary around one connection's steps: whatever goes wrong in one, the others go on."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mesh.address import Address
from mesh.net.flow import close_with_reset

_log = logging.getLogger("worker")

_P = ParamSpec("_P")


class Fallible(Protocol):
    """One connection, or one request."""

    def fail(self) -> None:
        """End it: its proxy is at fault."""


_F = TypeVar("_F", bound=Fallible)


def contained(step: Callable[Concatenate[_F, _P], None]) -> Callable[Concatenate[_F, _P], None]:
    """Have a bug in a step, which the relay calls, logged and end this connection only."""

    @wraps(step)
    def contained_step(one: _F, /, *arguments: _P.args, **named: _P.kwargs) -> None:
        try:
            step(one, *arguments, **named)
        except Exception:  # noqa: BLE001 - the boundary
            _log_fault()
            one.fail()

    return contained_step


def contained_task(
    task: Callable[Concatenate[_F, _P], Awaitable[None]],
) -> Callable[Concatenate[_F, _P], Awaitable[None]]:
    """The same for what is waited for in a task."""

    @wraps(task)
    async def contained_wait(one: _F, /, *arguments: _P.args, **named: _P.kwargs) -> None:
        try:
            await task(one, *arguments, **named)
        except Exception:  # noqa: BLE001 - the boundary
            _log_fault()
            one.fail()

    return contained_wait


async def served(
    serve: Callable[[socket.socket, Address], Awaitable[None]],
    sock: socket.socket,
    source: Address,
    done: Callable[[], None],
) -> None:
    """A task that serves a connection from its first moment to its end."""
    try:
        await serve(sock, source)
    except Exception:  # noqa: BLE001 - the boundary
        _log_fault()
        close_with_reset(sock)
    finally:
        done()


def _log_fault() -> None:
    _log.exception("a connection ended by a fault of this proxy")
