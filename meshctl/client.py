"""The client's side of a running lab: find it, ask it, wait for it."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Any

from meshctl.config import chosen_lab, labs_folder
from meshctl.failure import ExitCode, Failure
from meshctl.lab.place import Place, place
from meshctl.lab.wire import Caller, Message
from meshctl.source import Source

_CREDENTIALS = struct.Struct("3i")
_END_SECONDS = 20.0


class LabClient:
    """Talks to one lab's daemon; a connection per request."""

    def __init__(self, where: Place) -> None:
        self.place = where

    def ask(self, verb: str, **parameters: object) -> Any:
        """Send a request and return its answer. Raises the Failure that the daemon reports."""
        with self.open() as sock:
            caller = Caller(sock)
            caller.send({"verb": verb, **parameters})
            return checked(caller.receive(), self.place)["ok"]

    def apply(self, source: Source, namespace: str) -> list[str]:
        """Apply manifests; `namespace` is for objects that name none. Returns a line for each object."""
        lines: list[str] = self.ask(
            "apply", text=source.text, source=source.name, folder=source.folder, namespace=namespace
        )
        return lines

    def open(self) -> socket.socket:
        """Connect. Raises Failure if the lab is not up."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(self.place.socket))
        except OSError:
            sock.close()
            raise Failure(
                f"No lab named '{self.place.name}' is up.",
                f"Bring it up: meshctl lab up {self.place.name} -f FILE",
                ExitCode.ABSENT,
            ) from None
        return sock

    def down(self) -> None:
        """End the lab and remove its folder; return when its last process has ended."""
        with self.open() as sock:
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            daemon = os.pidfd_open(_CREDENTIALS.unpack(credentials)[0])
            caller = Caller(sock)
            caller.send({"verb": "down"})
            caller.receive()
        try:
            poller = select.poll()
            poller.register(daemon, select.POLLIN)
            if not poller.poll(_END_SECONDS * 1000):
                raise Failure(f"The lab '{self.place.name}' does not end.", f"Its log: {self.place.daemon_log}")
        finally:
            os.close(daemon)
        self.place.clear()


def checked(answer: Message | None, where: Place) -> Message:
    """Return an answer that is none of failure. Raises Failure."""
    if answer is None:
        raise Failure(f"The lab '{where.name}' hung up.", f"Its log: {where.daemon_log}")
    if "error" in answer:
        raise Failure(answer["error"], answer.get("mend", ""), ExitCode(answer.get("code", ExitCode.REFUSED)))
    return answer


def running_labs() -> list[LabClient]:
    """Return this user's labs that are up."""
    folder = labs_folder()
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [LabClient(place(name)) for name in names if _answers(LabClient(place(name)))]


def _answers(client: LabClient) -> bool:
    try:
        client.open().close()
    except Failure:
        return False
    return True


def lab_named(name: str | None) -> LabClient:
    """Return the lab with this name, else the one AMBIT_LAB names, else the only one that is up."""
    if wanted := name or chosen_lab():
        return LabClient(place(wanted))
    running = running_labs()
    if len(running) == 1:
        return running[0]
    if not running:
        raise Failure("No lab is up.", "Bring one up: meshctl lab up -f FILE", ExitCode.ABSENT)
    names = ", ".join(lab.place.name for lab in running)
    raise Failure(f"Several labs are up: {names}.", "Say which: --lab NAME, or set AMBIT_LAB.", ExitCode.USAGE)
