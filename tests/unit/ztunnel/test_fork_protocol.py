import json

import pytest

from ztunnel import fork
from ztunnel.worker.start import Pod, Settings

ORDER = fork.Order(Pod("u-1", "web-1", "shop", "web"), 1_337_004, "/run/supervisor.sock", Settings(drain_seconds=2.5))


def edited(**changes) -> bytes:
    fields = json.loads(fork.encode(ORDER))["Order"] | changes
    return json.dumps({"Order": fields}).encode()


def test_an_order_survives_the_socket():
    assert fork.parse_order(fork.encode(ORDER)) == ORDER


@pytest.mark.parametrize("answer", [fork.Forked(4711), fork.NotForked("no more processes")])
def test_an_answer_survives_the_socket(answer):
    assert fork.parse_answer(fork.encode(answer)) == answer


def test_a_whole_number_of_seconds_is_a_number_of_seconds():
    settings = json.loads(fork.encode(ORDER))["Order"]["settings"] | {"drain_seconds": 3}
    assert fork.parse_order(edited(settings=settings)).settings.drain_seconds == 3.0


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "without Order"),
        (b'{"Order": 1}', "without Order"),
        (fork.encode(fork.Forked(1)), "without Order"),
        (edited(uid="0"), "uid is not of type int"),
        (edited(uid=True), "uid is not of type int"),
        (edited(pod=None), "no Pod"),
        (edited(pod={"uid": "u"}), "Pod has the fields"),
        (edited(settings={}), "Settings has the fields"),
        (edited(supervisor=None), "supervisor is not of type str"),
    ],
)
def test_what_is_no_order_is_refused_with_the_reason(packet, why):
    with pytest.raises(fork.ForkError, match=why):
        fork.parse_order(packet)


@pytest.mark.parametrize("packet", [b"", b"{}", b'{"Forked": {}}', b'{"NotForked": {"why": 1}}'])
def test_what_is_no_answer_is_refused(packet):
    with pytest.raises(fork.ForkError):
        fork.parse_answer(packet)
