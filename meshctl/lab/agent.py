"""A node's CNI agent: tells the node's ztunnel which pods to capture, and marks the pods that are.

It always knows what should be captured, from labels and annotations, and what ztunnel has confirmed, and asks for
one difference at a time, as the ZDS protocol wants. A ztunnel that connects anew is told everything again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

from mesh.enrolment import REDIRECTION, enrolled, names_captured
from mesh.zds import Ack, Add, Delete, SnapshotSent, ZdsError
from meshctl.lab.netns import Netns
from meshctl.lab.store import Store
from meshctl.lab.zds_session import Session
from meshctl.manifest import Body, Key

RELEASE_SECONDS = 0.5
"""Between saying that a pod is no longer captured and ending its capture: callers have to hear it first."""

RETRY_SECONDS = 1.0
_DETACH_SECONDS = 6.0

log = logging.getLogger(__name__)


class Agent:
    """The CNI agent of one node."""

    def __init__(self, node: str, path: Path, store: Store) -> None:
        self._node = node
        self._path = path
        self._store = store
        self._networks: dict[str, Netns] = {}
        self._captured: set[str] = set()
        self._session: Session | None = None
        self._moved = asyncio.Condition()
        self.trouble: dict[str, str] = {}

    def listen(self) -> socket.socket:
        """Open the socket that ztunnel dials."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._path.unlink(missing_ok=True)
        listener.bind(str(self._path))
        listener.listen(4)
        listener.setblocking(False)
        return listener

    async def run(self, listener: socket.socket) -> None:
        """Serve one ztunnel after the other, the newest connection only, for ever."""
        serving: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                if serving is not None:
                    serving.cancel()
                serving = tasks.create_task(self._serve(Session(connection)))

    async def attach(self, pod: Body, netns: Netns) -> None:
        """Wait until the pod is captured, if it is to be: its first packet already belongs to the mesh."""
        uid = pod["metadata"]["uid"]
        self._networks[uid] = netns
        await self._wake()
        async with self._moved:
            await self._moved.wait_for(lambda: uid in self._captured or uid not in self._wanted())

    async def detach(self, pod: Body) -> None:
        """Let ztunnel release the pod, which is about to lose its network."""
        uid = pod["metadata"]["uid"]
        self._networks.pop(uid, None)
        await self._wake()
        try:
            async with asyncio.timeout(_DETACH_SECONDS), self._moved:
                await self._moved.wait_for(lambda: uid not in self._captured or self._session is None)
        except TimeoutError:
            log.warning("%s: ztunnel did not release pod %s in time", self._node, pod["metadata"]["name"])
        self._captured.discard(uid)

    def waits_for(self, uid: str) -> str:
        """Say why a pod that is to be captured is not yet; "" if it is, or is not to be."""
        if uid in self._captured or uid not in self._wanted():
            return ""
        return self.trouble.get(uid) or "waits for ztunnel to capture it"

    def _wanted(self) -> dict[str, Body]:
        """Return the pods of this node that are to be captured, by uid."""
        pods = (
            pod for pod in self._store.of_kind("Pod") if pod["metadata"]["uid"] in self._networks and self._is_in(pod)
        )
        return {pod["metadata"]["uid"]: pod for pod in pods}

    def _is_in(self, pod: Body) -> bool:
        metadata = pod["metadata"]
        namespace = self._store.get("Namespace", "", metadata["namespace"])
        return bool(
            enrolled(
                (namespace or {"metadata": {}})["metadata"].get("labels") or {},
                metadata.get("labels") or {},
                metadata.get("annotations") or {},
                bool(pod["spec"].get("hostNetwork")),
            )
        )

    async def _serve(self, session: Session) -> None:
        try:
            await session.greet()
            log.info("%s: ztunnel is connected", self._node)
            for pod in self._wanted().values():
                await self._add(session, pod)
            await session.ask(SnapshotSent())
            self._session = session
            await self._wake()
            while True:
                seen = self._store.version
                await self._converge(session)
                await self._next(session, seen)
        except (OSError, ZdsError, TimeoutError) as reason:
            log.warning("%s: ztunnel's connection ended: %s", self._node, str(reason) or type(reason).__name__)
        finally:
            session.close()
            if self._session is session:
                self._session = None
            await self._wake()

    async def _converge(self, session: Session) -> None:
        """Ask for differences until there are none, or the last attempt failed."""
        while True:
            wanted = self._wanted()
            new = [pod for uid, pod in wanted.items() if uid not in self._captured]
            gone = sorted(self._captured - wanted.keys())
            if not new and not gone:
                return
            added = [await self._add(session, pod) for pod in new]
            released = [await self._release(session, uid) for uid in gone]
            if not all(added + released):
                return

    async def _next(self, session: Session, seen: int) -> None:
        """Return when something may have changed: an object, the connection; or after a while, if there is trouble."""
        change = asyncio.ensure_future(self._store.changed(seen))
        end = asyncio.ensure_future(session.ended())
        try:
            await asyncio.wait(
                (change, end),
                timeout=RETRY_SECONDS if self.trouble else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if end.done():
                end.result()
        finally:
            change.cancel()
            end.cancel()

    async def _add(self, session: Session, pod: Body) -> bool:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        netns = self._networks.get(uid)
        if netns is None:  # it has ended while others were being asked for
            return True
        account = pod["spec"].get("serviceAccountName", "default")
        names = names_captured(metadata.get("annotations") or {})
        answer = await session.ask(Add(uid, metadata["name"], metadata["namespace"], account, names), netns.fd)
        if not self._settled(uid, answer):
            return False
        self._captured.add(uid)
        self._mark(metadata["namespace"], metadata["name"], "enabled")
        await self._wake()
        return True

    async def _release(self, session: Session, uid: str) -> bool:
        pod = next((pod for pod in self._store.of_kind("Pod") if pod["metadata"]["uid"] == uid), None)
        if pod is not None:
            self._mark(pod["metadata"]["namespace"], pod["metadata"]["name"], None)
            if uid in self._networks:
                await asyncio.sleep(RELEASE_SECONDS)
        if not self._settled(uid, await session.ask(Delete(uid))):
            return False
        self._captured.discard(uid)
        await self._wake()
        return True

    def _settled(self, uid: str, answer: Ack) -> bool:
        if answer.error:
            self.trouble[uid] = f"ztunnel says: {answer.error}"
            log.warning("%s: pod %s: %s", self._node, uid, answer.error)
            return False
        self.trouble.pop(uid, None)
        return True

    def _mark(self, namespace: str, name: str, value: str | None) -> None:
        pod = self._store.objects.get(Key("Pod", namespace, name))
        if pod is None:
            return
        annotations = {**(pod["metadata"].get("annotations") or {}), REDIRECTION: value}
        kept = {key: text for key, text in annotations.items() if text is not None}
        self._store.put({**pod, "metadata": {**pod["metadata"], "annotations": kept}})

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()
