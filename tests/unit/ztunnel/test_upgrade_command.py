"""What `ztunnel upgrade` and the keeper say to each other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztunnel import command
from ztunnel.command import Refused, Standing, Status, Upgrade, Upgrading, WorkerSeen

WORKER = WorkerSeen("shop/web", 7, "2", 3, "serving")
OLD = WorkerSeen("shop/web", 6, "1", 2, "leaving")


@pytest.mark.parametrize("request_", [Upgrade("/opt/ambit/bin/python"), Status()])
def test_a_request_survives_the_socket(request_):
    assert command.parse_request(command.encode(request_)) == request_


@pytest.mark.parametrize("answer", [Upgrading("1", "2"), Refused("no"), Standing("2", ("a",), (WORKER, OLD))])
def test_what_the_keeper_answers_survives_the_socket(answer):
    assert command.parse_answer(command.encode(answer)) == answer


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"Upgrade": {}},
        {"Upgrade": {"python": "python3"}},
        {"Upgrade": {"python": "/a\0b"}},
        {"Upgrade": {"python": 1}},
        {"Upgrade": {"python": "/a", "more": 1}},
        {"Status": {"more": 1}},
        {"Status": None},
        {"Status": {}, "Upgrade": {"python": "/a"}},
    ],
)
def test_what_is_no_request_is_refused(document):
    with pytest.raises(command.CommandError):
        command.parse_request(json.dumps(document).encode())


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(text):
    for parse in (command.parse_request, command.parse_answer):
        with pytest.raises(command.CommandError):
            parse(text)


@pytest.mark.parametrize(
    ("standing", "settled"),
    [
        (Standing("2", (), ()), True),
        (Standing("2", (), (WORKER, OLD)), True),
        (Standing("1", (), ()), False),
        (Standing("2", ("a pod",), ()), False),
        (Standing("2", (), (WorkerSeen("shop/web", 6, "1", 2, "serving"),)), False),
    ],
)
def test_when_an_upgrade_is_done(standing, settled):
    assert standing.settled("2") == settled
