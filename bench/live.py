"""P11: 1,000 live streams of one site: what they cost Redis, and how late the last one is told."""

import json
import subprocess
import sys
from typing import NamedTuple

from bench import mix
from bench.processes import LOAD_CORE, Program, cores
from bench.programs import ROOT, started
from bench.result import Context, Result
from bench.server import Valkey, valkey
from service.settings import Settings

STREAMS = 1_000
# Each call that a stream's reader makes has one of these, and no other call has any: changes.lua
# reads the log from where it knows it, snapshot.lua looks at its end.
READS = ("xrange", "xrevrange")
MOST_CALLS, MOST_LATE_MS = 2.0, 250.0


def run(context: Context) -> list[Result]:
    """P11."""
    heartbeats = 12 if context.quick else 30
    tick_s = Settings.from_env({}).live_tick
    context.progress.start("live streams", 1)
    context.progress.step(f"{STREAMS:,} streams, {heartbeats} heartbeats")
    with (
        valkey(context.folder) as redis,
        started("service-behind-proxy", redis, context.folder) as (program, port),
    ):
        watched = _watch(redis, program, port, heartbeats)
    late = sorted(watched.late_ms)
    p95 = late[round(0.95 * (len(late) - 1))]
    calls = watched.calls_per_second * tick_s
    limit_ms = tick_s * 1000 + MOST_LATE_MS
    return [
        Result(
            "P11",
            f"{STREAMS:,} live streams of one site: acknowledgement to the last one told, p95",
            p95,
            "ms",
            "a tick and 250 ms",
            limit_ms,
            p95 / limit_ms,
            f"≤ {limit_ms:.0f} ms; ≤ {MOST_CALLS:g} calls a tick",
            p95 <= limit_ms and calls <= MOST_CALLS,
            spread=f"{late[0]:.0f} to {late[-1]:.0f} ms",
            note=f"{calls:.1f} calls of Redis a tick; the service: {watched.cores:.0%} of a core",
            detail={"late_ms": late, "calls_per_tick": calls},
        )
    ]


class _Watched(NamedTuple):
    """What the client has seen, and what the streams used meanwhile."""

    late_ms: list[float]
    calls_per_second: float
    cores: float


def _watch(redis: Valkey, program: Program, port: int, heartbeats: int) -> _Watched:
    command = [
        *cores(LOAD_CORE), sys.executable, "-m", "bench.streams",
        str(port), str(STREAMS), str(heartbeats), mix.site(0), mix.ORIGIN,
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        if client.stdout.readline().strip() != "ready":
            raise RuntimeError("the streams could not be opened")
        calls, cpu_s = redis.calls(*READS), program.cpu_s()
        client.stdin.write("\n")
        client.stdin.flush()
        said = json.loads(client.stdout.readline())
        calls, cpu_s = redis.calls(*READS) - calls, program.cpu_s() - cpu_s
    seconds = said["seconds"]
    return _Watched(said["late_ms"], calls / seconds, cpu_s / seconds)
