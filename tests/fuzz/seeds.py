"""`python -m tests.fuzz.seeds`: write the corpus anew, beside what was found by fuzzing. All of it is made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path

import hpack

from mesh import proxy_protocol, zds
from mesh.address import Address, NetworkAddress
from mesh.hbone import fields, frames
from mesh.hbone.headers import Baggage, Forwarded
from mesh.identity import Identity
from mesh.policy import Action, Policy, Scope
from mesh.record import Event
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Put
from mesh.trace import TraceContext
from mesh.workload import Membership, Port, Service, Workload
from mesh.xds import codec
from waypoint.http.events import Body, End, RequestHead, ResponseHead, Trailers
from waypoint.http.hpack import encode
from waypoint.http.http2 import Http2
from ztunnel import fork
from ztunnel.channel import message as said
from ztunnel.channel.sighting import Sighting
from ztunnel.worker.start import Pod, Settings

CORPUS = Path(__file__).parent / "corpus"
IP = ip_address("10.0.0.1")
HERE, THERE = Address(IP, 80), Address(ip_address("fd00::1"), 8080)
WEB = Identity("cluster.local", "shop", "web")
POD = Pod("uid", "web", "shop", "web")
CONNECT = fields.encode_connect("10.0.0.1:80", [(b"baggage", b"k8s.namespace.name=shop")])
WORKLOAD = Workload("name", "web", "shop", "web", addresses=(IP,), services=(Membership("shop/db", (Port(80, 8080),)),))
SERVICE = Service("db", "shop", "db.shop.svc", (NetworkAddress("", IP),), (Port(80, 8080),))
POLICY = Policy("name", "shop", Scope.NAMESPACE, Action.DENY)


def _hbone() -> Iterator[tuple[str, bytes]]:
    request = frames.headers(1, CONNECT, end_stream=False, max_frame=16_384)
    answer = frames.headers(1, fields.encode_answer(200, []), end_stream=False, max_frame=16_384)
    data = frames.frame(frames.DATA, 0, 1, b"hello")
    torn = frames.frame(frames.HEADERS, 0, 1, CONNECT[:5]) + frames.frame(frames.CONTINUATION, 4, 1, CONNECT[5:])
    for name, begin in (("hbone_server", request), ("hbone_client", answer)):
        whole = begin + data + frames.window_update(1, 100) + frames.frame(frames.PING, 0, 0, bytes(8))
        yield name, b"\xff" + whole + frames.rst_stream(1, 8) + data
        yield name, b"\x05" + whole + frames.frame(frames.DATA, 1, 1, b"end")
        yield name, b"\xff" + torn + frames.frame(frames.SETTINGS, 0, 0, bytes(6))
        yield name, b"\xff" + begin + frames.frame(frames.GOAWAY, 0, 0, bytes(8)) + frames.frame(77, 0, 0)
    yield "hbone_heads", CONNECT
    yield "hbone_heads", fields.encode_answer(503, [(b"a", b"b")])


def _texts() -> Iterator[tuple[str, bytes]]:
    yield "headers", Baggage("cluster", "shop", "web").encode()
    yield "headers", Forwarded(HERE, "db.shop.svc").encode()
    yield "headers", Forwarded(THERE, "").encode()
    yield "headers", TraceContext.of(bytes(range(24))).encode()
    for text in (str(HERE), str(THERE), "db.shop.svc:80", str(WEB)):
        yield "authority", text.encode()
    for identity in (WEB, None):
        yield "proxy_header", proxy_protocol.ProxyHeader(HERE, THERE, identity).encode()


def _local() -> Iterator[tuple[str, bytes]]:
    sighting = Sighting(Event.CLOSED, outbound=True, source=HERE, peer=WEB, refusal=Refusal(Reason.TLS_FAILED, "x"))
    for up in (said.Ask((IP,)), said.Forget((IP,)), said.Sign("csr"), said.Report(sighting, 1), said.Resolve("db")):
        yield "channel", json.dumps(said.to_supervisor(up)).encode()
    update = said.Update("name", (Put(WORKLOAD), Put(SERVICE), Put(POLICY)), (IP,), whole=True)
    for down in (update, said.Signed("a", "b"), said.Unsigned(Refusal(Reason.NO_CERTIFICATE, "x")), said.Revoked("c")):
        yield "channel", json.dumps(said.to_worker(down)).encode()
    for message in (fork.Order(POD, 7, "/s", Settings()), fork.Forked(7), fork.NotForked("x")):
        yield "keeper", fork.encode(message)
    worker = {"pod_uid" if name == "uid" else name: value for name, value in asdict(POD).items()}
    for line in ({"gone": {"pid": 7}}, {"pending": ["x"]}, {"worker": {**worker, "pid": 7, "uid": 8}}):
        yield "keeper", json.dumps(line).encode()
    for request in (zds.Add("uid", "web", "shop", "web"), zds.Keep("uid"), zds.Delete("uid"), zds.SnapshotSent()):
        yield "agent", zds.encode_request(request)
    yield "agent", zds.encode_hello(zds.Hello())
    yield "agent", zds.encode_ack(zds.Ack("x"))


def _resources() -> Iterator[tuple[str, bytes]]:
    for number, one in ((0, WORKLOAD), (0, SERVICE), (1, POLICY)):
        yield "resources", bytes((number,)) + codec.encode(one).body
    yield "resources", b"\x02" + codec.encode(POLICY).body
    yield "resources", b"\x03\x0a\x04name"
    yield "revocations", b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"


def _http() -> Iterator[tuple[str, bytes]]:
    for text in (
        b"GET /a?b=c HTTP/1.1\r\nHost: echo\r\nX-A: b\r\nCookie: a=b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhiGET / HTTP/1.0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n5;e=f\r\nhello\r\n0\r\nx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: e\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
        b"GET http://e/ HTTP/1.1\r\nHost: e\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        yield "http1_server", b"\xff" + text
    for text in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.0 404 No\r\n\r\nuntil the end",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
    ):
        yield "http1_client", b"\x06" + text
    client, server = Http2(client=True), Http2(client=False)
    for head in (RequestHead(b"POST", b"echo", b"/", ((b"x-a", b"b"),)), RequestHead(b"GET", b"e", b"/x", ends=True)):
        client.begin(head)
    client.send(1, Body(b"hello"))
    client.send(1, Trailers(((b"x", b"y"),)))
    client.send(1, End())
    asked = client.take()
    server.receive(asked)
    server.send(1, ResponseHead(200, ((b"x-a", b"b"),)))
    server.send(1, Body(b"hello"))
    server.send(1, Trailers(((b"x", b"y"),)))
    server.send(3, ResponseHead(204, ends=True))
    server.drain()
    yield "http2_server", b"\xff" + asked[len(frames.PREFACE) :]
    yield "http2_client", b"\x11" + server.take()
    yield "hpack_block", encode(((b":method", b"GET"), (b"x-a", b"b"), (b"cookie", b"c")))
    yield "hpack_block", hpack.Encoder().encode([(b":path", b"/a/b"), (b"x-long", b"v" * 100)])


def main() -> None:
    """Write them, numbered."""
    count: dict[str, int] = {}
    for seeds in (_hbone(), _texts(), _local(), _resources(), _http()):
        for target, seed in seeds:
            count[target] = count.get(target, 0) + 1
            (CORPUS / target).mkdir(parents=True, exist_ok=True)
            (CORPUS / target / f"seed-{count[target]}").write_bytes(seed)


if __name__ == "__main__":
    main()
