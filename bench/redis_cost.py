"""P5 and P6: what a heartbeat costs Redis, by its outcome.

The time of a command is read from INFO commandstats, where a script's time includes all that it
calls. All go through the same asynchronous client, each as it is called in practice: SET and the
script of P6 one by one, each awaited, ours in batches of 64 through the service's own store.
Awaited one by one, a command finds Redis's caches cold; back to back in a pipeline, SET costs a
third, which is told in the details as are the µs of CPU of the whole process.
"""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

from bench.redis_crowd import (
    DAY_MS,
    LONG,
    SITE,
    beat,
    command_line,
    path,
    session_id,
    store_of,
    usec,
)
from bench.result import Context, Result
from bench.server import Valkey, valkey
from bench.trial import spread
from service.connection import connect
from service.store import PresenceStore

BATCH = 64
TTL_MS = 120_000
BARS = {"duplicate": 2.5, "refreshed": 6.5, "moved": 18.0}

# The commands of centrifuge's presence_add, with its mapping of users, written anew.
PRESENCE_ADD = """
-- KEYS: clients' expiry (zset), clients' data (hash), users' expiry (zset), users' clients (hash)
-- ARGV: seconds to live, when it expires (s), client, data, user
local is_new = redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[1])
if is_new then
  redis.call('HINCRBY', KEYS[4], ARGV[5], 1)
end
redis.call('EXPIRE', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[1])
"""


class Cost(NamedTuple):
    """µs per heartbeat: of the commands themselves, and of the whole process."""

    command_us: float
    process_us: float


class Bench:
    """One server, and the costs measured on it, by name."""

    def __init__(self, redis: Valkey, sessions: int) -> None:
        self.redis = redis
        self.sessions = sessions
        self.client: Any = connect(redis.url).client
        self.costs: defaultdict[str, list[Cost]] = defaultdict(list)

    async def measure(self, name: str, command: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does work that is one heartbeat of each session."""
        self.redis.client.config_resetstat()
        before = self.redis.program.cpu_s()
        await work()
        spent_s = self.redis.program.cpu_s() - before
        total_us, _ = usec(self.redis.client, command)
        self.costs[name].append(Cost(total_us / self.sessions, spent_s * 1e6 / self.sessions))

    async def set_single(self) -> None:
        """SET, awaited one by one."""
        for number in range(self.sessions):
            await self.client.set(f"seen:{session_id(number)}", "1700000000000", px=TTL_MS)

    async def set_pipelined(self) -> None:
        """The same, 64 at a time."""
        for start in range(0, self.sessions, BATCH):
            pipeline = self.client.pipeline(transaction=False)
            for number in range(start, start + BATCH):
                pipeline.set(f"seen:{session_id(number)}", "1700000000000", px=TTL_MS)
            await pipeline.execute()

    async def presence_add(self) -> None:
        """The script of P6, awaited one by one."""
        seconds, _ = await self.client.time()
        keys = [f"centrifuge.{{{SITE}}}.{name}" for name in ("expire", "data", "users", "clients")]
        for number in range(self.sessions):
            client = session_id(number)
            data = json.dumps({"client": client, "user": client, "chan_info": {"path": path(0)}})
            args = (TTL_MS // 1000, int(seconds) + TTL_MS // 1000, client, data, client)
            await self.client.evalsha(self._presence_add, 4, *keys, *args)

    async def prepare(self) -> None:
        """Loads the script of P6 and makes its presences."""
        self._presence_add = await self.client.script_load(PRESENCE_ADD)
        await self.presence_add()

    async def heartbeats(self, store: PresenceStore, moves: int, outcome: str) -> None:
        """One heartbeat of each session, in batches of 64, which must all end like this."""
        for start in range(0, self.sessions, BATCH):
            beats = [beat(number, moves) for number in range(start, start + BATCH)]
            outcomes = await store.heartbeats(SITE, beats)
            if set(outcomes) != {outcome}:
                raise RuntimeError(f"not {outcome}: {set(outcomes)}")


async def run(context: Context) -> list[Result]:
    """P5 and P6."""
    rounds, sessions = (3, 40 * BATCH) if context.quick else (5, 200 * BATCH)
    context.progress.start("Redis CPU per heartbeat", rounds)
    with valkey(context.folder) as redis:
        bench = Bench(redis, sessions)
        # A session's window is not over in the one store, and always is in the other.
        patient, eager = (
            replace(LONG, heartbeat_dedup_ms=DAY_MS // 4),
            replace(LONG, heartbeat_dedup_ms=0),
        )
        async with store_of(redis.url, patient) as one, store_of(redis.url, eager) as other:
            await bench.prepare()
            await bench.heartbeats(one, 0, "created")
            for number in range(rounds):
                context.progress.step(f"round {number + 1}")
                await _round(bench, one, other, number)
        await bench.client.aclose()
    return [*_p5(bench), _p6(bench)]


async def _round(bench: Bench, one: PresenceStore, other: PresenceStore, number: int) -> None:
    await bench.measure("set", "set", bench.set_single)
    await bench.measure("set, pipelined", "set", bench.set_pipelined)
    await bench.measure("presence_add", "evalsha", bench.presence_add)
    for outcome, store in (("moved", one), ("refreshed", other), ("duplicate", one)):
        await bench.measure(
            outcome,
            "evalsha",
            lambda store=store, outcome=outcome: bench.heartbeats(  # type: ignore[misc]
                store, number + 1, outcome
            ),
        )


def _median(costs: list[Cost]) -> Cost:
    return Cost(median(c.command_us for c in costs), median(c.process_us for c in costs))


def _p5(bench: Bench) -> list[Result]:
    middle = {name: _median(costs) for name, costs in bench.costs.items()}
    base = middle["set"].command_us
    ratios = {outcome: middle[outcome].command_us / base for outcome in BARS}
    worst = max(BARS, key=lambda outcome: ratios[outcome] / BARS[outcome])
    each = ", ".join(
        f"{outcome} {middle[outcome].command_us:.1f} µs = {ratios[outcome]:.1f} ×"
        for outcome in BARS
    )
    return [
        Result(
            "P5",
            "Redis CPU per heartbeat, batches of 64; the outcome nearest to its bar: " + worst,
            middle[worst].command_us,
            "µs",
            "SET key value PX ttl",
            base,
            ratios[worst],
            " / ".join(f"{bar:g}" for bar in BARS.values()) + " ×",
            all(ratios[outcome] <= bar for outcome, bar in BARS.items()),
            spread([cost.command_us for cost in bench.costs[worst]]),
            note=f"{each}; SET is awaited one by one, {base:.2f} µs",
            detail={
                "ratios": ratios,
                "command_us": {name: cost.command_us for name, cost in middle.items()},
                "process_us": {name: cost.process_us for name, cost in middle.items()},
                "how": {
                    "set": "redis-py's asyncio client, one awaited command per heartbeat",
                    "set, pipelined": "the same client, 64 in a pipeline",
                    "presence_add": "the same client, one awaited EVALSHA per heartbeat",
                    "others": "PresenceStore.heartbeats, one EVALSHA per 64 heartbeats",
                },
                "sessions": bench.sessions,
            },
        )
    ]


def _p6(bench: Bench) -> Result:
    ours, theirs = _median(bench.costs["refreshed"]), _median(bench.costs["presence_add"])
    ratio = ours.command_us / theirs.command_us
    return Result(
        "P6",
        "Redis CPU per refresh",
        ours.command_us,
        "µs",
        "centrifuge's presence_add with users, once per heartbeat",
        theirs.command_us,
        ratio,
        "≤ 1.0 ×",
        ratio <= 1.0,
        spread([cost.command_us for cost in bench.costs["refreshed"]]),
        note=f"of the whole process {ours.process_us:.0f} µs against {theirs.process_us:.0f} µs: "
        "a script per heartbeat is a call per heartbeat",
        detail={"process_us": {"ours": ours.process_us, "presence_add": theirs.process_us}},
    )


if __name__ == "__main__":
    command_line(run)
