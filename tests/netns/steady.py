"""A steady load and its server, for pods: established connections that exchange data, and clients that make new ones.

steady.py serve PORT                            repeats what it hears
steady.py once HOST PORT                        one call; prints the seconds that it took
steady.py call HOST PORT CLIENTS ESTABLISHED    prints `begun`, calls until its input says something, prints the counts
"""

import json
import sys
import time

import trio

COUNTS = {"served": 0, "refused": 0, "exchanges": 0, "lost": 0, "slowest": 0.0, "why": []}
MESSAGE = b"m" * 64
PATIENCE = 20.0
SERVED = trio.Event()


async def repeat(stream: trio.SocketStream) -> None:
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def exchange(stream: trio.SocketStream) -> None:
    with trio.fail_after(PATIENCE):
        await stream.send_all(MESSAGE)
        heard = b""
        while len(heard) < len(MESSAGE):
            data = await stream.receive_some()
            if not data:
                raise OSError("the connection ended")
            heard += data


async def establish(host: str, port: int, *, task_status: trio.TaskStatus = trio.TASK_STATUS_IGNORED) -> None:
    """Exchange data for ever; a failure is one connection lost."""
    async with await trio.open_tcp_stream(host, port) as stream:
        await exchange(stream)
        task_status.started()
        try:
            while True:
                await exchange(stream)
                COUNTS["exchanges"] += 1
                await trio.sleep(0.2)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as fault:
            COUNTS["lost"] += 1
            COUNTS["why"].append(repr(fault))


async def once(host: str, port: int) -> float:
    begun = time.monotonic()
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream(host, port) as stream:
            await exchange(stream)
    return time.monotonic() - begun


async def make_calls(host: str, port: int) -> None:
    while True:
        try:
            COUNTS["slowest"] = max(COUNTS["slowest"], await once(host, port))
            COUNTS["served"] += 1
            SERVED.set()
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as fault:
            COUNTS["refused"] += 1
            COUNTS["why"].append(repr(fault))
        await trio.sleep(0.05)


async def call(host: str, port: int, clients: int, established: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(established):
            await nursery.start(establish, host, port)
        for _ in range(clients):
            nursery.start_soon(make_calls, host, port)
        await SERVED.wait()
        print("begun", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        nursery.cancel_scope.cancel()
    print(json.dumps({**COUNTS, "why": COUNTS["why"][:5]}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            trio.run(trio.serve_tcp, repeat, int(port))
        case ["once", host, port]:
            print(trio.run(once, host, int(port)))
        case ["call", host, port, clients, established]:
            trio.run(call, host, int(port), int(clients), int(established))
