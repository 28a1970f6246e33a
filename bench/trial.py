"""One trial: a fresh Redis with all sessions in it, a program, a warm-up, a run."""

import asyncio
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import mix
from bench.crowd import store_of, write
from bench.load import Load, Wrk
from bench.processes import Program
from bench.programs import VIEW_DEDUP_S
from bench.server import Valkey
from service.store.config import StoreConfig
from service.store.writer import Heartbeat

FILLED_AT_ONCE = 500
RULES = StoreConfig(session_timeout_ms=mix.TIMEOUT_S * 1000, view_dedup_ms=VIEW_DEDUP_S * 1000)


@dataclass(frozen=True)
class Cost:
    """CPU per heartbeat in µs, and what became of the heartbeats, where the program counts them."""

    program_us: float
    redis_us: float
    per_second: float
    outcomes: Mapping[str, int]

    @property
    def total_us(self) -> float:
        return self.program_us + self.redis_us

    @property
    def is_as_meant(self) -> bool:
        """Whether the mix came out as meant, as far as it is known."""
        return not self.outcomes or mix.is_as_meant(self.outcomes)


def fill(redis: Valkey, sites: int = 1) -> None:
    """Empties Redis and puts every session of the mix in: from a file from the second time on."""
    name = f"filled-{sites}.rdb"
    redis.client.flushall()
    if not redis.restore(name):
        asyncio.run(put_sessions(redis.url, sites))
        redis.save(name)
    redis.client.config_resetstat()


async def put_sessions(url: str, sites: int = 1, shards: int = 1) -> None:
    """Puts every session of the mix in."""
    by_site: defaultdict[str, list[Heartbeat]] = defaultdict(list)
    for beat in mix.sessions(sites):
        by_site[beat.site].append(Heartbeat(beat.session, beat.path, "", "", ""))
    async with store_of(url, RULES, shards) as store:
        for site, beats in by_site.items():
            for start in range(0, len(beats), FILLED_AT_ONCE):
                await write(store, site, beats[start : start + FILLED_AT_ONCE])


def outcomes_of(ports: Sequence[int]) -> Counter[str]:
    """How many heartbeats the programs have counted, by outcome; empty where they count none."""
    total: Counter[str] = Counter()
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (OSError, ValueError):
            continue
        pattern = r'^presence_heartbeats_total\{outcome="(\w+)"\} (\d+)'
        for name, count in re.findall(pattern, text, re.MULTILINE):
            total[name] += int(count)
    return total


def measure(
    programs: Sequence[Program],
    counted_at: Sequence[int],
    port: int,
    redis: Valkey,
    load: Load,
    seconds: float,
    warm_up_s: float,
) -> Cost:
    """Warms up and measures. `counted_at`: the ports at which outcomes are asked for."""
    wrk = Wrk(port, load)
    rate = wrk.run(warm_up_s).per_second * load.per_request
    lengthen(load.records, wrk.next_record + 1.5 * rate * seconds)
    # To be asked costs a program something too, which is none of a heartbeat's.
    counted = outcomes_of(counted_at)

    def used() -> tuple[float, float]:
        return sum(program.cpu_s() for program in programs), redis.program.cpu_s()

    before = used()
    replies = wrk.run(seconds)
    after = used()
    if not replies.is_valid:
        raise RuntimeError(f"{replies.bad_status} refusals, {replies.socket_errors} socket errors")
    heartbeats = replies.requests * load.per_request
    program_us, redis_us = (
        (now - then) / heartbeats * 1e6 for now, then in zip(after, before, strict=True)
    )
    outcomes = dict(outcomes_of(counted_at) - counted)
    return Cost(program_us, redis_us, heartbeats / replies.seconds, outcomes)


def shares(outcomes: Mapping[str, int]) -> str:
    total = sum(outcomes.values()) or 1
    names = sorted(outcomes, key=lambda name: -outcomes[name])
    return ", ".join(f"{outcomes[name] / total:.1%} {name}" for name in names)


def records(folder: Path, seconds: float, sites: int = 1) -> Path:
    """The file of the mix, for a run of so many seconds."""
    return mix.write(folder, round(25_000 * max(seconds, 4)), sites)


def lengthen(file: Path, count: float) -> None:
    """So that a run does not begin anew in the file: sessions would then not be new."""
    mix.write(file.parent, round(count), int(file.name.rpartition("-")[2]))
