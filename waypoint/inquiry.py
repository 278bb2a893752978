"""`/why` on 15000: what this waypoint would do with a request now, as `meshctl why` asks."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from mesh.address import parse_ip
from mesh.identity import Identity
from mesh.net.admin import Page
from mesh.refusal import Refusal
from mesh.snapshot import Snapshot
from mesh.why import Explanation, ended
from waypoint.callee import Gateway, resolve
from waypoint.http.events import RequestHead
from waypoint.plan import Caller, Question
from waypoint.state import State
from waypoint.why import requested


def why(state: State, here: Gateway, query: str) -> Page:
    """Answer `peer=<SPIFFE id>&source=<ip>&authority=<of the CONNECT>&method=&path=&host=`, with a `header=name:value`
    for each header."""
    asked = parse_qsl(query, keep_blank_values=True)
    try:
        found = _explained(state.snapshot, here, asked)
    except KeyError as missing:
        return Page(f"the question lacks {missing.args[0]}=\n".encode(), status=400)
    except ValueError as fault:
        return Page(f"{fault}\n".encode(), status=400)
    if state.credentials is not None:
        found = replace(found, identity=str(state.credentials.identity))
    return Page(json.dumps(found.document()).encode() + b"\n", "application/json")


def _explained(snapshot: Snapshot, here: Gateway, asked: Sequence[tuple[str, str]]) -> Explanation:
    one = dict(asked)
    callee = resolve(snapshot, here, one["authority"])
    if isinstance(callee, Refusal):
        return Explanation((ended("target", callee),))
    caller = Caller(Identity.parse(one["peer"]), parse_ip(one["source"]))
    headers = tuple(_header(text) for name, text in asked if name == "header")
    request = RequestHead(one["method"].encode(), one["host"].encode(), one["path"].encode(), headers, ends=True)
    return requested(Question(snapshot, here, callee, caller, _first, wall=time.time), request)


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, content = text.partition(":")
    if not colon:
        raise ValueError(f"header {text!r} is not of the form name:value")
    return name.strip().lower().encode(), content.strip().encode()


def _first() -> float:
    return 0.0
