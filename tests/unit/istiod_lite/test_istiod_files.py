"""What istiod-lite reads and writes on disk."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from subprocess import run
from typing import TYPE_CHECKING

import pytest
import yaml

from istiod_lite.authority import DamagedState, load_or_create
from istiod_lite.folder import Folder
from istiod_lite.mirror import Mirror
from mesh.document import snapshot_from
from tests.istiod_for_tests import pod, service

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def test_a_folder_tells_what_came_changed_and_went(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text("1")
    (tmp_path / "b.json").write_text("2")
    (tmp_path / "c.txt").write_text("no manifest")
    (tmp_path / ".d.yaml").write_text("half written")
    assert folder.changes() == {"deep/a.yaml": "1", "b.json": "2"}
    assert folder.changes() == {}
    (tmp_path / "b.json").write_text("longer")
    (tmp_path / "deep" / "a.yaml").unlink()
    assert folder.changes() == {"deep/a.yaml": None, "b.json": "longer"}


def test_a_file_that_cannot_be_read_counts_as_unchanged(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "a.yaml").write_text("1")
    folder.changes()
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    assert folder.changes() == {}
    (tmp_path / "a.yaml").write_text("again")
    assert folder.changes() == {"a.yaml": "again"}


def document(name: str, value: int) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": name, "namespace": "shop"}, "spec": value}


def test_a_mirror_holds_exactly_what_it_was_last_told(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.hold([document("a", 1), document("b", 1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Thing_shop_a.yaml", "Thing_shop_b.yaml"]
    untouched = (tmp_path / "Thing_shop_a.yaml").stat().st_ino
    mirror.hold([document("a", 1), document("c", 2)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Thing_shop_a.yaml", "Thing_shop_c.yaml"]
    assert (tmp_path / "Thing_shop_a.yaml").stat().st_ino == untouched
    assert yaml.safe_load((tmp_path / "Thing_shop_c.yaml").read_text()) == document("c", 2)


def test_a_mirror_takes_over_what_its_predecessor_left(tmp_path: Path) -> None:
    Mirror(tmp_path).hold([document("a", 1), document("b", 1)])
    successor = Mirror(tmp_path)
    assert [one["metadata"]["name"] for one in sorted(successor.documents(), key=str)] == ["a", "b"]
    successor.hold([document("a", 1)])
    assert [path.name for path in tmp_path.iterdir()] == ["Thing_shop_a.yaml"]


def test_the_root_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = load_or_create(state, "cluster.local", NOW)
    assert load_or_create(state, "cluster.local", NOW + timedelta(days=1)).certificate == first.certificate
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "root.pem").stat().st_mode & 0o777 == 0o600
    assert (state / "root-cert.pem").read_bytes() == first.certificate_pem
    assert b"PRIVATE" not in (state / "root-cert.pem").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "removed", "expired"])
def test_a_damaged_root_is_never_replaced_by_a_new_one(tmp_path: Path, damage: str) -> None:
    load_or_create(tmp_path, "cluster.local", NOW)
    secret, later = tmp_path / "root.pem", NOW
    match damage:
        case "cut":
            secret.write_bytes(secret.read_bytes()[:100])
        case "removed":
            secret.unlink()
        case "expired":
            later += timedelta(days=4000)
    with pytest.raises(DamagedState, match=r"root"):
        load_or_create(tmp_path, "cluster.local", later)


def istiod_lite(*arguments: str, given: str = "") -> tuple[int, str, str]:
    done = run(
        [sys.executable, "-m", "istiod_lite", *arguments], input=given, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_render_prints_what_proxies_would_be_told(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(service("web", "10.96.0.20") + "---" + pod("web-1", "10.244.1.5"))
    status, out, _ = istiod_lite("render", "-f", str(tmp_path))
    assert status == 0
    snapshot = snapshot_from(yaml.safe_load(out))
    assert [one.name for one in snapshot.endpoints("shop/web.shop.svc.cluster.local")] == ["web-1"]


def test_check_passes_good_manifests_and_tells_of_bad_ones(tmp_path: Path) -> None:
    good, bad = service("web", "10.96.0.20"), service("web", "10.96.0.20").replace("selector", "selektor")
    assert istiod_lite("check", "-f", "-", given=good)[0] == 0
    status, _, complaint = istiod_lite("check", "-f", "-", "--context", str(tmp_path), given=bad)
    assert status == 1
    assert "selektor" in complaint
    assert istiod_lite("check", "-f", str(tmp_path / "nowhere.yaml"))[0] == 2


def test_what_keeps_istiod_from_running_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": []}))
    where = ["--state", str(tmp_path / "s"), "--token-jwks", str(tmp_path / "jwks.json")]
    status, _, complaint = istiod_lite("serve", "--manifests", str(tmp_path / "nowhere"), *where)
    assert status == 2
    assert complaint.startswith("istiod-lite: ")
    assert "Traceback" not in complaint
