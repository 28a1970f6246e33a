"""P16: how evenly one site, in twelve shards, lies on a cluster of three."""

from collections import Counter
from typing import Any

from redis.crc import key_slot

from bench.redis_crowd import CHUNK, SITE, beat, command_line, store_of
from bench.result import Context, Result
from service.store.keys import Keys, tag_of
from tests.servers import cluster, cluster_url

NODES, SHARDS, BAR = 3, 12, 0.40
SITES = 1_000


async def run(context: Context) -> list[Result]:
    """P16."""
    sessions = 8 * CHUNK if context.quick else 32 * CHUNK
    context.progress.start("spread over a cluster", 1)
    context.progress.step(f"{sessions:,} heartbeats")
    with cluster("valkey", NODES) as servers:
        async with store_of(cluster_url(servers), shards=SHARDS) as store:
            for start in range(0, sessions, CHUNK):
                beats = [beat(number) for number in range(start, start + CHUNK)]
                await store.heartbeats(SITE, beats)
            # Each session has sent one heartbeat, and lives where that was decided.
            here = [
                sum(server.client.zcard(key) for key in server.client.keys("*}:active"))
                for server in servers
            ]
        cpu = [_cpu_s(server.client) for server in servers]
    busiest = max(here) / sum(here)
    others = sorted(_share_of_busiest(f"site-{number}") for number in range(SITES))
    return [
        Result(
            "P16",
            f"one site in {SHARDS} shards on {NODES} nodes: share of the busiest node",
            busiest * 100,
            "%",
            "an even third",
            100 / NODES,
            busiest * NODES,
            f"≤ {BAR:.0%}",
            busiest <= BAR,
            note=f"of {SITES:,} other names, by the slots of their keys: {others[-1]:.0%} at most",
            detail={
                "heartbeats": here,
                "cpu_s": cpu,
                "other_sites": {"median": others[SITES // 2], "worst": others[-1]},
            },
        )
    ]


def _cpu_s(client: Any) -> float:
    cpu = client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def _share_of_busiest(site: str) -> float:
    """The share of a site's shards on one node, slots being split evenly in order."""
    keys = Keys(shards=SHARDS)
    nodes = Counter(
        key_slot(keys.of_tag(tag_of(site, shard, SHARDS)).active.encode()) * NODES // 16384
        for shard in range(SHARDS)
    )
    return max(nodes.values()) / SHARDS


if __name__ == "__main__":
    command_line(run)
