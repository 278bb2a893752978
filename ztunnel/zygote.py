"""The process that workers are forked from: it has imported all they need, so a worker costs little and starts fast.

It serves nobody but the keeper, over one private socket, and ends when the keeper does. It forks twice, so that a
worker is at once an orphan; the keeper, which adopts orphans, becomes its parent. The zygote's own death therefore
changes nothing for any worker, and the next zygote finds nothing to take over.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from ztunnel import confine, fork, netns
from ztunnel.worker.rehearsal import rehearse
from ztunnel.worker.start import Start

Work = Callable[[Start], NoReturn]
"""What a worker does with its life."""

_LISTENERS = slice(1, -1)


def run(channel: socket.socket, work: Work) -> NoReturn:
    """Confine this process and serve the keeper until it goes away. All that `work` needs has been imported by now."""
    confine.name_process("zt-zygote")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    confine.confine(confine.ZYGOTE)
    lacks = confine.lacking(confine.worker(confine.FIRST_WORKER_UID))
    if lacks:
        print(f"ztunnel zygote: workers are less confined: {lacks}", file=sys.stderr, flush=True)
    rehearse()
    gc.disable()
    gc.collect()
    gc.freeze()
    _serve(channel, work)
    sys.exit(0)


def _serve(channel: socket.socket, work: Work) -> None:
    while True:
        packet, descriptors, _, _ = socket.recv_fds(channel, fork.LARGEST_PACKET, max(fork.DESCRIPTORS) + 1)
        if not packet:
            return
        try:
            answer = _obey(fork.parse_order(packet), descriptors, work)
        except fork.ForkError as error:
            answer = fork.NotForked(str(error))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        channel.sendall(fork.encode(answer))


def _obey(order: fork.Order, descriptors: Sequence[int], work: Work) -> fork.Forked | fork.NotForked:
    if len(descriptors) not in fork.DESCRIPTORS:
        return fork.NotForked(f"an order with {len(descriptors)} descriptors, which is none of {fork.DESCRIPTORS}")
    reading, writing = os.pipe()
    try:
        between = os.fork()
        if not between:
            _fork_orphan(order, descriptors, work, writing)
        os.waitpid(between, 0)
        os.close(writing)
        writing = -1
        told = os.read(reading, 16)
    except OSError as error:
        return fork.NotForked(f"cannot fork: {error}")
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    return fork.Forked(int(told)) if told else fork.NotForked("cannot fork: the process between died")


def _fork_orphan(order: fork.Order, descriptors: Sequence[int], work: Work, tell: int) -> NoReturn:
    """In the process between: fork the worker, say its pid, and leave it an orphan."""
    status = 1
    try:
        pid = os.fork()
        if not pid:
            _become_worker(order, descriptors, work)
        os.write(tell, str(pid).encode())
        status = 0
    except OSError:
        traceback.print_exc()
    finally:
        os._exit(status)


def _become_worker(order: fork.Order, descriptors: Sequence[int], work: Work) -> NoReturn:
    """In the worker: nothing of the zygote's is left in it but its code."""
    status = 1
    try:
        confine.name_process(f"zt-{order.pod.name}")
        _close_all_but(descriptors)
        netns.enter(descriptors[0])
        os.close(descriptors[0])
        confine.confine(confine.worker(order.uid))
        if os.read(descriptors[-1], 1) != fork.BEGIN:
            sys.exit(0)  # the keeper died before it had noted this worker
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.enable()
        outbound, inbound_plaintext, inbound, *names = (socket.socket(fileno=fd) for fd in descriptors[_LISTENERS])
        work(
            Start(
                pod=order.pod,
                outbound=outbound,
                inbound_plaintext=inbound_plaintext,
                inbound=inbound,
                names=tuple(names),
                supervisor=order.supervisor,
                ready=descriptors[-1],
                settings=order.settings,
            )
        )
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001 -- whatever it was: never run on as a second zygote
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _close_all_but(kept: Sequence[int]) -> None:
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
