"""How long a worker's connections may go on, by what it was told and when."""

import pytest

from ztunnel.drain import Drain, Word, heard, seconds_to_end

RELIEVED, END = Word.RELIEVED, Word.END


@pytest.mark.parametrize(
    ("words", "drain"),
    [
        ([(0, END)], Drain(5, ending=True)),
        ([(0, RELIEVED)], Drain(3600, ending=False)),
        ([(0, RELIEVED), (10, RELIEVED)], Drain(3600, ending=False)),
        ([(0, RELIEVED), (10, END)], Drain(15, ending=True)),
        ([(0, RELIEVED), (3599, END)], Drain(3600, ending=True)),
        ([(0, RELIEVED), (10, END), (11, END)], Drain(11, ending=True)),
        ([(0, END), (1, RELIEVED)], Drain(5, ending=True)),
        ([(0, END), (1, END)], Drain(1, ending=True)),
    ],
)
def test_no_word_adds_time(words, drain):
    found = None
    for now, word in words:
        found = heard(found, word, now, relieved=3600, ending=5)
    assert found == drain


@pytest.mark.parametrize(
    ("deadline", "grace", "seconds"),
    [(None, None, 5), (7, None, 7), (7, 30, 7), (0, 30, 0), (None, 30, 25), (None, 10, 9), (None, 11, 6), (None, 1, 1)],
)
def test_seconds_to_end(deadline, grace, seconds):
    assert seconds_to_end(deadline, grace) == seconds
