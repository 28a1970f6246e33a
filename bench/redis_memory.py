"""P8: Redis memory per active session, in this layout and in a prototype's.

Every session has its hash, its member in the index, its part of the counters, and one view
marker; the streams of events and views, which have a fixed length, are kept short and not
counted. `used_memory` is read while nothing else happens, less what the empty server needs.
"""

import time
from dataclasses import replace
from typing import Any

from bench.crowd import (
    CURVE,
    DAY_MS,
    LONG,
    SITE,
    country,
    fill,
    path,
    saved_name,
    session_id,
    store_of,
)
from bench.result import Context, Result
from bench.server import Valkey, valkey
from service.store.keys import Keys

BAR = 500
PER_CALL = 500
SHORT_STREAMS = replace(LONG, events_maxlen=1, views_maxlen=1)

# What one would write first: a hash of viewed paths per session, and the same index.
PROTOTYPE = """
-- KEYS: active (zset), pages (zset), countries (zset), then a session (hash) and its viewed (hash)
-- ARGV: now, when they expire, life of the views (ms), then id, country, path
local argument = 4
for key = 4, #KEYS, 2 do
  local id, country, path = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  redis.call('HSET', KEYS[key], 'path', path, 'seen', ARGV[1], 'since', ARGV[1],
    'country', country)
  redis.call('PEXPIREAT', KEYS[key], ARGV[2])
  redis.call('HSET', KEYS[key + 1], path, ARGV[1])
  redis.call('PEXPIRE', KEYS[key + 1], ARGV[3])
  redis.call('ZADD', KEYS[1], ARGV[2], id .. ' ' .. country .. ' ' .. path)
  redis.call('ZINCRBY', KEYS[2], 1, path)
  redis.call('ZINCRBY', KEYS[3], 1, country)
  argument = argument + 3
end
"""


async def run(context: Context) -> list[Result]:
    """P8."""
    curve = CURVE[:2] if context.quick else CURVE
    context.say(f"memory, {curve[-1]:,} sessions of a prototype")
    with valkey(context.folder) as redis:
        prototype = _prototype(redis, curve)
    context.say(f"memory, {curve[-1]:,} sessions")
    with valkey(context.folder) as redis:
        ours = await _ours(redis, curve)
    most = curve[-1]
    return [
        Result(
            "P8",
            f"Redis memory per active session, {most:,} sessions with one view marker each",
            ours[most],
            "B",
            "a hash of viewed paths per session",
            prototype[most],
            ours[most] / prototype[most],
            f"≤ {BAR} B",
            ours[most] <= BAR,
            note="streams not counted",
            detail={"by_sessions": ours, "prototype_by_sessions": prototype},
        )
    ]


async def _ours(redis: Valkey, curve: tuple[int, ...]) -> dict[int, float]:
    keys = Keys().of_session(SITE, "")
    per_session: dict[int, float] = {}
    async with store_of(redis.url, SHORT_STREAMS) as store:
        # The empty server has its connections and knows the script.
        await fill(store, range(-1, 0))
        empty, have = _settled(redis, flush=True), 0
        for sessions in curve:
            await fill(store, range(have, sessions))
            have = sessions
            streams = sum(
                redis.client.memory_usage(key, samples=0) or 0 for key in (keys.events, keys.views)
            )
            per_session[sessions] = (_settled(redis) - empty - streams) / sessions
    if have == CURVE[-1]:
        redis.save(saved_name(have))  # for the measures that follow
    return per_session


def _prototype(redis: Valkey, curve: tuple[int, ...]) -> dict[int, float]:
    script: Any = redis.client.register_script(PROTOTYPE)
    base = f"prototype:{{{SITE}}}:"
    index = [base + "active", base + "pages", base + "countries"]
    now = int(time.time() * 1000)
    per_session: dict[int, float] = {}

    def make(numbers: range) -> None:
        for start in range(0, len(numbers), PER_CALL):
            keys, args = list(index), [str(now), str(now + DAY_MS), str(DAY_MS)]
            for number in numbers[start : start + PER_CALL]:
                id = session_id(number)
                keys += (f"{base}session:{id}", f"{base}viewed:{id}")
                args += (id, country(number), path(number))
            script(keys, args)

    make(range(1))
    empty, have = _settled(redis, flush=True), 0
    for sessions in curve:
        make(range(have, sessions))
        have = sessions
        per_session[sessions] = (_settled(redis) - empty) / sessions
    return per_session


def _settled(redis: Valkey, flush: bool = False) -> int:
    """`used_memory` once it no longer changes: tables grow over some time."""
    if flush:
        redis.client.flushall()
    earlier = -1
    for _ in range(100):
        used = int(redis.client.info("memory")["used_memory"])
        if abs(used - earlier) < 1_000:
            return used
        earlier = used
        time.sleep(0.2)
    return earlier
