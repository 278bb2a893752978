"""One pod's own proxy, in the pod's network namespace: a process with one certificate, whose key never leaves it.

start        what it is born with.
service      its life, from the certificate to the last drained connection.
outbound     15001: what the pod calls; inbound: 15008 and 15006, who calls the pod.
nameserver   15053: the pod's questions for names; names: what they are; upstream: who knows the others.
accept       connections off a listener, within a budget; boundary: a bug in one concerns no other.
decisions    what was planned and admitted, kept while what is known stays the same.
lookup       questions to the supervisor and patience for them; knowledge: what the answers add up to.
link         the connection to the supervisor.
certificate  the key, its certificate and their renewal.
live         admitted connections, judged again when policies change.
witness      one connection from beginning to end, told to the supervisor; crowd: all who are served now.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from ztunnel.worker.start import Start


def preload() -> None:
    """Import all that `run` needs; as its own user a worker may not even be able to read its code.

    Who only speaks of workers, as the keeper does, need not carry it.
    """
    from mesh.net import join  # noqa: F401
    from ztunnel.worker import service  # noqa: F401


def run(start: Start) -> NoReturn:
    """Serve the pod until SIGTERM, drain, and exit with status 0."""
    import trio

    from ztunnel.worker.service import Service

    trio.run(Service(start).run)
    sys.exit(0)
