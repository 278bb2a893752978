"""A whole configuration as JSON, piece by piece.

With 50,000 workloads it takes seconds to write, for which nobody else may have to wait.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from typing import Any, Final

from mesh.document import LISTS, to_document
from mesh.snapshot import Resource, Snapshot

_AT_ONCE: Final = 100
"""Resources in a piece: a few milliseconds of work."""


def dump(snapshot: Snapshot, more: Mapping[str, Any]) -> Iterator[bytes]:
    """The text of `{**to_document(snapshot), **more}` with an indentation of 2 and a line end; `more` is not empty."""
    yield b"{"
    for kind, resources in groupby(snapshot.resources(), key=type):
        yield f'\n  "{LISTS[kind]}": ['.encode()
        between = ""
        while batch := list(islice(resources, _AT_ONCE)):
            yield (between + ",".join(map(_indented, batch))).encode()
            between = ","
        yield b"\n  ],"
    yield json.dumps(more, indent=2).removeprefix("{").encode() + b"\n"


def _indented(resource: Resource) -> str:
    return ("\n" + json.dumps(to_document(resource), indent=2)).replace("\n", "\n    ")
