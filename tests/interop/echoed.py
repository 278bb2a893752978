"""Bytes there and back: `echoed.py serve PORT` returns what it gets, `echoed.py send HOST PORT MIB` checks that.

What is sent is different everywhere and the same in every run; it is hashed as it leaves and as it comes back.
When the first half is back it says so, and the other half is sent once the program's own input has ended.
"""

import hashlib
import os
import random
import socket
import sys
import threading
from contextlib import suppress

MIB = 1 << 20


def serve(port: int) -> None:
    with socket.create_server(("", port), backlog=128) as listener:
        while True:
            threading.Thread(target=give_back, args=(listener.accept()[0],), daemon=True).start()


def give_back(sock: socket.socket) -> None:
    with sock:
        while piece := sock.recv(MIB):
            sock.sendall(piece)


def send(host: str, port: int, mib: int) -> bool:
    """Whether all came back. Raises OSError when the connection breaks."""
    sent, received = hashlib.sha256(), hashlib.sha256()
    half = mib * MIB // 2

    def go() -> None:
        dice = random.Random(mib)
        with suppress(OSError):  # whoever receives is told too
            for _ in range(2):
                for _ in range(mib):
                    piece = dice.randbytes(MIB // 2)
                    sent.update(piece)
                    sock.sendall(piece)
                while os.read(0, MIB):
                    pass
            sock.shutdown(socket.SHUT_WR)

    with socket.create_connection((host, port), timeout=20) as sock:
        sender = threading.Thread(target=go, daemon=True)
        sender.start()
        count = 0
        while piece := sock.recv(MIB):
            received.update(piece)
            if count < half <= count + len(piece):
                print("half of it is back", flush=True)
            count += len(piece)
        sender.join()
    return sent.digest() == received.digest()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["send", host, port, mib]:
            sys.exit(not send(host, int(port), int(mib)))
