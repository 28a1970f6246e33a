"""P19 to P23: what it costs to know who somebody is: Redis's memory and time, and the service's CPU
for a heartbeat that carries a token."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import mix, trial
from bench.crowd import CHUNK, LONG, SITE, beat, store_of, write
from bench.load import Load, Wrk
from bench.programs import USER_SECRET, started
from bench.redis_crowd import settled
from bench.result import Context, Result, compared, spread
from bench.server import Valkey, valkey
from service.api.user_tokens import User, mint
from service.store.store import PresenceStore
from service.store.writer import Heartbeat

BYTES, LIST_US, STATUS_US, PAGE_US, RATIO = 280, 1_000.0, 1_000.0, 200.0, 1.1
USERS, TOKENS = 100_000, 10_000
SHORT_STREAMS = replace(LONG, events_maxlen=1, views_maxlen=1)


def run(context: Context) -> list[Result]:
    """P19 to P23."""
    results: list[Result] = []
    with valkey(context.folder) as redis:
        if context.wants("P19", "P20", "P21", "P22"):
            results += asyncio.run(_in_redis(context, redis))
        if context.wants("P23"):
            results.append(_tokens(context, redis))
    return results


async def _in_redis(context: Context, redis: Valkey) -> list[Result]:
    count, rounds = (10_000, 3) if context.quick else (USERS, 9)
    context.say(f"{count:,} users")
    sizes = [await _bytes_each(redis, count, who) for who in (None, "", "Anna Kowalska")]
    return [_memory(count, *sizes), *await _reads(redis, count, rounds)]


async def _bytes_each(redis: Valkey, count: int, name: str | None) -> float:
    """Redis memory of a session; `name`: of its user, None: nobody knows who it is."""
    redis.client.flushall()
    empty = settled(redis)
    async with store_of(redis.url, SHORT_STREAMS, has_users=True) as store:
        for start in range(0, count, CHUNK):
            details = f'{{"name":"{name}"}}' if name else ""
            beats = [
                beat(n)._replace(user="" if name is None else _user(n), details=details)
                for n in range(start, min(start + CHUNK, count))
            ]
            await write(store, SITE, beats)
    return (settled(redis) - empty) / count


def _user(number: int) -> str:
    return f"user-{number:06d}"


def _memory(count: int, anonymous: float, known: float, named: float) -> Result:
    what = f"Redis memory of an identified session above an anonymous one, {count:,} sessions"
    note, more = f"with a name of 13 characters {named - anonymous:.0f} B", known - anonymous
    return Result("P19", what, more, "B", bar=f"≤ {BYTES} B", reached=more <= BYTES, note=note)


async def _reads(redis: Valkey, count: int, rounds: int) -> list[Result]:
    numbers = random.Random(1)
    some = [_user(numbers.randrange(count)) for _ in range(500)]

    async def of_page(store: PresenceStore) -> None:
        page = await store.users(SITE, limit=100, cursor=None, path="/ten")
        assert page.total == 10

    async with store_of(redis.url, SHORT_STREAMS, has_users=True) as store:
        await write(store, SITE, [beat(n)._replace(path="/ten", user=_user(n)) for n in range(10)])
        list_us = await _each(
            redis, rounds, lambda: store.users(SITE, limit=100, cursor=None, path=None)
        )
        status_us = await _each(redis, rounds, lambda: store.user_statuses(SITE, some), "hmget")
        page_us = await _each(redis, rounds, lambda: of_page(store))
    return [
        _row("P20", f"100 of {count:,} users here: Redis time", list_us, LIST_US),
        _row("P21", f"the status of 500 of {count:,} users: Redis time", status_us, STATUS_US),
        _row("P22", f"the 10 of {count:,} users who are on a page: Redis time", page_us, PAGE_US),
    ]


def _row(id: str, what: str, figures: list[float], most: float) -> Result:
    us = median(figures)
    bar = f"≤ {most:,.0f} µs"
    return Result(id, what, us, "µs", bar=bar, reached=us <= most, spread=spread(figures))


async def _each(
    redis: Valkey, rounds: int, read: Callable[[], Awaitable[object]], *more: str, calls: int = 20
) -> list[float]:
    """µs of one read in Redis, of scripts and `more` commands, a figure per round."""
    figures = []
    for _ in range(rounds + 1):
        redis.client.config_resetstat()
        for _ in range(calls):
            await read()
        figures.append((redis.usec() + (redis.usec(*more) if more else 0)) / calls)
    return figures[1:]


# The service's side


def _tokens(context: Context, redis: Valkey) -> Result:
    """P23: the same heartbeats with a token and without, by turns."""
    # Many short ones by turns: the machine's speed changes more than what is measured.
    rounds, seconds = (1, 1) if context.quick else (11, 2)
    files = {has_token: _load(context.folder, has_token) for has_token in (False, True)}
    costs: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for has_token in (number % 2 == 0, number % 2 == 1):
            context.say(f"CPU per heartbeat {'with a token' if has_token else 'without'}")
            asyncio.run(_fill(redis, has_token))
            with started("service-with-users", redis, context.folder) as (program, port):
                wrk = Wrk(port, files[has_token])
                wrk.run(3)  # each token is verified once
                before = program.cpu_s()
                replies = wrk.run(seconds)
                costs[has_token].append((program.cpu_s() - before) / replies.requests * 1e6)
                if not replies.is_valid:
                    raise RuntimeError(f"{replies.bad_status} refusals")
    what = "service CPU of a heartbeat with a user's token that tells nothing new"
    return compared("P23", what, costs[True], "the same without", costs[False], RATIO)


def _number(session_id: str) -> int:
    """Whose a session is."""
    return int(session_id[:8], 16) % TOKENS


async def _fill(redis: Valkey, has_users: bool) -> None:
    """Puts every session of the mix in, so that heartbeats tell nothing new of its user."""
    redis.client.flushall()
    beats = [
        Heartbeat(one.session, one.path, "", "", "", _user(_number(one.session)) * has_users)
        for one in mix.sessions()
    ]
    async with store_of(redis.url, trial.RULES, has_users=True) as store:
        for start in range(0, len(beats), CHUNK):
            await write(store, mix.site(0), beats[start : start + CHUNK])


def _load(folder: Path, has_token: bool) -> Load:
    """A heartbeat of each session on its page, over and over: what tells Redis nothing new, so that
    both loads are the same to it. Each with its user's token, or without."""
    expires = time.time() + 3600
    tokens = [
        mint(USER_SECRET, mix.site(0), User(_user(n)), expires=expires) for n in range(TOKENS)
    ]
    file, length = folder / f"heartbeats-{'with' if has_token else 'without'}-tokens", 0
    with file.open("w") as out:
        for one in mix.sessions():
            token = f',"userToken":"{tokens[_number(one.session)]}"' if has_token else ""
            line = f"{one.site}{one.body[:-1]}{token}}}"
            out.write(line)
            length = len(line)
    return Load(file, record_length=length)
