"""The counts that the demonstration accepts for a split."""

from math import comb

import pytest

from demo.binomial import interval


def outside(trials: int, share: float, low: int, high: int) -> float:
    """The chance that a fair split falls outside of low..high."""
    return sum(
        comb(trials, count) * share**count * (1 - share) ** (trials - count)
        for count in range(trials + 1)
        if not low <= count <= high
    )


@pytest.mark.parametrize(("trials", "share"), [(10, 0.5), (100, 0.1), (400, 0.03), (1000, 0.1)])
def test_the_interval_misses_as_rarely_as_promised_and_is_no_wider(trials: int, share: float) -> None:
    low, high = interval(trials, share, alarm=1e-4)
    assert outside(trials, share, low, high) <= 1e-4
    assert outside(trials, share, low, high - 1) > 0.5e-4
