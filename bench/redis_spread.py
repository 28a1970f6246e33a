"""P16: how evenly one site, in twelve shards, lies on a cluster of three."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

from bench.crowd import CHUNK, SITE, beat, store_of, write
from bench.result import Context, Result
from bench.server import Valkey, valkey
from service.store.keys import SLOTS

NODES, SHARDS, BAR = 3, 12, 0.40
START_S = 20


async def run(context: Context) -> list[Result]:
    sessions = (8 if context.quick else 32) * CHUNK
    context.say(f"spread over a cluster, {sessions:,} heartbeats")
    with ExitStack() as stack:
        nodes = []
        for number in range(NODES):
            folder = Path(mkdtemp(prefix="node-", dir=context.folder))
            options = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{number}.conf")
            nodes.append(stack.enter_context(valkey(folder, *options)))
        await _meet(nodes)
        urls = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with store_of(f"redis+cluster://{urls}", shards=SHARDS) as store:
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


async def _meet(nodes: list[Valkey]) -> None:
    """Makes a cluster of them, each with an equal range of slots."""
    for number, node in enumerate(nodes):
        first, end = (SLOTS * n // NODES for n in (number, number + 1))
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    deadline = time.monotonic() + START_S
    for node in nodes:
        while not (
            (info := node.client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok"
            and info["cluster_known_nodes"] == str(NODES)
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no cluster within {START_S} s")
            await asyncio.sleep(0.1)
