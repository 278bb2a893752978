"""The node's only link to istiod: knows the whole mesh and tells every worker its part. Holds no key, has no privilege.

state     the snapshot as istiod tells it.
roster    the node's workers, as the keeper tells.
door      lets them in; session: one worker's conversation; share: which part of the snapshot is its.
names     what a host name means to a pod.
signing   certificates for the pods; expiry: when those in force end.
ledger    the access log and the metrics; tally: those of names; pages: what is shown over HTTP.

When istiod is away everything known goes on. When the supervisor is away the workers go on with what they know, and
come back to the next one.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import trio

from ztunnel.supervisor.node import Node

if TYPE_CHECKING:
    from ztunnel.config import Config


def run(config: Config, keeper: socket.socket) -> NoReturn:
    """Serve the node for as long as the keeper lives."""
    trio.run(Node(config).run, keeper)
    sys.exit(0)
