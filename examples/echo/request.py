"""A request as the echo server saw it, and what it was asked to answer.

The answer is text, one `Name=value` a line, in the form that Gateway API's mesh conformance tests read. The query
may ask for more: `?codes=503`, `?delay=0.5` (seconds), `?headers=name:value,other:value`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from config import NAMESPACE, POD, VERSION


@dataclass(frozen=True)
class Request:
    """What arrived: `url` is the raw path with its query."""

    method: str
    url: str
    host: str
    protocol: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@dataclass(frozen=True)
class Wish:
    """How the client wants to be answered."""

    status: int = 200
    delay: float = 0.0
    headers: tuple[tuple[str, str], ...] = field(default=())


def wish(url: str) -> Wish:
    """Read the wish from the query. Raises ValueError when it is not one."""
    asked = parse_qs(urlsplit(url).query)
    headers = [pair.partition(":") for line in asked.get("headers", ()) for pair in line.split(",")]
    return Wish(
        int(asked.get("codes", ["200"])[-1]),
        float(asked.get("delay", ["0"])[-1]),
        tuple((name, value) for name, _, value in headers),
    )


def lines(request: Request) -> Iterable[str]:
    """The answer's lines."""
    yield f"Hostname={POD}"
    yield f"Namespace={NAMESPACE}"
    yield f"ServiceVersion={VERSION}"
    yield f"Method={request.method}"
    yield f"URL={request.url}"
    yield f"Host={request.host}"
    yield f"Proto={request.protocol}"
    yield f"Bytes={len(request.body)}"
    yield from (f"RequestHeader={name}:{value}" for name, value in request.headers)


def text(request: Request) -> bytes:
    """The answer."""
    return "".join(f"{line}\n" for line in lines(request)).encode()
