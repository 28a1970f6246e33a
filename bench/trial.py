"""One trial: a fresh Redis with all sessions in it, a program, a warm-up, a run."""

import asyncio
import re
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import mix
from bench.load import Load, Replies, Wrk
from bench.processes import Program
from bench.programs import VIEW_DEDUP_S
from bench.server import Valkey
from service.errors import StoreError
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat

FILLED_AT_ONCE, SITES_AT_ONCE, FILL_ATTEMPTS = 500, 10, 10


class Invalid(Exception):
    """A run that proves nothing; says why."""


@dataclass(frozen=True)
class Cost:
    """CPU per heartbeat in µs: of the program, and of Redis. `calls`: script calls per 1,000
    heartbeats; `outcomes`: what became of the heartbeats, where the program counts them."""

    program_us: float
    redis_us: float
    per_second: float
    calls: float
    outcomes: dict[str, float]
    replies: Replies

    @property
    def total_us(self) -> float:
        """Program and Redis."""
        return self.program_us + self.redis_us


def fill(redis: Valkey, sites: int = 1) -> None:
    """Empties Redis and puts every session of the mix in: once through the service's own store,
    and then again and again from what that has left."""
    name = f"filled-{sites}.rdb"
    redis.client.flushall()
    if redis.has_saved(name):
        redis.restore(name)
    else:
        asyncio.run(_fill(redis.url, sites))
        redis.save(name)
    redis.client.config_resetstat()


async def _fill(url: str, sites: int) -> None:
    rules = StoreConfig(session_timeout_ms=mix.TIMEOUT_S * 1000, view_dedup_ms=VIEW_DEDUP_S * 1000)
    store = PresenceStore(connect(url), Keys(), rules)
    by_site: defaultdict[str, list[Heartbeat]] = defaultdict(list)
    for beat in mix.sessions(sites):
        by_site[beat.site].append(Heartbeat(beat.session, beat.path, "", "", ""))
    try:
        names = list(by_site)
        for first in range(0, sites, SITES_AT_ONCE):
            await asyncio.gather(
                *(_write_all(store, n, by_site[n]) for n in names[first : first + SITES_AT_ONCE])
            )
    finally:
        await store.close()


async def _write_all(store: PresenceStore, site: str, beats: list[Heartbeat]) -> None:
    for start in range(0, len(beats), FILLED_AT_ONCE):
        await _write(store, site, beats[start : start + FILLED_AT_ONCE])


async def _write(store: PresenceStore, site: str, beats: list[Heartbeat]) -> None:
    # On a busy machine a call may miss its deadline; writing the same again changes nothing.
    for attempt in range(FILL_ATTEMPTS):
        try:
            await store.heartbeats(site, beats)
            return
        except StoreError:
            if attempt == FILL_ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.2)


def outcomes_of(port: int) -> dict[str, float]:
    """How many heartbeats a program has counted, by outcome; empty where it counts none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (OSError, ValueError):
        return {}
    found = re.findall(r'^presence_heartbeats_total\{outcome="(\w+)"\} (\S+)', text, re.MULTILINE)
    return {name: float(count) for name, count in found}


def measure(
    programs: Sequence[Program],
    counted_at: Sequence[int],
    port: int,
    redis: Valkey,
    load: Load,
    seconds: float,
    warm_up_s: float,
) -> Cost:
    """Warms up and measures. `counted_at`: the ports at which outcomes are asked for.

    Raises:
        Invalid: a request was not answered, or refused, or the mix did not come out as meant.
    """
    wrk = Wrk(port, load)
    wrk.run(warm_up_s)
    # To be asked costs a program something too, which is none of a heartbeat's.
    counted = _outcomes(counted_at)
    before = _Meter(programs, redis)
    replies = wrk.run(seconds)
    after = _Meter(programs, redis)
    if not replies.is_valid:
        raise Invalid(f"{replies.bad_status} refusals, {replies.socket_errors} socket errors")
    outcomes = {name: count - counted[name] for name, count in _outcomes(counted_at).items()}
    outcomes = {name: count for name, count in outcomes.items() if count}
    if outcomes and not mix.is_as_meant(outcomes):
        raise Invalid(f"the mix is not as meant: {shares(outcomes)}")
    heartbeats = replies.requests * load.per_request
    return Cost(
        (after.program_s - before.program_s) / heartbeats * 1e6,
        (after.redis_s - before.redis_s) / heartbeats * 1e6,
        heartbeats / replies.seconds,
        (after.calls - before.calls) / heartbeats * 1000,
        outcomes,
        replies,
    )


def _outcomes(ports: Sequence[int]) -> defaultdict[str, float]:
    """What became of heartbeats, of several programs together."""
    total: defaultdict[str, float] = defaultdict(float)
    for port in ports:
        for name, count in outcomes_of(port).items():
            total[name] += count
    return total


class _Meter:
    """What has been used up to now."""

    def __init__(self, programs: Sequence[Program], redis: Valkey) -> None:
        self.calls = redis.calls()
        self.program_s = sum(program.cpu_s() for program in programs)
        self.redis_s = redis.program.cpu_s()


def shares(outcomes: dict[str, float]) -> str:
    """The mix in words."""
    total = sum(outcomes.values()) or 1
    names = sorted(outcomes, key=lambda name: -outcomes[name])
    return ", ".join(f"{outcomes[name] / total:.1%} {name}" for name in names)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values) if values else float("nan")


def spread(values: Sequence[float]) -> str:
    """From the least to the most."""
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else ""


def records(folder: Path, seconds: float, sites: int = 1) -> Path:
    """The file of the mix, long enough that no trial reaches its end."""
    return mix.write(folder, round(50_000 * max(seconds, 4)), sites)
