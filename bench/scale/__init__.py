"""Whether what is cheap for few stays cheap for many: tunnels on one worker, workers on a node, workloads in the mesh.

tunnels    10,000 idle ones on one worker; 5,000 connections at the same moment
workers    200 on one node
update     a change of one workload among 50,000, with 200 workers connected
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.scale import tunnels, update, workers
from bench.stage import stage
from bench.table import Result


def results() -> Iterator[Result]:
    """All of them, once; there is no peer. Ours beside few is the `peer` of ours beside many, where that tells more."""
    yield from update.results()
    with stage() as there:
        yield from tunnels.results(there)
    yield from workers.results()
