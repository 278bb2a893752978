"""Send requests to an echo server and print the answers in the form the conformance tests read.

    python client.py http://echo/path --method=GET -H name:value --count=3
    python client.py grpc://echo:7070 -H name:value

No redirect is followed. A `Host` header sets the authority while the URL's host is dialled.
"""

import argparse
import http.client
from collections.abc import Sequence
from urllib.parse import urlsplit

import grpc
import message

Headers = Sequence[tuple[str, str]]


def by_http(url: str, method: str, headers: Headers, timeout: float) -> tuple[int, Headers, str]:
    """One HTTP/1.1 request on a connection of its own."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    connection.putrequest(method, path, skip_host=any(name.lower() == "host" for name, _ in headers))
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read().decode(errors="replace")
    connection.close()
    return response.status, response.getheaders(), body


def by_grpc(url: str, headers: Headers, timeout: float) -> tuple[int, Headers, str]:
    """One call of /proto.EchoTestService/Echo; a failure's status is 500 and its text the gRPC code."""
    metadata = tuple((name.lower(), value) for name, value in headers)
    with grpc.insecure_channel(urlsplit(url).netloc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/proto.EchoTestService/Echo", message.encode, message.decode)
        try:
            answer, ended = call.with_call("", timeout=timeout, metadata=metadata)
        except grpc.RpcError as problem:
            return 500, [], f"Error={problem.code().name} {problem.details()}\n"
    return 200, [(str(name), str(value)) for name, value in ended.initial_metadata()], answer


def main() -> int:
    """Send, print; the exit code is 1 when a request got no answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--method", default="GET")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=5.0)
    told = parser.parse_args()
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in told.header)]
    failed = 0
    for number in range(told.count):
        try:
            if told.url.startswith("grpc://"):
                status, got, body = by_grpc(told.url, headers, told.timeout)
            else:
                status, got, body = by_http(told.url, told.method, headers, told.timeout)
        except (OSError, http.client.HTTPException) as problem:
            print(f"[{number}] Error={problem!r}")
            failed = 1
            continue
        print(f"[{number}] StatusCode={status}")
        for name, value in got:
            print(f"[{number}] ResponseHeader={name}:{value}")
        for line in body.splitlines():
            print(f"[{number} body] {line}")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
