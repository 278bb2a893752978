"""What hostile and faulty input does to a running mesh: it is refused, the log says why and whose it was, and nobody
else notices. Good requests, straight to web and through the waypoint to catalog, go on all the time.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived

from mesh.hbone import frames
from mesh.identity import Identity
from tests.bad_input_scene import STRANGER, Mesh, Target, connected, tunnel
from tests.pki_for_tests import credentials
from tests.stranger_for_tests import Rough, name, read_out, wrapped
from tests.tunnel_ends import until

pytestmark = pytest.mark.netns


@pytest.fixture(autouse=True)
def _begun(loiterers: dict[str, socket.socket]) -> None:
    """What takes long has begun."""


# ---- at the door


def test_garbage_is_no_handshake(target: Target, caller: socket.socket) -> None:
    caller.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n" + bytes(range(256)) * 64)
    read_out(caller)
    target.log.line("error", f"src.addr={name(caller)}", 'src.workload="stranger"', 'reason="tls-failed"')


def test_of_two_good_suites_the_cheaper_is_taken(mesh: Mesh, caller: socket.socket) -> None:
    with wrapped(caller, mesh.papers()) as tls:
        assert tls.cipher() == ("TLS_AES_128_GCM_SHA256", "TLSv1.3", 128)


def test_a_caller_needs_a_certificate(target: Target, caller: socket.socket) -> None:
    who = name(caller)
    with wrapped(caller, None) as tls:
        assert read_out(tls) == b""
    target.log.line(f"src.addr={who}", 'reason="no-certificate"', "the peer showed no certificate")


def test_another_root_is_not_believed(target: Target, caller: socket.socket) -> None:
    who = name(caller)
    with wrapped(caller, credentials(STRANGER)) as tls:
        assert read_out(tls) == b""
    target.log.line(f"src.addr={who}", 'reason="tls-failed"', "the peer's certificate is not accepted")


def test_another_trust_domain_is_not_ours(mesh: Mesh, target: Target, caller: socket.socket) -> None:
    who = name(caller)
    with wrapped(caller, mesh.papers(Identity("elsewhere.example", "shop", "web"))) as tls:
        assert read_out(tls) == b""
    line = target.log.line(f"src.addr={who}", 'reason="wrong-trust-domain"')
    assert "spiffe://elsewhere.example/ns/shop/sa/web is not of our trust domain cluster.local" in line


def test_an_expired_certificate_is_worth_nothing(mesh: Mesh, target: Target, caller: socket.socket) -> None:
    who = name(caller)
    with wrapped(caller, mesh.papers(expired=True)) as tls:
        assert read_out(tls) == b""
    target.log.line(f"src.addr={who}", 'reason="certificate-expired"', "certificate has expired")


# ---- in HTTP/2


def test_a_certified_caller_has_to_speak_http2(mesh: Mesh, target: Target, caller: socket.socket) -> None:
    who = name(caller)
    with wrapped(caller, mesh.papers()) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        read_out(tls)
    line = target.log.line(f"src.addr={who}", 'reason="http2-failed"', "the peer does not speak HTTP/2")
    assert f'src.identity="{STRANGER}"' in line


@pytest.mark.parametrize(
    ("authority", "worker_says", "waypoint_says"),
    [
        ("", "bad-request", "bad-request"),
        ("not an address", "bad-request", "bad-request"),
        ("10.244.2.3:99999", "bad-request", "bad-request"),
        ("10.244.9.9:80", "address-mismatch", "unknown-destination"),
        ("OWN:15006", "self-call", "unknown-port"),
    ],
)
def test_nobody_is_led_where_the_listener_does_not_lead(
    target: Target, rough: Rough, authority: str, worker_says: str, waypoint_says: str
) -> None:
    expected = waypoint_says if "waypoint" in target.log.pattern else worker_says
    asked = authority.replace("OWN", target.authority.rpartition(":")[0])
    rough.ask(1, asked)
    assert rough.answer(1)
    line = target.log.line(f"src.addr={name(rough.sock)}", f'reason="{expected}"')
    assert f'src.identity="{STRANGER}"' in line


def test_only_connect_is_served(target: Target, rough: Rough) -> None:
    rough.ask(1, target.authority, (b":scheme", b"http"), (b":path", b"/"), method=b"GET")
    assert rough.answer(1)
    target.log.line(
        f"src.addr={name(rough.sock)}", f'"{STRANGER}"', 'reason="bad-request"', "the method is not CONNECT"
    )


def test_a_malformed_head_costs_its_stream_only(target: Target, rough: Rough) -> None:
    rough.ask(1, target.authority, (b"Upper-Case", b"1"))
    assert rough.answer(1) == b""
    target.log.line(f"src.addr={name(rough.sock)}", f'"{STRANGER}"', 'reason="bad-request"', "Upper-Case")
    rough.ask(3, target.authority)
    assert rough.answer(3)


def test_heads_are_bounded(target: Target, rough: Rough) -> None:
    rough.ask(1, target.authority, *((b"x-%d" % number, b"x" * 8000) for number in range(9)))
    assert rough.farewell().startswith("ENHANCE_YOUR_CALM")
    target.log.line(f"src.addr={name(rough.sock)}", f'"{STRANGER}"', 'reason="http2-failed"', "header")


def test_a_frame_is_cut_short(target: Target, rough: Rough) -> None:
    who = name(rough.sock)
    rough.ask(1, target.authority)
    rough.answer(1)
    rough.send(frames.frame(frames.DATA, 0, 1, b"x" * 1000)[:500])
    rough.sock.shutdown(socket.SHUT_WR)
    read_out(rough.sock)
    target.log.line(f"src.addr={who}", f'"{STRANGER}"', 'reason="http2-failed"', "in the middle of a frame")


# ---- changed minds


@pytest.fixture
def silent(mesh: Mesh) -> Iterator[str]:
    """The authority of a port of web's that is listened on, where nobody gets in."""
    process = mesh.lab.start("lab", "exec", "web", "-n", "shop", "--", "python", "netns/silent.py", "9090")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "silent\n"
        yield f"{mesh.pod('web')}:9090"
    finally:
        process.communicate(timeout=20)


@pytest.mark.parametrize("target", ["worker"], indirect=True)
async def test_a_connect_that_is_taken_back_ends_the_dialling_it_began(
    mesh: Mesh, target: Target, rough: Rough, silent: str
) -> None:
    def dialling() -> int:
        return len(mesh.lab.exec("web", "ss", "-Htn", "state", "syn-sent", namespace="shop").out.splitlines())

    for stream in range(1, 20, 2):
        rough.ask(stream, silent)
    await until(lambda: dialling() == 10)
    rough.send(*(frames.rst_stream(stream, frames.ErrorCode.CANCEL) for stream in range(1, 20, 2)))
    line = target.log.line(f"src.addr={name(rough.sock)}", 'reason="caller-gone"', "took its CONNECT back")
    assert silent in line
    await until(lambda: not dialling())
    rough.ask(21, target.authority)
    assert rough.answer(21)


# ---- half-open


@pytest.fixture(scope="module")
def loiterers(mesh: Mesh, worker: Target, waypoint: Target) -> Iterator[dict[str, socket.socket]]:
    """To each listener one who begins a handshake at the start of all this, and never goes on with it."""
    found = {target.ip: mesh.stranger.dial(target.ip, 15008) for target in (worker, waypoint)}
    for sock in found.values():
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    yield found
    for sock in found.values():
        sock.close()


def test_connections_left_half_open_keep_nobody_out(
    mesh: Mesh, target: Target, loiterers: dict[str, socket.socket]
) -> None:
    with ExitStack() as open_ones:
        for _ in range(300):
            with suppress(ConnectionError):  # what is above its share may be reset while it still connects
                open_ones.enter_context(mesh.stranger.dial(target.ip, 15008))
        line = target.log.line('src.workload="stranger"', 'reason="over-budget"')
        assert f"32 handshakes of {mesh.stranger.ip} are in progress" in line
        url = "http://catalog/" if "waypoint" in target.log.pattern else "http://web/"
        assert mesh.ask(url, pod="late") == "200", "a caller who has no tunnel yet gets one"


# ---- HTTP in a good tunnel to the waypoint


REQUEST = b"GET / HTTP/1.1\r\nHost: catalog\r\n"


@pytest.mark.parametrize(
    ("text", "status", "why"),
    [
        (b"GET / HTTP/1.1\nHost: catalog\n\n", 400, "a line ends without CR LF"),
        (
            REQUEST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "beside Transfer-Encoding",
        ),
        (REQUEST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "a transfer coding other than chunked"),
        (REQUEST + b"X-Large: " + b"x" * 70_000 + b"\r\n\r\n", 431, "the head is larger than 65536 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "without a Host header"),
    ],
)
async def test_malformed_http_is_answered_and_told(
    mesh: Mesh, waypoint: Target, text: bytes, status: int, why: str
) -> None:
    async with tunnel(mesh, waypoint) as to_waypoint:
        bad, good = [await connected(to_waypoint, waypoint.authority) for _ in range(2)]
        await bad.send_all(text)
        assert (await bad.receive_some(65536)).startswith(b"HTTP/1.1 %d " % status)
        waypoint.log.line("request complete", f"src.addr={to_waypoint.local}", f'"{STRANGER}"', f"status={status}", why)
        await good.send_all(REQUEST + b"\r\n")
        assert (await good.receive_some(65536)).startswith(b"HTTP/1.1 200 "), "another stream of the tunnel goes on"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ([(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"catalog")], "path"),
        ([(b":method", b"GET"), (b":path", b"/"), (b":path", b"/"), (b":scheme", b"http")], "path"),
        ([(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"http"), (b"UPPER", b"x")], "UPPER"),
    ],
)
async def test_bad_pseudo_headers_are_refused_and_their_conversation_goes_on(
    mesh: Mesh, waypoint: Target, head: list[tuple[bytes, bytes]], why: str
) -> None:
    async with tunnel(mesh, waypoint) as to_waypoint:
        bad = await connected(to_waypoint, waypoint.authority)
        right = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"catalog"), (b":path", b"/")]
        careless = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        caller = H2Connection(careless)
        caller.initiate_connection()
        for stream, fields in ((1, head), (3, right)):
            caller.send_headers(stream, fields, end_stream=True)
        await bad.send_all(caller.data_to_send())
        statuses: dict[int, bytes] = {}
        with trio.fail_after(5):
            while len(statuses) < 2:
                for event in caller.receive_data(await bad.receive_some(65536)):
                    if isinstance(event, ResponseReceived):
                        statuses[event.stream_id] = dict(event.headers)[b":status"]
        assert statuses == {1: b"400", 3: b"200"}
        waypoint.log.line(f"src.addr={to_waypoint.local}", f'"{STRANGER}"', 'reason="bad-request"', why)


# ---- objects


FAULTY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: innocent, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: typo, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principles: ["*"]}}]}]}
"""


def test_a_file_with_a_typo_is_refused_as_a_whole(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(FAULTY)
    refused = mesh.lab.meshctl("apply", "-f", str(tmp_path / "policy.yaml"), code=None)
    assert refused.code != 0
    for what in ("policy.yaml", "AuthorizationPolicy shop/typo", "principles", "principals"):
        assert what in refused.err
    mesh.lab.meshctl("lab", "get", "configmap", "innocent", "-n", "shop", code=3)
    mesh.lab.meshctl("lab", "get", "authorizationpolicy", "typo", "-n", "shop", code=3)


def test_a_service_without_endpoints_refuses(mesh: Mesh, waypoint: Target) -> None:
    caller = mesh.log("ztunnel_node-1.log")
    assert "000 curl" in mesh.ask("http://empty/")
    line = caller.line("error", 'src.workload="client"', 'reason="no-healthy-endpoint"')
    assert "service shop/empty.shop.svc.cluster.local: it has no endpoint" in line
    assert mesh.ask("http://empty-catalog/") == "503"
    waypoint.log.line('dst.service="empty-catalog.shop.svc.cluster.local"', "status=503", "no-healthy-endpoint")


def test_a_missing_waypoint_is_never_passed_by(mesh: Mesh) -> None:
    for _ in range(5):
        assert "000 curl" in mesh.ask("http://orphan/must-not-arrive")
    line = mesh.log("ztunnel_node-1.log").line("error", 'src.workload="client"', 'reason="no-healthy-waypoint"')
    assert "service shop/orphan.shop.svc.cluster.local is reached through waypoint" in line
    assert "must-not-arrive" not in mesh.log("shop_web_*.log").text


# ---- last, because it was begun first


def test_a_handshake_that_does_not_go_on_is_ended(target: Target, loiterers: dict[str, socket.socket]) -> None:
    sock = loiterers[target.ip]
    sock.settimeout(15)
    read_out(sock)
    target.log.line(f"src.addr={name(sock)}", 'reason="handshake-timeout"', "no TLS handshake within 10 s")
