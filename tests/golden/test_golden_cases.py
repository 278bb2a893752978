"""Golden cases: manifests in, and beside them the snapshot and the statuses that come of them.

Each folder of `cases` holds `in.yaml`, whose first line says what the case is about, and what it must give:
`snapshot.yaml` and `status.yaml`. After a wanted change of the compiler, write the outputs anew and read the diff:

    .venv/bin/python tests/golden/test_golden_cases.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from istiod_lite import facts, manifests
from istiod_lite.compile import Settings, compile_world
from istiod_lite.status import document, statuses
from istiod_lite.world import World
from mesh.document import snapshot_from, to_document

CASES = Path(__file__).parent / "cases"
NOW = "2026-01-31T12:00:00Z"


def outputs(case: Path) -> dict[str, list[Any]]:
    """What a case gives: the documents of each output file."""
    objects, problems = manifests.load({"in.yaml": (case / "in.yaml").read_text()})
    assert problems == []
    read = [facts.read(one) for one in objects]
    assert [one for one in read if isinstance(one, list)] == []
    world = World.of(one for one in read if not isinstance(one, list))
    found = statuses(world, Settings(), now=NOW)
    return {
        "snapshot.yaml": [to_document(compile_world(world, Settings()))],
        "status.yaml": [document(key, found[key]) for key in sorted(found)],
    }


def names() -> list[str]:
    return sorted(one.parent.name for one in CASES.glob("*/in.yaml"))


@pytest.mark.parametrize("name", names())
def test_a_case_gives_what_it_gave(name: str):
    for file, documents in outputs(CASES / name).items():
        assert list(yaml.safe_load_all((CASES / name / file).read_text())) == documents


@pytest.mark.parametrize("name", names())
def test_a_snapshot_file_can_be_read_back(name: str):
    document = yaml.safe_load((CASES / name / "snapshot.yaml").read_text())
    assert to_document(snapshot_from(document)) == document


def test_no_case_is_without_its_outputs_and_none_without_a_title():
    assert len(names()) >= 15
    for name in names():
        assert {one.name for one in (CASES / name).iterdir()} == {"in.yaml", "snapshot.yaml", "status.yaml"}
        assert (CASES / name / "in.yaml").read_text().startswith("# ")


def regenerate() -> None:
    """Write the outputs of every case anew."""
    for name in names():
        for file, documents in outputs(CASES / name).items():
            text = yaml.safe_dump_all(documents, sort_keys=False, width=110, allow_unicode=True)
            (CASES / name / file).write_text(text)


if __name__ == "__main__":
    regenerate()
