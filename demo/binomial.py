"""How far a count may stray from its share by chance alone."""

from math import exp, lgamma, log


def interval(trials: int, share: float, alarm: float = 1e-6) -> tuple[int, int]:
    """The counts that a fair split of `trials` gives, but for one time in `1 / alarm` (exact, both tails)."""
    chances = [_chance(trials, share, count) for count in range(trials + 1)]
    return _tail(chances, alarm / 2), trials - _tail(chances[::-1], alarm / 2)


def _tail(chances: list[float], most: float) -> int:
    """The first count whose tail, itself included, is more likely than `most`."""
    below = 0.0
    for count, chance in enumerate(chances):
        below += chance
        if below > most:
            return count
    return len(chances) - 1


def _chance(trials: int, share: float, count: int) -> float:
    """The binomial probability, by logarithms: the coefficients are too large for floats."""
    ways = lgamma(trials + 1) - lgamma(count + 1) - lgamma(trials - count + 1)
    return exp(ways + count * log(share) + (trials - count) * log(1 - share))
