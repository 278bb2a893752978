"""A configuration as JSON in pieces is the same text as in one."""

from __future__ import annotations

import json
from dataclasses import replace

from mesh.document import to_document
from mesh.document.dump import dump
from mesh.policy import Action, Policy, Scope
from mesh.snapshot import Snapshot
from mesh.workload import Workload

WEB = Workload("uid-0", "web", "shop")
MORE = {"certificates": [], "version": "1"}


def whole(snapshot: Snapshot) -> str:
    return json.dumps({**to_document(snapshot), **MORE}, indent=2) + "\n"


def test_pieces_make_the_whole() -> None:
    policy = Policy("no", "shop", Scope.NAMESPACE, Action.DENY)
    for count in (0, 1, 99, 100, 101, 350):
        snapshot = Snapshot.of([policy, *(replace(WEB, uid=f"uid-{number}") for number in range(count))])
        assert b"".join(dump(snapshot, MORE)).decode() == whole(snapshot)


def test_nothing_is_known_yet() -> None:
    assert b"".join(dump(Snapshot(), MORE)).decode() == whole(Snapshot())


def test_no_piece_grows_with_the_mesh() -> None:
    snapshot = Snapshot.of(replace(WEB, uid=f"uid-{number}") for number in range(5_000))
    pieces = list(dump(snapshot, MORE))
    assert len(pieces) > 50
    assert max(map(len, pieces)) < 30_000
