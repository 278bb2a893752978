"""Stock: a line protocol on plain TCP, where the server greets first.

< stock READY
> LEFT lamp
< 7
"""

import socket
import socketserver
import zlib

from config import POD, PORT


class Clerk(socketserver.StreamRequestHandler):
    """Answers line by line until the client goes."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Greet, then count."""
        self.wfile.write(f"stock READY {POD}\n".encode())
        for line in self.rfile:
            verb, _, item = line.decode(errors="replace").strip().partition(" ")
            left = f"{zlib.crc32(item.encode()) % 10}\n" if verb == "LEFT" else "what?\n"
            self.wfile.write(left.encode())


class Shelf(socketserver.ThreadingTCPServer):
    """Listens on IPv6 and IPv4 where the pod has both."""

    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Shelf(("::", PORT), Clerk).serve_forever()
