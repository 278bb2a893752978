"""Takes the requests of `meshctl` on the lab's socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable

from meshctl.failure import Failure
from meshctl.kind import kind_called
from meshctl.lab.api import Api
from meshctl.lab.pages import Pages
from meshctl.lab.place import Place
from meshctl.lab.privilege import several_users
from meshctl.lab.sessions import Sessions
from meshctl.lab.survey import Survey
from meshctl.lab.wire import Called, Message
from meshctl.manifest import Key

_BACKLOG = 64
_CREDENTIALS = struct.Struct("3i")

log = logging.getLogger(__name__)


class Server:
    """Answers one request a connection: {"ok": ...}, {"exit": code} or {"error", "mend", "code"}."""

    def __init__(
        self, place: Place, api: Api, *, sessions: Sessions, pages: Pages, survey: Survey, end: Callable[[], None]
    ) -> None:
        self._place = place
        self._api = api
        self._sessions = sessions
        self._pages = pages
        self._survey = survey
        self._end = end
        self._verbs: dict[str, Callable[[Message], Awaitable[object]]] = {
            "apply": self._apply,
            "delete": self._delete,
            "label": self._label,
            "get": self._get,
            "status": self._status,
            "page": self._page,
            "upgrade": self._upgrade,
            "down": self._down,
        }

    def listen(self) -> socket.socket:
        """Open the socket; from now on requests wait until `run` takes them."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._place.socket.unlink(missing_ok=True)
        listener.bind(str(self._place.socket))
        self._place.socket.chmod(0o600)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        return listener

    async def run(self, listener: socket.socket) -> None:
        """Serve for ever."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                connection, _ = await loop.sock_accept(listener)
                tasks.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            caller = Called(connection)
            try:
                if _may_ask(connection) and (request := await caller.receive()) is not None:
                    await self._answer(caller, request)
            except OSError as error:
                log.info("a client went away: %s", error)
            except Exception:
                log.exception("a request could not be answered")
            finally:
                caller.drop_descriptors()

    async def _answer(self, caller: Called, request: Message) -> None:
        try:
            if request["verb"] == "exec":
                await self._sessions.run(caller, request)
            else:
                await caller.send({"ok": await self._verbs[request["verb"]](request)})
        except Failure as failure:
            await caller.send({"error": failure.message, "mend": failure.mend, "code": int(failure.code)})

    async def _apply(self, request: Message) -> object:
        return await self._api.apply(request["text"], request["source"], request["folder"], request["namespace"])

    async def _delete(self, request: Message) -> object:
        return self._api.delete(_key(request))

    async def _label(self, request: Message) -> object:
        return self._api.label(_key(request), request["labels"])

    async def _get(self, request: Message) -> object:
        kind = kind_called(request["kind"])
        namespace = request.get("namespace") if kind.namespaced else None
        found = self._api.get(kind.name, namespace, request.get("name"))
        return {"kind": kind.name, "objects": found, "processes": self._survey.pids()}

    async def _status(self, _request: Message) -> object:
        return self._survey.report()

    async def _page(self, request: Message) -> object:
        status, text = await self._pages.fetch(request["node"], request["pod"], request["port"], request["target"])
        return {"status": status, "text": text}

    async def _upgrade(self, request: Message) -> object:
        """One node after the other: what goes wrong on one must not go wrong on all."""
        proxies = self._survey.proxies(request["node"])
        return {proxy.node.name: await proxy.upgrade(request["program"]) for proxy in proxies}

    async def _down(self, _request: Message) -> object:
        asyncio.get_running_loop().call_later(0.05, self._end)  # after the answer has been sent
        return {}


def _key(request: Message) -> Key:
    kind = kind_called(request["kind"])
    return Key(kind.name, request["namespace"] if kind.namespaced else "", request["name"])


def _may_ask(connection: socket.socket) -> bool:
    """Return whether the client is the lab's owner or root.

    In an ordinary user's lab the owner is uid 0 and everybody else looks alike, root too; there the folder,
    which only the owner and root can enter, decides.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    return uid in {0, os.geteuid()} or not several_users()
