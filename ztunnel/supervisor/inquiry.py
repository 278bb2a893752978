"""`/why` on 15000: what this node's workers would do with a connection now, as `meshctl why` asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from mesh.address import Address, parse_ip
from mesh.identity import Identity
from mesh.net.admin import Page
from mesh.snapshot import Snapshot
from mesh.why import Explanation
from mesh.workload import Workload
from ztunnel.admit import Arrival
from ztunnel.why import arriving, leaving


def why(snapshot: Snapshot, query: str) -> Page:
    """Answer `from=<uid>&to=<ip:port>` for a connection that leaves a pod, and for one that arrives at a pod
    `at=<uid>&to=<ip:port>&source=<ip>`, with `peer=<SPIFFE id>` and `authority=` if it comes by HBONE."""
    asked = dict(parse_qsl(query))
    try:
        found = _explained(snapshot, asked)
    except KeyError as missing:
        return Page(f"the question lacks {missing.args[0]}=\n".encode(), status=400)
    except ValueError as fault:
        return Page(f"{fault}\n".encode(), status=400)
    if found is None:
        return Page(f"this node knows no workload {asked.get('from') or asked.get('at')}\n".encode(), status=404)
    return Page(json.dumps(found.document()).encode() + b"\n", "application/json")


def _explained(snapshot: Snapshot, asked: Mapping[str, str]) -> Explanation | None:
    own: Workload | None
    if "from" in asked:
        own = snapshot.workloads.get(asked["from"])
        return None if own is None else leaving(snapshot, own, Address.parse(asked["to"]))
    own = snapshot.workloads.get(asked["at"])
    if own is None:
        return None
    peer = Identity.parse(asked["peer"]) if "peer" in asked else None
    arrival = Arrival(peer, parse_ip(asked["source"]), Address.parse(asked["to"]), asked.get("authority"))
    return arriving(snapshot, own, arrival)
