"""`python -m mesh.net.otlp FD PROTOCOL RESOURCE`: the exporter, over the socket FD, until the proxy hangs up."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from dataclasses import asdict
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

from mesh.net.otlp.outbox import Outbox, Sent
from mesh.net.otlp.readable import Readable
from mesh.tracing import Protocol

_LONGEST: Final = 1 << 18
"""Bytes of one message from the proxy (mesh.net.spans)."""
_FAREWELL_SECONDS: Final = 3.0


def main() -> None:
    """Take lines in until the proxy ends, then send what waits."""
    number, protocol, resource = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the proxy drains first; when it has ended, so do we
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s\t%(levelname)s\t%(name)s\t%(message)s"
    )
    with socket.socket(fileno=int(number)) as proxy:

        def tell(sent: Sent) -> None:
            try:
                proxy.send(json.dumps(asdict(sent)).encode())
            except OSError:
                return  # the proxy has gone: nobody counts

        readable = Readable(Resource.create(json.loads(resource)))
        outbox = Outbox(_exporter(Protocol(protocol)), readable, tell)
        while message := proxy.recv(_LONGEST):
            for line in message.splitlines():
                outbox.put(line)
        outbox.end(_FAREWELL_SECONDS)


def _exporter(protocol: Protocol) -> SpanExporter:
    """The SDK's own, which takes its settings from the environment."""
    if protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


if __name__ == "__main__":
    main()
