"""What a site's heartbeats cost Redis, and how many shards that calls for.

Redis does not tell time by site, so it is estimated from outcomes.
"""

import math
from collections.abc import Mapping

# Seconds of a core for a heartbeat by its outcome, and for what a call does for each site besides:
# `python -m bench --only P5,P5b,P7` measures them; these are of a quiet machine.
OUTCOME_S = {
    "created": 28e-6,
    "moved": 25e-6,
    "refreshed": 7e-6,
    "duplicate": 3.5e-6,
    "limited": 3.5e-6,
}
SITE_PART_S = 25e-6

# A shard that takes more of a core leaves too little for bursts, sweeps and other sites.
SHARD_CORES = 0.25


def cost_of(outcomes: Mapping[str, int]) -> float:
    """The seconds of a core of Redis that heartbeats took, given how many had which outcome."""
    return sum(OUTCOME_S[outcome] * count for outcome, count in outcomes.items())


def shards_for(cores: float, nodes: int, *, limit: int = 1024) -> int:
    """How many shards a site should have that takes that much of a core: a multiple of the nodes,
    so that each has as many; 1 where it need not be split."""
    needed = math.ceil(cores / SHARD_CORES)
    if needed < 2:
        return 1
    return min(math.ceil(needed / nodes) * nodes, limit // nodes * nodes)
