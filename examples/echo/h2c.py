"""Echo over HTTP/2 in clear text, with prior knowledge: one thread a connection, on the h2 library."""

import socket
import time
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from request import Request, text, wish


@dataclass
class Stream:
    """A request that is still arriving."""

    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)

    def request(self) -> Request:
        """The request, once it is whole."""
        pseudo = {name: value for name, value in self.headers if name.startswith(":")}
        plain = tuple((name, value) for name, value in self.headers if not name.startswith(":"))
        host = pseudo.get(":authority", dict(plain).get("host", ""))
        return Request(pseudo[":method"], pseudo.get(":path", ""), host, "HTTP/2.0", plain, bytes(self.body))


def serve(connection: socket.socket) -> None:
    """Answer until the client closes the connection."""
    h2_side = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    h2_side.initiate_connection()
    streams: dict[int, Stream] = {}
    connection.sendall(h2_side.data_to_send())
    while received := connection.recv(65536):
        for event in h2_side.receive_data(received):
            take(h2_side, streams, event)
        connection.sendall(h2_side.data_to_send())


def take(h2_side: h2.connection.H2Connection, streams: dict[int, Stream], event: h2.events.Event) -> None:
    """Gather the request; answer it at its end."""
    match event:
        case h2.events.RequestReceived(stream_id=number, headers=headers) if number and headers:
            streams[number] = Stream([(str(name), str(value)) for name, value in headers])
        case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=length) if number:
            streams[number].body += data or b""
            h2_side.acknowledge_received_data(length or 0, number)
        case h2.events.StreamEnded(stream_id=number) if number:
            answer(h2_side, number, streams.pop(number).request())
        case h2.events.StreamReset(stream_id=number) if number:
            streams.pop(number, None)
        case _:
            pass


def answer(h2_side: h2.connection.H2Connection, number: int, request: Request) -> None:
    """Say what arrived; the text is small enough for any first window."""
    wished = wish(request.url)
    time.sleep(wished.delay)
    headers = [(":status", str(wished.status)), ("content-type", "text/plain"), *wished.headers]
    h2_side.send_headers(number, headers)
    h2_side.send_data(number, text(request), end_stream=True)
