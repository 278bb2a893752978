"""A real Envoy as the caller's proxy, in front of a waypoint: its HBONE and its HTTP/2 are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from mesh.workload import AppProtocol
from tests.interop.envoy import hbone_client, run_envoy
from tests.pki_for_tests import WEB, credentials
from tests.waypoint_app import App
from tests.waypoint_ends import VIP, WAYPOINT, service, world

pytestmark = pytest.mark.interop


async def _printed(*command: str) -> bytes:
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    return bytes(done.stdout)


@pytest.mark.parametrize("backend", [False, True])
@pytest.mark.parametrize("caller", [("curl", "-sS", "--http1.1"), ("nghttp", "--no-dep")])
async def test_requests_through_envoys_tunnel(tmp_path: Path, caller: tuple[str, ...], backend: bool) -> None:
    of = service(protocol=AppProtocol.HTTP2 if backend else AppProtocol.HTTP11)
    async with world(of) as it:
        await it.app(App(http2=backend), of)
        config = hbone_client(tmp_path, credentials(WEB), it.at, f"{VIP}:80", [WAYPOINT])
        async with run_envoy(tmp_path, config) as envoy:
            port = (await envoy.listener("plain")).port
            paths = [f"http://127.0.0.1:{port}/{number}" for number in range(10)]
            answer = await _printed(*caller, *paths)
        (record, *_) = await it.recorded(10)
    assert answer.count(b'"pod": "echo-1"') == 10
    assert record.source.identity == WEB


async def test_nghttp_sees_interleaved_streams() -> None:
    of = service()
    async with world(of) as it:
        await it.app(App(), of)
        port = await it.door()
        paths = [f"http://127.0.0.1:{port}/{number}" for number in range(20)]
        answer = await _printed("nghttp", "--no-dep", *paths)
        await it.recorded(20)
    assert answer.count(b'"pod": "echo-1"') == 20
