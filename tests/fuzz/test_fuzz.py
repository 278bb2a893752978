"""Every reader against its corpus, and then for some seconds against what atheris makes of it; always the same."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
RUNS = 10_000
FUZZED = sorted(TARGETS) if importlib.util.find_spec("atheris") else []
"""There are wheels for x86_64 only; elsewhere the corpus has to do."""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_corpus_is_read_or_refused_and_nothing_worse(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert files, "python -m tests.fuzz.seeds writes it"
    for file in files:
        TARGETS[name](file.read_bytes())


@pytest.mark.parametrize("name", FUZZED)
def test_nothing_that_is_made_of_it_breaks_a_reader(name: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz", name, "-seed=1", f"-runs={RUNS}", "-max_len=4096"),
            *(f"-artifact_prefix={tmp_path}/", str(found), str(CORPUS / name)),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS} runs" in done.stderr
