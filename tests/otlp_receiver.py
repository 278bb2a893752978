"""OTLP receivers that keep what they are sent: one of gRPC, one of HTTP; real servers on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Receiver:
    """What has come in so far. While it is told to `hold`, no answer goes out."""

    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    endpoint: str = ""
    metadata: list[dict[str, str]] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)

    def take(self, request: ExportTraceServiceRequest, metadata: dict[str, str]) -> ExportTraceServiceResponse:
        """One batch."""
        self.answering.wait()
        self.metadata.append(metadata)
        self.requests.append(request)
        return ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """All of them."""
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, object]:
        """Who made the first."""
        return plain(self.requests[0].resource_spans[0].resource.attributes)


def plain(attributes: Iterator[KeyValue] | list[KeyValue] | object) -> dict[str, object]:
    """Attributes by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}  # type: ignore[attr-defined]


@contextmanager
def grpc_receiver(address: str = "127.0.0.1:0") -> Iterator[Receiver]:
    """Listens while the context lasts."""
    receiver = Receiver()
    receiver.answering.set()

    class Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            return receiver.take(request, {str(key): str(text) for key, text in context.invocation_metadata()})

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port(address)
    receiver.endpoint = f"http://{address.rpartition(':')[0]}:{port}"
    server.start()
    try:
        yield receiver
    finally:
        receiver.answering.set()
        server.stop(0).wait()


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """The same over HTTP."""
    receiver = Receiver()
    receiver.answering.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces", self.path
            answer = receiver.take(ExportTraceServiceRequest.FromString(body), dict(self.headers.items()))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(answer.SerializeToString())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()
