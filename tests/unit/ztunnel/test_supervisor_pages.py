"""What the supervisor knows of its workers, and what the node shows of itself."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from mesh.net.admin import Ask
from mesh.net.certs import CaEndpoint
from mesh.snapshot import Put
from mesh.workload import Workload
from ztunnel.supervisor.pages import admin_pages, readiness_pages, set_level
from ztunnel.supervisor.place import Place
from ztunnel.supervisor.roster import Awaited, Entry, Gone, Roster, read_line
from ztunnel.supervisor.signing import Issued, Signing
from ztunnel.supervisor.state import State
from ztunnel.worker.start import Pod

WEB = Pod("1-2-3", "web", "shop", "web")
LINE = (
    '{"worker": {"pod_uid": "1-2-3", "name": "web", "namespace": "shop", "service_account": "web", "pid": 7, "uid": 9}}'
)
LACKS = {"landlock": "this kernel has no Landlock"}


def get(pages, path: str):
    return pages["GET", path](Ask("GET", path, ""))


def test_what_the_keeper_tells() -> None:
    assert read_line(LINE) == Entry(WEB, 7, 9)
    assert read_line('{"gone": {"pid": 7}}') == Gone(7)


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"worker": {}}', '{"gone": 7}', '{"gone": {"pid": "x"}}', "7"])
def test_what_the_keeper_never_tells(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_line(line)


def test_a_worker_is_known_by_process_and_user_both() -> None:
    roster = Roster()
    roster.note(Awaited(()))
    roster.note(Entry(WEB, 7, 9))
    assert roster.entry(7, 9) == Entry(WEB, 7, 9)
    assert roster.entry(7, 0) is None
    assert roster.entry(8, 9) is None
    roster.note(Gone(7))
    assert roster.entry(7, 9) is None


def test_readiness_says_what_is_awaited() -> None:
    state, roster = State(), Roster()
    roster.note(Awaited(()))
    roster.note(Entry(WEB, 7, 9))
    pages = readiness_pages(state, roster, {})
    page = get(pages, "/healthz/ready")
    assert page.status == 500
    assert b"istiod has not told everything yet, the worker of shop/web has not come yet" in page.body
    state.note_synced()
    with roster.speaking(Entry(WEB, 7, 9)):
        assert (get(pages, "/healthz/ready").status, get(pages, "/healthz/ready").body) == (200, b"ready\n")


def test_readiness_says_which_layers_the_platform_lacks() -> None:
    state, roster = State(), Roster()
    roster.note(Awaited(()))
    state.note_synced()
    page = get(readiness_pages(state, roster, LACKS), "/healthz/ready")
    assert (page.status, page.body) == (200, b"ready\nless confined, no landlock: this kernel has no Landlock\n")


def test_the_dump_shows_the_snapshot_the_workers_and_the_certificates() -> None:
    state, roster = State(), Roster()
    roster.note(Awaited(()))
    roster.note(Entry(WEB, 7, 9))
    state.apply([Put(Workload("uid", "web", "shop"))])
    signing = Signing(CaEndpoint("istiod:15012", Path("/r"), Path("/t")), Place("cluster.local", "Kubernetes", ""), 60)
    signing.issued[WEB] = Issued("spiffe://cluster.local/ns/shop/sa/web", "ab", "from", "to")
    dump = json.loads(b"".join(get(admin_pages(state, roster, signing, LACKS), "/config_dump").body))
    assert dump["workloads"] == [{"uid": "uid", "name": "web", "namespace": "shop"}]
    assert dump["workloadState"] == {
        "1-2-3": {
            "state": "Pending",
            "pid": 7,
            "info": {"name": "web", "namespace": "shop", "serviceAccount": "web"},
        }
    }
    assert dump["certificates"] == [
        {
            "identity": "spiffe://cluster.local/ns/shop/sa/web",
            "state": "Available",
            "certChain": [{"serialNumber": "ab", "validFrom": "from", "expirationTime": "to"}],
        }
    ]
    assert dump["confinement"] == {"lacks": LACKS}
    assert dump["istiod"] == {"connected": False, "synced": False}


def test_the_level_of_the_log() -> None:
    root = logging.getLogger()
    before = root.level
    try:
        assert set_level(Ask("POST", "/logging", "level=debug")).body == b"level: debug\n"
        assert root.level == logging.DEBUG
        assert set_level(Ask("POST", "/logging", "level=loud")).status == 400
        assert set_level(Ask("POST", "/logging", "")).body == b"level: debug\n"
    finally:
        root.setLevel(before)
