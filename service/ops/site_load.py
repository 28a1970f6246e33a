"""How much of a core of Redis each site uses, by what its last seconds have left in Redis."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from service.store.redis_cost import cost_of, shards_for

LOADED_CORES = 0.01  # less is not worth a word


@dataclass(frozen=True, slots=True)
class SiteLoad:
    """What a site's heartbeats take: how many are written each second, how much of a core of Redis
    that is, how many shards it has, and how many would do."""

    site: str
    per_second: float
    cores: float
    has_shards: int
    shards: int


def recent_outcomes(
    active: Mapping[str, float],
    events: Iterable[tuple[str, Mapping[str, str]]],
    *,
    since_ms: int,
    timeout_ms: int,
) -> Counter[str]:
    """Counts heartbeats that were written since a moment, by outcome: of a session at most one,
    and those that the log of events has.

    Args:
        active: when each member times out, ms.
        events: of the log, with their stream ids.
    """
    found = Counter(
        {"joined": "created", "moved": "moved"}.get(event.get("type", ""), "")
        for id, event in events
        if int(id.partition("-")[0]) >= since_ms
    )
    del found[""]
    written = sum(ends_ms - timeout_ms >= since_ms for ends_ms in active.values())
    found["refreshed"] = max(0, written - found.total())
    return found


def site_loads(
    recent: Mapping[str, Counter[str]],
    seconds: float,
    nodes: int,
    shards_of: Callable[[str], int],
) -> list[SiteLoad]:
    """The sites that take LOADED_CORES or more, the dearest first, by what they wrote within so
    many seconds."""
    loads = []
    for site, outcomes in recent.items():
        cores = cost_of(outcomes) / seconds
        if cores >= LOADED_CORES:
            per_second = outcomes.total() / seconds
            needed = shards_for(cores, nodes)
            loads.append(SiteLoad(site, per_second, cores, shards_of(site), needed))
    return sorted(loads, key=lambda load: -load.cores)
