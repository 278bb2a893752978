"""Consistent hashing: who comes or goes moves no keys but its own, and shares are as weights say."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ring import Ring, hashed

members = st.dictionaries(
    st.text("abcdef0123456789-/", min_size=1, max_size=12), st.integers(1, 4), min_size=1, max_size=8
)
keys = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60)


@settings(max_examples=60)
@given(members, keys, st.data())
def test_a_member_that_goes_moves_its_own_keys_and_no_others(weights: dict, keys: list, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(weights)))
    whole, rest = Ring(weights.items()), Ring((uid, w) for uid, w in weights.items() if uid != gone)
    for key in keys:
        before, after = whole.find(key), rest.find(key)
        assert before in weights
        assert after == before if before != gone else after != gone
        assert whole.find(key, {gone}) == after, "one that is avoided is as good as gone"


@settings(max_examples=40)
@given(members, keys)
def test_the_order_of_members_counts_for_nothing(weights: dict, keys: list) -> None:
    one, other = Ring(weights.items()), Ring(reversed(list(weights.items())))
    assert [one.find(key) for key in keys] == [other.find(key) for key in keys]


@settings(max_examples=30)
@given(members, st.integers(0, 2**64 - 1))
def test_when_all_are_avoided_there_is_nobody(weights: dict, key: int) -> None:
    assert Ring(weights.items()).find(key, set(weights)) is None
    assert Ring(()).find(key) is None


def test_shares_are_as_weights_say() -> None:
    ring = Ring([("a", 1), ("b", 1), ("c", 2)])
    shares = Counter(ring.find(hashed(b"caller %d" % number)) for number in range(20_000))
    assert 0.2 < shares["a"] / 20_000 < 0.3
    assert 0.2 < shares["b"] / 20_000 < 0.3
    assert 0.42 < shares["c"] / 20_000 < 0.58


def test_a_great_weight_costs_a_bounded_number_of_points() -> None:
    ring = Ring([("light", 1), ("heavy", 4_000_000_000)])
    shares = Counter(ring.find(hashed(b"%d" % number)) for number in range(5_000))
    assert 0.8 < shares["heavy"] / 5_000 < 0.97
