"""The catalog: what the shop sells, with stars by gRPC and the stock by a plain TCP protocol.

`GET /version` answers at once and says who answered; `GET /` asks reviews and stock as well; `POST /` would
change the catalog, which a policy may forbid.
"""

import json
import os
import socket

import grpc
import json_http
from config import POD, PORT, REVIEWS, STOCK, VERSION

ITEMS = ("lamp", "chair", "kettle")
TIMEOUT = 5.0


def stars(item: str) -> int:
    """Ask reviews by gRPC. The channel is closed again: each call shows what the mesh does now."""
    with grpc.insecure_channel(REVIEWS, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary("/shop.Reviews/Stars", str.encode, json.loads)
        return int(ask(json.dumps({"item": item}), timeout=TIMEOUT)["stars"])


def left(item: str) -> int:
    """Ask stock, which greets first: a protocol where the server speaks before the client."""
    host, _, port = STOCK.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection, connection.makefile("rw") as lines:
        lines.readline()
        lines.write(f"LEFT {item}\n")
        lines.flush()
        return int(lines.readline())


class Catalog(json_http.Handler):
    """Says which version and which pod answered."""

    def answer(self, status: int, **body: object) -> None:
        """Reply with `body` and who speaks."""
        self.reply(status, {"version": VERSION, "pod": POD, "pid": os.getpid(), **body})

    def do_GET(self) -> None:
        """The whole catalog, or only the version."""
        if self.path.startswith("/version"):
            self.answer(200, user=self.headers.get("x-user"))
            return
        try:
            self.answer(200, items={item: {"stars": stars(item), "left": left(item)} for item in ITEMS})
        except (OSError, ValueError, grpc.RpcError) as problem:
            self.answer(502, problem=repr(problem))

    def do_POST(self) -> None:
        """Take a new item (and forget it)."""
        self.answer(201, taken=True)


if __name__ == "__main__":
    json_http.serve(PORT, Catalog)
