"""P5, P5b and P6: what a heartbeat costs Redis, by its outcome.

The time of a command is read from INFO commandstats, where a script's includes all that it calls.
Our heartbeats travel 64 to a call, and so do the raw commands of P5 and the script of P6; P5b
awaits one call for each heartbeat. What is compared takes turns.
"""

import hashlib
import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.crowd import DAY_MS, LONG, SITE, beat, session_id, store_of
from bench.result import Context, Result, compared, spread
from bench.server import Valkey, valkey
from service.redis.scripts import load
from service.store.config import StoreConfig
from service.store.keys import Keys, ShardKeys
from service.store.members import member_of
from service.store.store import PresenceStore

BATCH = 64
TTL_MS = 120_000
MS_PER_HOUR = 3_600_000
BARS = {"duplicate": 3.0, "refreshed": 1.5, "moved": 1.25}
LONE_BARS = {"duplicate": 0.7, "refreshed": 0.75}
P6_BAR = 0.4
FIRST = "df13c61"  # the commit whose lua/heartbeat.lua is 0.1.0's
PATIENT = replace(LONG, heartbeat_dedup_ms=DAY_MS)  # each repeat is a duplicate
EAGER = replace(LONG, heartbeat_dedup_ms=0)  # and here a refresh
RAW = "ZSCORE ZADD HSET PEXPIREAT ZREM ZINCRBY XADD SET HINCRBY".lower().split()

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

Costs = defaultdict[str, list[float]]  # µs per heartbeat, a figure per round


async def run(context: Context) -> list[Result]:
    """P5, P5b and P6."""
    rounds, sessions = (3, 20 * BATCH) if context.quick else (9, 100 * BATCH)
    results = []
    with valkey(context.folder) as redis:
        if context.wants("P5", "P6"):
            context.say("Redis CPU per heartbeat, batches")
            costs = await _batches(redis, sessions, rounds)
            what, against = "Redis CPU per heartbeat, batches of 64", "the same as raw commands"
            results.append(_nearest("P5", what, costs, "raw", against, BARS))
            what, against = "Redis CPU per refresh, batches of 64", "centrifuge's presence_add"
            theirs = costs["presence_add"]
            results.append(compared("P6", what, costs["refreshed"], against, theirs, P6_BAR))
        if context.wants("P5b"):
            context.say("Redis CPU per heartbeat, one by one")
            results.append(_p5b(redis, sessions // 4, rounds))
    return results


async def _batches(redis: Valkey, sessions: int, rounds: int) -> Costs:
    costs: Costs = defaultdict(list)
    script = redis.client.script_load(PRESENCE_ADD)

    def raw(commands: Callable[[Any, int, int], None], moves: int, *names: str) -> float:
        """µs per heartbeat of what these commands are, for each session, 64 in a pipeline."""
        redis.client.config_resetstat()
        for start in range(0, sessions, BATCH):
            pipeline = redis.client.pipeline(transaction=False)
            for number in range(start, start + BATCH):
                commands(pipeline, number, moves)
            pipeline.execute()
        return redis.usec(*names) / sessions

    def presence_add(pipeline: Any, number: int, _: int) -> None:
        pipeline.evalsha(script, 4, *_presence(number))

    async with store_of(redis.url, PATIENT) as patient, store_of(redis.url, EAGER) as eager:
        await _heartbeats(redis, patient, sessions, 0, "created")
        raw(_raw_moved, 0)
        raw(presence_add, 0)
        for number in range(1, rounds + 1):
            # A session must have moved before it can stay.
            for outcome, store, commands in (
                ("moved", patient, _raw_moved),
                ("refreshed", eager, _raw_refreshed),
                ("duplicate", patient, _raw_duplicate),
            ):
                costs[f"raw {outcome}"].append(raw(commands, number, *RAW))
                costs[outcome].append(await _heartbeats(redis, store, sessions, number, outcome))
            costs["presence_add"].append(raw(presence_add, number))
    return costs


async def _heartbeats(
    redis: Valkey, store: PresenceStore, sessions: int, moves: int, outcome: str
) -> float:
    """µs of one heartbeat of each session, in batches of 64, which must all end like this."""
    redis.client.config_resetstat()
    for start in range(0, sessions, BATCH):
        beats = [beat(number, moves) for number in range(start, start + BATCH)]
        outcomes = await store.heartbeats(SITE, beats)
        if set(outcomes) != {outcome}:
            raise RuntimeError(f"not {outcome}: {set(outcomes)}")
    return redis.usec() / sessions


def _member(number: int, moves: int) -> str:
    this = beat(number, moves)
    return member_of(this.session_id, this.country, this.path)


def _raw_duplicate(pipeline: Any, number: int, moves: int) -> None:
    pipeline.zscore("raw:active", _member(number, moves))


def _raw_refreshed(pipeline: Any, number: int, moves: int) -> None:
    session, now = f"raw:session:{session_id(number)}", int(time.time() * 1000)
    _raw_duplicate(pipeline, number, moves)
    pipeline.zadd("raw:active", {_member(number, moves): now + DAY_MS}, xx=True)
    pipeline.hset(session, "seen", now)
    pipeline.pexpireat(session, now + DAY_MS)


def _raw_moved(pipeline: Any, number: int, moves: int) -> None:
    this, was = beat(number, moves), beat(number, moves - 1)
    session, now = f"raw:session:{this.session_id}", int(time.time() * 1000)
    _raw_duplicate(pipeline, number, moves)
    pipeline.zrem("raw:active", _member(number, moves - 1))
    pipeline.zadd("raw:active", {_member(number, moves): now + DAY_MS})
    pipeline.hset(session, mapping={"path": this.path, "seen": now})
    pipeline.pexpireat(session, now + DAY_MS)
    pipeline.zincrby("raw:pages", -1, was.path)
    pipeline.zincrby("raw:pages", 1, this.path)
    event: dict[Any, Any] = {"session": this.session_id, "path": this.path, "at": now}
    moved = {**event, "type": "moved", "from": was.path, "country": this.country}
    pipeline.xadd("raw:events", moved, maxlen=LONG.events_maxlen)
    pipeline.xadd("raw:views", event, maxlen=LONG.views_maxlen)
    pipeline.set(f"raw:viewed:{this.session_id}:{this.path}", 1, nx=True, px=DAY_MS)
    pipeline.zincrby("raw:top", 1, this.path)
    pipeline.hincrby("raw:totals", "views", 1)
    pipeline.hincrby("raw:minutes", "views:00", 1)
    pipeline.hincrby("raw:hours", "views:00", 1)


def _presence(number: int) -> tuple[str | int, ...]:
    """KEYS and ARGV of a client's presence_add."""
    client = session_id(number)
    data = json.dumps({"client": client, "user": client, "chan_info": {"path": beat(0).path}})
    return (
        *(f"centrifuge.{{{SITE}}}.{name}" for name in ("expire", "data", "users", "clients")),
        *(TTL_MS // 1000, int(time.time()) + TTL_MS // 1000, client, data, client),
    )


def _nearest(
    id: str, what: str, costs: Costs, other: str, against: str, bars: dict[str, float]
) -> Result:
    """A row of several outcomes, each with its bar: the figures of the one nearest to its own."""
    ours = {outcome: median(costs[outcome]) for outcome in bars}
    theirs = {outcome: median(costs[f"{other} {outcome}"]) for outcome in bars}
    ratios = {outcome: ours[outcome] / theirs[outcome] for outcome in bars}
    worst = max(bars, key=lambda outcome: ratios[outcome] / bars[outcome])
    each = (f"{o} {ours[o]:.2f} µs of {theirs[o]:.2f} = {ratios[o]:.2f} ×" for o in bars)
    return Result(
        id,
        f"{what}; the outcome nearest to its bar: {worst}",
        ours[worst],
        "µs",
        against,
        theirs[worst],
        ratios[worst],
        "≤ " + " / ".join(f"{bar:g}" for bar in bars.values()) + " ×",
        all(ratios[outcome] <= bar for outcome, bar in bars.items()),
        f"{spread(costs[worst])} against {spread(costs[f'{other} {worst}'])}",
        ", ".join(each),
    )


def _p5b(redis: Valkey, sessions: int, rounds: int) -> Result:
    what = "Redis CPU per lone heartbeat, in its own call"
    command = ["git", "-C", str(Path(__file__).parent), "show", f"{FIRST}:lua/heartbeat.lua"]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    scripts = {"": load("heartbeat").text, "0.1.0 ": first}
    costs: Costs = defaultdict(list)
    for name, script in scripts.items():
        redis.client.script_load(script)
        _one_by_one(redis, script, name, sessions, PATIENT, "created")
    for _ in range(rounds):
        for outcome, config in (("refreshed", EAGER), ("duplicate", PATIENT)):
            for name, script in scripts.items():
                us = _one_by_one(redis, script, name, sessions, config, outcome)
                costs[name + outcome].append(us)
    return _nearest("P5b", what, costs, "0.1.0", "the script of 0.1.0", LONE_BARS)


def _pairs_of(shard: ShardKeys, hour: int) -> tuple[str, ...]:
    """The keys that the script of 0.1.0 is given: the dated ones for an hour and the next."""
    dated = (shard.uniques_of, shard.minutes_of, shard.hours_of)
    known = [key for key in shard.all_of(hour)[:13] if key != shard.top_order]
    return (*known, *(of(each) for of in dated for each in (hour, hour + 1)))


def _one_by_one(
    redis: Valkey, script: str, name: str, sessions: int, config: StoreConfig, outcome: str
) -> float:
    """µs of one heartbeat of each session, each in a call of its own: both scripts are called the
    same way, each with keys of its own."""
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    shard = Keys(f"lone-{name.strip() or 'now'}").of_session(SITE, "")
    hour = int(time.time() * 1000) // MS_PER_HOUR
    head = ("", str(hour), *config.heartbeat_arguments, "1")
    redis.client.config_resetstat()
    for number in range(sessions):
        this = beat(number)
        own = (shard.session(this.session_id), shard.viewed(this.session_id, this.path))
        keys = (*(_pairs_of(shard, hour) if name else shard.all_of(hour)), *own)
        args = (this.path, this.country, "", "") if name else (_member(number, 0), "")
        reply = redis.client.evalsha(sha, len(keys), *keys, *head, *args)
        if reply[2] != outcome:
            raise RuntimeError(f"not {outcome}: {reply}")
    return redis.usec() / sessions
