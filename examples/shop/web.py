"""The shop's front: every GET asks the catalog and shows what it said."""

import http.client
import os

import json_http
from config import CATALOG, POD, PORT


class Web(json_http.Handler):
    """`GET /anything` becomes the same GET at the catalog."""

    def do_GET(self) -> None:
        """Pass the caller's headers on, and the catalog's answer back."""
        try:
            status, answer = json_http.get(CATALOG, self.path, self.caller_headers())
        except (OSError, http.client.HTTPException) as problem:
            status, answer = 502, f"no catalog: {problem!r}"
        self.reply(status, {"web": {"pod": POD, "pid": os.getpid()}, "catalog": answer})


if __name__ == "__main__":
    json_http.serve(PORT, Web)
