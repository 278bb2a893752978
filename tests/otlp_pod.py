"""A pod with an OTLP receiver: takes spans on 4317 and shows them as JSON on 8080. Run in the folder of the tests."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from otlp_receiver import grpc_receiver, plain

with grpc_receiver("0.0.0.0:4317") as receiver:

    class Shown(BaseHTTPRequestHandler):
        """What has come in."""

        def do_GET(self) -> None:
            found = [
                {
                    "by": plain(resource.resource.attributes),
                    "name": span.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "error": span.status.code == 2,
                    "events": [event.name for event in span.events],
                    "attributes": plain(span.attributes),
                }
                for request in list(receiver.requests)
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    ThreadingHTTPServer(("0.0.0.0", 8080), Shown).serve_forever()
