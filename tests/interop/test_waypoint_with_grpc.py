"""grpcio on both sides of a waypoint: every kind of call, errors, deadlines, and what it answers itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import pytest
import trio

from mesh.policy import Action, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.route import Backend, PathMatch, PathMatchKind, Route, RouteKind, RouteMatch, RouteRule
from mesh.workload import AppProtocol
from tests.waypoint_ends import World, endpoint, service, world

pytestmark = pytest.mark.interop

_T = TypeVar("_T")
ECHO = service(protocol=AppProtocol.GRPC)


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> Any:
        handlers = {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(_unary),
            "/test.Echo/Many": grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request] * 200)),
            "/test.Echo/Sum": grpc.stream_unary_rpc_method_handler(lambda requests, _: b"%d" % sum(map(len, requests))),
            "/test.Echo/Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
            "/test.Echo/Fail": grpc.unary_unary_rpc_method_handler(_fail),
            "/test.Echo/Sleep": grpc.unary_unary_rpc_method_handler(_sleep),
        }
        return handlers.get(details.method)


def _unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-first", "1"),))
    context.set_trailing_metadata((("x-last", "2"), ("x-saw-te", metadata.get("te", "")), ("x-bin-bin", b"\x00\xff")))
    return request[::-1]


def _fail(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: ünicode")


def _sleep(_: bytes, context: grpc.ServicerContext) -> bytes:
    import threading

    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(10)
    return b""


@contextmanager
def _server(ip: str) -> Iterator[None]:
    server = grpc.server(ThreadPoolExecutor(8), handlers=[_Echo()])
    assert server.add_insecure_port(f"{ip}:8080")
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait()


async def _call(it: World, work: Callable[[grpc.Channel], _T]) -> _T:
    """Do blocking work with a channel to the service."""
    port = await it.door()

    def run() -> _T:
        options = [("grpc.default_authority", "echo:80"), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            return work(channel)

    with trio.fail_after(30):
        return await trio.to_thread.run_sync(run)


async def _with_backend(work: Callable[[grpc.Channel], _T], *resources: object, calls: int = 1) -> tuple[_T, World]:
    async with world(ECHO, *resources) as it:
        ip = it.address()
        await it.proxy(ip)
        it.put(endpoint("echo-1", ip, ECHO))
        with _server(ip):
            found = await _call(it, work)
            await it.recorded(calls)
            return found, it


async def test_a_unary_call_brings_metadata_before_and_after() -> None:
    def work(channel: grpc.Channel) -> None:
        answer, call = channel.unary_unary("/test.Echo/Unary").with_call(b"abc", timeout=10)
        assert answer == b"cba"
        assert ("x-first", "1") in call.initial_metadata()
        trailing = dict(call.trailing_metadata())
        assert trailing["x-last"] == "2"
        assert trailing["x-bin-bin"] == b"\x00\xff"

    _, it = await _with_backend(work)
    (record,) = it.records
    assert record.http is not None
    assert (record.http.protocol, record.http.status, record.http.grpc_status) == ("grpc", 200, 0)
    assert record.http.path == "/test.Echo/Unary"


async def test_streams_flow_in_every_direction() -> None:
    def work(channel: grpc.Channel) -> None:
        big = b"x" * 20_000
        assert list(channel.unary_stream("/test.Echo/Many")(big, timeout=20)) == [big] * 200
        assert channel.stream_unary("/test.Echo/Sum")(iter([big] * 200), timeout=20) == b"4000000"
        chat = channel.stream_stream("/test.Echo/Chat")
        assert list(chat(iter([b"%d" % number for number in range(500)]), timeout=20)) == [
            b"%d" % number for number in range(500)
        ]

    await _with_backend(work)


async def test_a_conversation_is_not_held_back() -> None:
    """Each answer arrives before the next question is asked."""

    def work(channel: grpc.Channel) -> None:
        from queue import SimpleQueue

        questions: SimpleQueue[bytes | None] = SimpleQueue()
        answers = channel.stream_stream("/test.Echo/Chat")(iter(questions.get, None), timeout=20)
        for number in range(20):
            questions.put(b"%d" % number)
            assert next(answers) == b"%d" % number
        questions.put(None)
        assert list(answers) == []

    await _with_backend(work)


async def test_an_error_of_the_backend_arrives_as_it_is() -> None:
    def work(channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test.Echo/Fail")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "not today: ünicode"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test.Echo/Nothing")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    _, it = await _with_backend(work, calls=2)
    assert [record.http.grpc_status for record in it.records if record.http] == [9, 12]


async def test_a_deadline_ends_the_call_at_both_ends() -> None:
    def work(channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test.Echo/Sleep")(b"", timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await _with_backend(work)


def _route(*rules: RouteRule) -> Route:
    return Route(f"GRPCRoute/shop/echo/{ECHO.key}/*", RouteKind.GRPC, "shop", "echo", ECHO.key, "shop", rules=rules)


def _status(path: str) -> Callable[[grpc.Channel], tuple[grpc.StatusCode, str]]:
    def work(channel: grpc.Channel) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path)(b"abc", timeout=10)
        return caught.value.code(), caught.value.details()

    return work


async def test_a_method_without_a_rule_is_unimplemented() -> None:
    only = RouteMatch(PathMatch(PathMatchKind.EXACT, "/test.Echo/Unary"))
    route = _route(RouteRule((only,), backends=(Backend(ECHO.key, 80),)))
    (code, _), _ = await _with_backend(_status("/test.Echo/Other"), route)
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_the_share_of_a_broken_backend_is_unavailable() -> None:
    route = _route(RouteRule(backends=(Backend("", 0, broken="no such service"),)))
    (code, _), it = await _with_backend(_status("/test.Echo/Unary"), route)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert it.records[0].refusal is not None
    assert "no such service" in it.records[0].refusal.detail


async def test_a_denied_call_is_permission_denied() -> None:
    everybody = Rule((Clause((Match(methods=(TextMatch(TextMatchKind.EXACT, "POST"),)),)),))
    policy = Policy(
        "deny", "shop", Scope.TARGET, Action.DENY, (everybody,), targets=(Target("Service", "shop", "echo"),)
    )
    status, _ = await _with_backend(_status("/test.Echo/Unary"), policy)
    assert status == (grpc.StatusCode.PERMISSION_DENIED, "RBAC: access denied")


async def test_without_an_endpoint_the_service_is_unavailable() -> None:
    async with world(ECHO) as it:
        code, details = await _call(it, _status("/test.Echo/Unary"))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details == "no healthy upstream"
