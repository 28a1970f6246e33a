"""P5 and P6: what a heartbeat costs Redis, by its outcome.

The time of a command is read from INFO commandstats, where a script's time includes all that it
calls. All go through the same asynchronous client, and like is held against like: our heartbeats
travel 64 to a call, so SET and the script of P6 are sent 64 in a pipeline. Awaited one by one they
find Redis's caches cold and cost several times as much; that is told as well, and so are the
µs of CPU of the whole process, which reads and answers each command by itself.
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
from service.redis.client import connect
from service.store.store import PresenceStore

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

    async def presence_add_single(self) -> None:
        """The script of P6, awaited one by one."""
        seconds, _ = await self.client.time()
        for number in range(self.sessions):
            await self.client.evalsha(self._presence_add, 4, *_presence(number, int(seconds)))

    async def presence_add_pipelined(self) -> None:
        """The same, 64 at a time."""
        seconds, _ = await self.client.time()
        for start in range(0, self.sessions, BATCH):
            pipeline = self.client.pipeline(transaction=False)
            for number in range(start, start + BATCH):
                pipeline.evalsha(self._presence_add, 4, *_presence(number, int(seconds)))
            await pipeline.execute()

    async def prepare(self) -> None:
        """Loads the script of P6 and makes its presences."""
        self._presence_add = await self.client.script_load(PRESENCE_ADD)
        await self.presence_add_pipelined()

    async def heartbeats(self, store: PresenceStore, moves: int, outcome: str) -> None:
        """One heartbeat of each session, in batches of 64, which must all end like this."""
        for start in range(0, self.sessions, BATCH):
            beats = [beat(number, moves) for number in range(start, start + BATCH)]
            outcomes = await store.heartbeats(SITE, beats)
            if set(outcomes) != {outcome}:
                raise RuntimeError(f"not {outcome}: {set(outcomes)}")


def _presence(number: int, now_s: int) -> tuple[str | int, ...]:
    """KEYS and ARGV of a client's presence_add."""
    client = session_id(number)
    data = json.dumps({"client": client, "user": client, "chan_info": {"path": path(0)}})
    return (
        *(f"centrifuge.{{{SITE}}}.{name}" for name in ("expire", "data", "users", "clients")),
        *(TTL_MS // 1000, now_s + TTL_MS // 1000, client, data, client),
    )


async def run(context: Context) -> list[Result]:
    """P5 and P6."""
    rounds, sessions = (3, 20 * BATCH) if context.quick else (5, 100 * BATCH)
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
    """Each once, in an order that turns from round to round."""

    def heartbeats(store: PresenceStore, outcome: str) -> Callable[[], Awaitable[None]]:
        return lambda: bench.heartbeats(store, number + 1, outcome)

    theirs: list[tuple[str, str, Callable[[], Awaitable[None]]]] = [
        ("set", "set", bench.set_pipelined),
        ("set, awaited", "set", bench.set_single),
        ("presence_add", "evalsha", bench.presence_add_pipelined),
        ("presence_add, awaited", "evalsha", bench.presence_add_single),
    ]
    ours = [
        (outcome, "evalsha", heartbeats(store, outcome))
        for outcome, store in (("moved", one), ("refreshed", other), ("duplicate", one))
    ]
    # Ours keep their order: a session must have moved before it can stay.
    for name, command, work in theirs + ours if number % 2 == 0 else ours + theirs[::-1]:
        await bench.measure(name, command, work)


def _median(costs: list[Cost]) -> Cost:
    return Cost(median(c.command_us for c in costs), median(c.process_us for c in costs))


def _p5(bench: Bench) -> list[Result]:
    middle = {name: _median(costs) for name, costs in bench.costs.items()}
    base, awaited = middle["set"].command_us, middle["set, awaited"].command_us
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
            "SET key value PX ttl, 64 in a pipeline",
            base,
            ratios[worst],
            " / ".join(f"{bar:g}" for bar in BARS.values()) + " ×",
            all(ratios[outcome] <= bar for outcome, bar in BARS.items()),
            spread([cost.command_us for cost in bench.costs[worst]]),
            note=f"{each}; SET awaited one by one costs {awaited:.2f} µs, and of that they are "
            + ", ".join(f"{middle[outcome].command_us / awaited:.1f} ×" for outcome in BARS),
            detail={
                "ratios": ratios,
                "command_us": {name: cost.command_us for name, cost in middle.items()},
                "process_us": {name: cost.process_us for name, cost in middle.items()},
                "how": {
                    "set, presence_add": "redis-py's asyncio client, 64 in a pipeline",
                    "…, awaited": "the same client, one command per heartbeat",
                    "others": "PresenceStore.heartbeats, one EVALSHA per 64 heartbeats",
                },
                "sessions": bench.sessions,
            },
        )
    ]


def _p6(bench: Bench) -> Result:
    ours, theirs = _median(bench.costs["refreshed"]), _median(bench.costs["presence_add"])
    awaited = _median(bench.costs["presence_add, awaited"])
    ratio = ours.command_us / theirs.command_us
    return Result(
        "P6",
        "Redis CPU per refresh, batches of 64",
        ours.command_us,
        "µs",
        "centrifuge's presence_add with users, 64 in a pipeline",
        theirs.command_us,
        ratio,
        "≤ 1.0 ×",
        ratio <= 1.0,
        spread([cost.command_us for cost in bench.costs["refreshed"]]),
        note=f"awaited one by one presence_add costs {awaited.command_us:.1f} µs; of the whole "
        f"process a refresh costs {ours.process_us:.0f} µs, presence_add {theirs.process_us:.0f} "
        f"µs, awaited {awaited.process_us:.0f} µs",
        detail={"process_us": {"ours": ours.process_us, "presence_add": theirs.process_us}},
    )


if __name__ == "__main__":
    command_line(run)
