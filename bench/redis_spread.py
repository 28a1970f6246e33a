"""P16: how evenly one site, in twelve shards, lies on a cluster of three."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from bench.crowd import CHUNK, SITE, beat, store_of, write
from bench.result import Context, Result
from bench.server import Valkey, valkey
from service.store.tags import SLOTS

NODES, SHARDS, BAR = 3, 12, 0.40
START_S = 20


async def run(context: Context) -> list[Result]:
    sessions = (8 if context.quick else 32) * CHUNK
    context.say(f"spread over a cluster, {sessions:,} heartbeats")
    with cluster(context.folder, NODES) as (nodes, url):
        async with store_of(url, shards=SHARDS) as store:
            for start in range(0, sessions, CHUNK):
                await write(store, SITE, [beat(n) for n in range(start, start + CHUNK)])
        # Each session has sent one heartbeat, and lives where that was decided.
        here = [
            sum(node.client.zcard(key) for key in node.client.keys("*}:active")) for node in nodes
        ]
    busiest = max(here) / sum(here)
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
        )
    ]


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[tuple[list[Valkey], str]]:
    """A cluster of so many nodes with equal ranges of slots, and its address."""
    with ExitStack() as stack:
        nodes = []
        for number in range(count):
            own = Path(mkdtemp(prefix="node-", dir=folder))
            options = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{number}.conf")
            node = stack.enter_context(valkey(own, *options))
            first, end = (SLOTS * n // count for n in (number, number + 1))
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            nodes.append(node)
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        deadline = time.monotonic() + START_S
        for node in nodes:
            while not (
                (info := node.client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok"
                and info["cluster_known_nodes"] == str(count)
            ):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no cluster within {START_S} s")
                time.sleep(0.1)
        yield nodes, "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
