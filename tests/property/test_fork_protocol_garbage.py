import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from ztunnel import fork
from ztunnel.worker.start import Pod, Settings

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
pods = st.builds(Pod, names, names, names, names)
orders = st.builds(fork.Order, pods, st.integers(), names, st.builds(Settings, trust_domain=names))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
fields = st.dictionaries(st.sampled_from(["pod", "uid", "supervisor", "settings", "why", "pid"]), json_values)
almost = st.dictionaries(st.sampled_from(["Order", "Forked", "NotForked"]), fields | json_values).map(
    lambda document: json.dumps(document).encode()
)


@given(orders)
def test_every_order_comes_back_as_it_was_sent(order):
    assert fork.parse_order(fork.encode(order)) == order


@given(st.binary(max_size=200) | almost)
def test_garbage_is_refused_and_nothing_worse(packet):
    for parse in (fork.parse_order, fork.parse_answer):
        with contextlib.suppress(fork.ForkError):
            parse(packet)
