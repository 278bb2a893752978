"""Layer 4: what a connection costs, beside Envoy.

rates      bulk, round trips, requests, connections; with CPU seconds for each of their units
fairness   small round trips beside a bulk transfer
memory     idle, and with 1,000 tunnels
"""

from __future__ import annotations

from bench.l4 import fairness, memory, rates
from bench.measure import Comparison
from bench.stage import Stage


def comparisons(stage: Stage, seconds: float) -> tuple[Comparison, ...]:
    """All of layer 4; a bulk transfer takes that many seconds. The first load of a pod would end its idleness."""
    one_stream = rates.bulk(1, seconds)
    common = (one_stream, rates.ROUND_TRIP, rates.REQUESTS)
    return (
        Comparison("worker.", stage.ours, stage.envoys, (memory.IDLE,)),
        Comparison("l4.", stage.ours, stage.envoys, (*common, rates.bulk(8, seconds), rates.CONNECTIONS)),
        Comparison("l4.passthrough.", stage.ours_passed, stage.envoy_passed, (*common, rates.CONNECTIONS)),
        Comparison("l4.handshakes.", stage.ours_unpooled, stage.envoys_unpooled, (rates.HANDSHAKES,)),
        Comparison("l4.to_envoy.", stage.ours_to_envoy, stage.envoys, (*common, rates.CONNECTIONS)),
        Comparison("l4.from_envoy.", stage.envoy_to_ours, stage.envoys, (*common, rates.CONNECTIONS)),
        Comparison("l4.beside_bulk.", stage.ours, stage.envoys, (fairness.SAME_CONNECTION, fairness.OTHER_POD)),
        Comparison("l4.", stage.ours, stage.envoys, (memory.THOUSAND,)),
        Comparison("load.", stage.direct, stage.ours, (*common, rates.CONNECTIONS)),
    )
