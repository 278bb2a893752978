"""One pod wants all that another pod's worker has. It gets its share, and nobody else notices."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from mesh.refusal import Reason
from tests.tunnel_ends import until

pytestmark = pytest.mark.netns

HOSTILE = Path(__file__).with_name("hostile.py")
ADDRESS = "10.244.1.66"
GRASP = 10_000
HANDSHAKES = 1_000
LONGEST = 3.0
"""Seconds for a new connection and a round trip on it, on a machine that has other things to do too."""


@pytest.fixture
async def hostile(pair) -> AsyncIterator[subprocess.Popen]:
    """Another pod, behind the same link as web; it has grasped for everything."""
    place = pair.web.place
    place.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    process = subprocess.Popen(  # noqa: ASYNC220 -- it starts at once
        [
            *(sys.executable, str(HOSTILE), str(place.namespace), ADDRESS, pair.db.address(), "8080"),
            *(str(GRASP), str(HANDSHAKES)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(place.namespace,),
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(autouse=True)
def _descriptors():
    """As many as there may be, for this process holds the applications' ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def echo(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async with stream:
            async for data in stream:
                await stream.send_all(data)


async def calls(pair, took: list[float]) -> None:
    """Web calls db again and again, each time on a connection of its own. The first failure is the test's."""
    while True:
        began = trio.current_time()
        async with await pair.web.call(pair.db.address(), 8080) as stream:
            with trio.fail_after(30):
                await stream.send_all(b"ping")
                assert await stream.receive_some(4) == b"ping"
        took.append(trio.current_time() - began)
        await trio.sleep(0.01)


def served(pair) -> bool:
    """Whether the hostile pod, which has let go of everything, is served like anybody."""
    with pair.web.place.make_socket(4, mark=0x539) as sock, suppress(ConnectionError):
        sock.bind((ADDRESS, 0))
        sock.connect((pair.db.address(), 15008))
        sock.settimeout(0.2)
        with suppress(TimeoutError):
            return sock.recv(1) != b""
        return True  # its handshake is awaited
    return False


async def test_a_pod_that_grasps_for_everything_gets_its_share_and_nobody_else_notices(pair, hostile, nursery):
    nursery.start_soon(trio.serve_listeners, echo, [pair.db.listen(8080)])
    took: list[float] = []
    nursery.start_soon(calls, pair, took)
    with trio.fail_after(120):
        assert await trio.to_thread.run_sync(hostile.stdout.readline) == "grasped\n"
    before = len(took)
    await until(lambda: len(took) > before + 20)
    left, _ = await trio.to_thread.run_sync(hostile.communicate, "")
    await until(lambda: served(pair))
    nursery.cancel_scope.cancel()

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 0 < json.loads(left)["connections"] <= files // 10, "half of a fifth of the descriptors"
    assert json.loads(left)["handshakes"] <= 32
    assert max(took) < LONGEST, sorted(took)[-10:]
    refused = {one.refusal for one in pair.node.closed(outbound=False) if one.refusal}
    details = {one.detail for one in refused if one.reason is Reason.OVER_BUDGET}
    assert f"32 handshakes of {ADDRESS} are in progress: its share" in details
    assert any(f"connections of {ADDRESS} are in progress: its share" in one for one in details)
    assert 'reason="over-budget"' in pair.node.metrics.page().decode()
    assert all(one.refusal is None for one in pair.node.closed(outbound=True))
