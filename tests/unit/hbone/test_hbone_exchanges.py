"""CONNECTs and their ends: accepted, refused, half-closed, reset, drained."""

from __future__ import annotations

import pytest

from mesh.hbone import frames
from mesh.hbone.fields import Answer, Connect
from mesh.hbone.frames import ErrorCode
from tests.hbone_ends import End, pair, pump


def test_a_connect_is_answered_only_when_the_server_says_so() -> None:
    client, server = pair(accepts=False)
    client.connection.open("10.0.0.1:80", [(b"baggage", b"service.name=web")])
    pump(client, server)
    stream, connect = server.requests[0]
    assert connect == Connect("10.0.0.1:80", {b"baggage": b"service.name=web"})
    assert client.answers == []
    stream.answer(200, [(b"baggage", b"service.name=cart")])
    pump(client, server)
    assert client.answers == [Answer(200, {b"baggage": b"service.name=cart"})]


def test_each_half_ends_by_itself() -> None:
    client, server = pair()
    ours = client.open()
    pump(client, server)
    theirs = server.sinks[1]
    ours.send(b"question", end=True)
    pump(client, server)
    assert (bytes(theirs.kept), theirs.log) == (b"question", ["ended"])
    theirs.send(b"answer", end=True)
    pump(client, server)
    assert (bytes(ours.kept), ours.log) == (b"answer", ["ended"])
    assert not client.connection.streams
    assert not server.connection.streams


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_refusal_leaves_nothing_behind(status: int) -> None:
    client, server = pair(accepts=False)
    client.open()
    pump(client, server)
    server.connection.refuse(server.requests[0][0], status)
    pump(client, server)
    assert client.answers == [Answer(status, {})]
    assert not client.connection.streams
    assert not server.connection.streams
    assert client.violation is server.violation is None


def test_a_request_that_is_no_connect_is_answered_400() -> None:
    server = End(client=False)
    server.receive(frames.PREFACE + frames.settings({}))
    server.output()
    server.receive(frames.headers(1, b"\x82\x87\x84\x01\x01a", end_stream=True, max_frame=16_384))
    assert b"\x08\x03400" in server.output()
    assert server.requests == []
    assert not server.connection.streams


def test_data_sent_before_the_answer_is_kept_for_the_sink() -> None:
    client, server = pair(accepts=False)
    client.open().send(b"eager", end=True)
    pump(client, server)
    sink = server.accept(server.requests[0][0])
    assert (bytes(sink.kept), sink.log) == (b"eager", ["ended"])


@pytest.mark.parametrize("code", [ErrorCode.CANCEL, ErrorCode.NO_ERROR, 4711])
def test_a_reset_reaches_the_other_side_with_its_code(code: int) -> None:
    client, server = pair()
    ours = client.open()
    pump(client, server)
    ours.stream.reset(code)
    pump(client, server)
    assert server.sinks[1].log == [f"reset: {frames.code_name(code)}"]
    assert ours.log == []


def test_a_request_reset_before_its_answer_can_still_be_answered_without_harm() -> None:
    client, server = pair(accepts=False)
    client.open().stream.reset()
    pump(client, server)
    sink = server.accept(server.requests[0][0])
    sink.send(b"nobody reads this", end=True)
    pump(client, server)
    assert sink.log == ["reset: CANCEL"]
    assert client.violation is server.violation is None


def test_what_waits_for_credit_goes_on_by_itself() -> None:
    client, server = pair()
    ours = client.open()
    pump(client, server)
    ours.send(bytes(30_000_000), end=True)
    assert ours.outgoing
    pump(client, server)
    assert len(server.sinks[1].kept) == 30_000_000
    assert server.sinks[1].log == ["ended"]


def test_a_sink_that_takes_nothing_bounds_what_is_sent_to_it() -> None:
    client, server = pair(passes_on=False)
    slow, quick = client.open(), client.open()
    pump(client, server)
    slow.send(bytes(10_000_000))
    pump(client, server)
    assert len(server.sinks[1].kept) == server.connection.limits.stream_window
    quick.send(b"not held up")
    pump(client, server)
    assert bytes(server.sinks[3].kept) == b"not held up"


def test_a_draining_server_takes_what_was_under_way() -> None:
    client, server = pair()
    server.connection.drain()
    late = client.open()
    pump(client, server)
    assert late.log == []
    assert not client.connection.can_open
    late.send(b"still here", end=True)
    server.sinks[1].send(b"", end=True)
    pump(client, server)
    assert client.connection.drained
    assert server.connection.drained


def test_a_drained_server_refuses_what_comes_after_its_last_word() -> None:
    client, server = pair()
    server.connection.drain()
    pump(client, server)
    late = client.open()
    pump(client, server)
    assert late.log == ["reset: REFUSED_STREAM"]


def test_streams_above_the_last_one_of_a_goaway_were_not_processed() -> None:
    client, _ = pair()
    first, second = client.open(), client.open()
    client.receive(frames.goaway(1, ErrorCode.NO_ERROR))
    assert first.log == []
    assert second.log == ["reset: REFUSED_STREAM"]


def test_a_goaway_with_an_error_ends_everything() -> None:
    client, _ = pair()
    sink = client.open()
    client.receive(frames.goaway(1, ErrorCode.ENHANCE_YOUR_CALM, b"slower"))
    assert client.violation is not None
    assert not client.violation.ours
    assert sink.log == ["reset: ENHANCE_YOUR_CALM"]


def test_a_lost_transport_resets_all_streams() -> None:
    client, server = pair()
    ours = client.open()
    pump(client, server)
    server.connection.lose("the wire was cut")
    client.connection.lose("the wire was cut")
    assert ours.log == server.sinks[1].log == ["reset: CONNECT_ERROR"]
