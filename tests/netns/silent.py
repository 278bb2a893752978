"""Listens on a port, but lets nobody in: its queue is full. Ends with its standard input."""

import socket
import sys

with socket.socket() as full:
    full.bind(("0.0.0.0", int(sys.argv[1])))
    full.listen(0)
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))):
        print("silent", flush=True)
        sys.stdin.read()
