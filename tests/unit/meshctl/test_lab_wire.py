import os
import socket
from typing import Any

from meshctl.lab.wire import Caller, encoded


class Hasty(socket.socket):
    """A connection whose other end answers and hangs up as soon as it has all that was sent."""

    other: socket.socket

    def sendmsg(self, *arguments: Any) -> int:
        sent = super().sendmsg(*arguments)
        self.other.recv(65536)
        self.other.sendall(encoded({"exit": 0}))
        self.other.close()
        return sent


def test_an_answer_may_come_before_the_request_has_returned() -> None:
    ours, theirs = socket.socketpair()
    hasty = Hasty(fileno=ours.detach())
    hasty.other = theirs
    nothing = os.open(os.devnull, os.O_RDWR)
    with hasty:
        caller = Caller(hasty)
        caller.send({"verb": "exec"}, (nothing,))
        os.close(nothing)
        assert caller.receive() == {"exit": 0}
