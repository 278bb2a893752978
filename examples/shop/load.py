"""Send requests and count the answers: `python load.py http://catalog/version -n 1000 --by version`.

Every request has a connection of its own, so that each one meets the mesh as it is now. The last line is the
count; with --json it is one JSON object:

    {"requests": 1000, "answers": {"200": 1000}, "by": {"v1": 903, "v2": 97},
     "history": [["200", 1000, 0.0, 2.1]], "median_ms": 2.0, "slowest_ms": 31.2, "last": {"version": "v1"}}

`history` tells the same in order: runs of equal answers with their number, first and last second. `last` is the
body of the last answer.
"""

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, BinaryIO
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One request's end: seconds since the start, what came back (a status, or the kind of failure)."""

    at: float
    what: str
    milliseconds: float
    body: dict[str, Any]


@dataclass
class Load:
    """The requests to send and the answers so far."""

    url: str
    method: str
    headers: dict[str, str]
    timeout: float
    requests: int | None
    seconds: float | None
    pause: float
    over: threading.Event = field(default_factory=threading.Event)
    started: float = field(default_factory=time.monotonic)
    sent: int = 0
    answers: list[Answer] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def more(self) -> bool:
        """Whether there is another request to send; counts it."""
        with self.lock:
            if self.over.is_set() or (self.requests is not None and self.sent >= self.requests):
                return False
            if self.seconds is not None and time.monotonic() - self.started > self.seconds:
                return False
            self.sent += 1
            return True

    def run(self) -> None:
        """Send until there is nothing left to send."""
        while self.more():
            self.answers.append(self.send())
            time.sleep(self.pause)

    def heed(self, stream: BinaryIO) -> None:
        """Stop when a stream ends."""
        while stream.read(4096):
            pass
        self.over.set()

    def send(self) -> Answer:
        """One request on a new connection."""
        url, began = urlsplit(self.url), time.monotonic()
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        body: dict[str, Any] = {}
        try:
            connection = http.client.HTTPConnection(url.netloc, timeout=self.timeout)
            connection.request(self.method, path, headers=self.headers)
            response = connection.getresponse()
            what, raw = str(response.status), response.read()
            connection.close()
            body = json.loads(raw) if raw.startswith(b"{") else {}
        except (OSError, http.client.HTTPException) as problem:
            what = type(problem).__name__
        now = time.monotonic()
        return Answer(now - self.started, what, (now - began) * 1000, body)


def report(answers: list[Answer], by: str | None) -> dict[str, Any]:
    """What came back, counted and in order."""
    answers = sorted(answers, key=lambda answer: answer.at)
    runs = [(what, list(run)) for what, run in groupby(answers, key=lambda answer: answer.what)]
    times = [answer.milliseconds for answer in answers] or [0.0]
    return {
        "requests": len(answers),
        "answers": dict(Counter(answer.what for answer in answers)),
        "by": dict(Counter(str(answer.body.get(by)) for answer in answers)) if by else {},
        "history": [[what, len(run), round(run[0].at, 2), round(run[-1].at, 2)] for what, run in runs],
        "median_ms": round(statistics.median(times), 2),
        "slowest_ms": round(max(times), 2),
        "last": answers[-1].body if answers else {},
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("-n", "--requests", type=int, help="how many (default 100, if nothing else ends it)")
    parser.add_argument("--seconds", type=float, help="for how long")
    parser.add_argument("--until-eof", action="store_true", help="until standard input ends")
    parser.add_argument("-c", "--concurrency", type=int, default=1)
    parser.add_argument("-X", "--method", default="GET")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for an answer")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between requests")
    parser.add_argument("--by", help="count the answers by this field of their body")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Send, wait, tell."""
    told = arguments()
    bounded = told.requests or told.seconds or told.until_eof
    headers = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in told.header)}
    load = Load(
        told.url, told.method, headers, told.timeout, told.requests if bounded else 100, told.seconds, told.pause
    )
    if told.until_eof:
        threading.Thread(target=load.heed, args=(sys.stdin.buffer,), daemon=True).start()
    senders = [threading.Thread(target=load.run) for _ in range(told.concurrency)]
    print(f"sending to {told.url}", file=sys.stderr, flush=True)
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    counted = report(load.answers, told.by)
    if told.json:
        print(json.dumps(counted))
        return
    for what, number, first, last in counted["history"]:
        print(f"{first:8.2f} s .. {last:8.2f} s  {number:6} x {what}")
    print(f"{counted['requests']} requests: {counted['answers']} {counted['by'] or ''}".rstrip())


if __name__ == "__main__":
    main()
