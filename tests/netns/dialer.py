"""Connects from the pod it runs in, for whoever holds the other end of its standard input.

`10.0.0.1 80` comes in; the connected socket goes out, or why there is none.
"""

import socket

asking = socket.socket(fileno=0)
while where := asking.recv(256).decode().split():
    try:
        with socket.create_connection((where[0], int(where[1])), 5) as made:
            made.settimeout(None)
            socket.send_fds(asking, [b"connected"], [made.fileno()])
    except OSError as fault:
        asking.send(str(fault).encode())
