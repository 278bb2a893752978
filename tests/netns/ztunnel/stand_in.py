"""The real keeper and the real zygote, with a worker and a supervisor that need no mesh: what they do can be seen.

A worker answers every connection with a line `<listener> <pid> <uid>` and then repeats what it hears. On SIGTERM or
SIGUSR1 it accepts no more and ends with its last connection; a second SIGTERM ends it.
The supervisor prints what the keeper tells it.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from typing import NoReturn

from ztunnel import confine, keeper, zygote
from ztunnel.config import Config
from ztunnel.keeper.part import Programs
from ztunnel.release import installed
from ztunnel.worker.start import Start


def work(start: Start) -> NoReturn:
    woken, wake = os.pipe()
    signal.signal(signal.SIGUSR1, lambda *_: os.write(wake, b"!"))
    signal.signal(signal.SIGTERM, lambda *_: end(wake))
    ready = selectors.DefaultSelector()
    ready.register(woken, selectors.EVENT_READ)
    for name in ("outbound", "inbound_plaintext", "inbound"):
        listener = getattr(start, name)
        listener.setblocking(False)  # a successor shares it, and may be the faster one
        ready.register(listener, selectors.EVENT_READ, name)
    os.write(start.ready, b"R")
    os.close(start.ready)
    while woken not in (awake := {key.fd: key for key, _ in ready.select()}):
        for key in awake.values():
            with contextlib.suppress(BlockingIOError):
                accepted, _ = key.fileobj.accept()
                threading.Thread(target=answer, args=(accepted, key.data)).start()
    for listener in (start.outbound, start.inbound_plaintext, start.inbound):
        listener.close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    sys.exit(0)


def end(wake: int) -> None:
    os.write(wake, b"!")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def answer(connection: socket.socket, listener: str) -> None:
    with connection, contextlib.suppress(OSError):
        connection.sendall(f"{listener} {os.getpid()} {os.getuid()}\n".encode())
        while heard := connection.recv(4096):
            connection.sendall(heard)


def supervise(channel: socket.socket) -> None:
    confine.name_process("zt-supervisor")
    confine.confine(confine.SUPERVISOR)
    channel.sendall(b'{"ready": true}\n')
    print("supervisor", os.getpid(), flush=True)
    while heard := channel.recv(65536):
        print(heard.decode(), end="", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    own = (sys.executable, __file__)
    match sys.argv[1:]:
        case ["keeper"]:
            programs = Programs((*own, "zygote"), (*own, "supervisor"))
            keeper.run(Config.from_process(), installed(), programs)
        case ["zygote", channel]:
            zygote.run(socket.socket(fileno=int(channel)), work)
        case ["supervisor", channel]:
            supervise(socket.socket(fileno=int(channel)))
