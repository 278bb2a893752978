"""Whatever stands in a manifest, reading it ends in a fact or in problems, and so does everything after it."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from istiod_lite import admission, facts, manifests
from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import Object
from istiod_lite.problem import Problem
from istiod_lite.status import statuses
from istiod_lite.world import World

CASES = Path(__file__).resolve().parents[1] / "golden" / "cases"
WORDS = st.sampled_from(["", "a", "*", "None", "80", "-1", "STRICT", "10.0.0.1", "/", "\x00", "é", "istio-waypoint"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


@cache
def objects() -> tuple[Object, ...]:
    """Every object of the golden cases, which between them use every field that there is."""
    texts = {path.parent.name: path.read_text() for path in CASES.glob("*/in.yaml")}
    return tuple(obj for name, text in sorted(texts.items()) for obj in manifests.load({name: text})[0])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn) -> Object:
    """An object in which one value has become something else."""
    found = draw(st.sampled_from(objects()))
    body: Any = copy.deepcopy(found.body)
    *path, last = draw(
        st.sampled_from([one for one in places(body) if one and one[0] in {"metadata", "spec", "status"}])
    )
    inner = body
    for step in path:
        inner = inner[step]
    inner[last] = draw(JSON)
    return Object(found.key, found.source, found.line, body)


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_reading_and_compiling_never_fail(obj: Object):
    found = facts.read(obj)
    if isinstance(found, list):
        assert all(isinstance(one, Problem) and str(one) for one in found)
        instead = facts.stand_in(obj, found)
        world = World.of([instead] if instead is not None else [])
    else:
        world = World.of([found])
    compile_world(world, Settings())
    statuses(world, Settings())


@settings(max_examples=100, deadline=None)
@given(damaged())
def test_admission_never_fails(obj: Object):
    text = yaml.safe_dump(dict(obj.body), allow_unicode=True)
    assert all(str(one) for one in admission.check(text, "a.yaml", World()))


@given(st.text(max_size=200))
def test_any_text_at_all(text: str):
    for source in ("a.yaml", "a.json"):
        objects_found, problems = manifests.load({source: text})
        assert all(str(one) for one in manifests.locate(problems, {source: text}))
        assert objects_found == []
