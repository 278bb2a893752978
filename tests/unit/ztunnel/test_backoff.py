from ztunnel.keeper.backoff import Backoff


def test_the_first_restart_is_at_once_and_the_next_ones_wait_longer_up_to_a_limit():
    backoff = Backoff(first=0.05, most=0.4)
    assert [backoff.after(lived=1) for _ in range(7)] == [0, 0.05, 0.1, 0.2, 0.4, 0.4, 0.4]


def test_what_lived_long_enough_starts_over():
    backoff = Backoff(first=0.1, most=5, healthy=10)
    assert [backoff.after(lived) for lived in (0, 0, 0, 10, 0)] == [0, 0.1, 0.2, 0, 0.1]
