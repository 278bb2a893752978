"""What the keeper tells the supervisor: read as it was meant, or refused; nothing worse."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from ztunnel.supervisor.roster import Awaited, Entry, Gone, read_line
from ztunnel.worker.start import Pod

NAMES = st.text(max_size=20)
COUNTS = st.integers(0, 1 << 31)
WORKERS = st.fixed_dictionaries(
    dict.fromkeys(("pod_uid", "name", "namespace", "service_account"), NAMES) | {"pid": COUNTS, "uid": COUNTS}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(WORKERS)
def test_a_worker_is_read_as_it_was_told(facts):
    pod = Pod(facts["pod_uid"], facts["name"], facts["namespace"], facts["service_account"])
    assert read_line(json.dumps({"worker": facts})) == Entry(pod, facts["pid"], facts["uid"])
    assert read_line(json.dumps({"gone": {"pid": facts["pid"]}})) == Gone(facts["pid"])


@given(st.lists(NAMES, max_size=4))
def test_what_is_pending_is_read_as_it_was_told(parts):
    assert read_line(json.dumps({"pending": parts})) == Awaited(tuple(parts))


@given(WORKERS, st.sampled_from(["pod_uid", "name", "namespace", "service_account", "pid", "uid"]), JSON)
def test_a_line_with_one_thing_changed_names_the_same_process_or_none(facts, changed, value):
    kinds = {"pid": int, "uid": int}
    told = {**facts, changed: value}
    try:
        found = read_line(json.dumps({"worker": told}))
    except ValueError:
        assert type(value) is not kinds.get(changed, str) or (type(value) is int and value < 0)
    else:
        assert isinstance(found, Entry)
        assert (found.pid, found.uid) == (told["pid"], told["uid"])


@given(st.binary(max_size=300) | JSON.map(json.dumps) | st.integers(1, 100_000).map(lambda deep: "[" * deep))
def test_a_line_of_garbage_is_refused_and_nothing_worse(line):
    with contextlib.suppress(ValueError):
        read_line(line)


@given(WORKERS, st.integers(0, 400))
def test_a_line_cut_short_is_refused(facts, length):
    line = json.dumps({"worker": facts})
    if length < len(line):
        with contextlib.suppress(ValueError):
            assert read_line(line[:length]) is None, "half a line is none"
