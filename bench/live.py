"""P11: 1,000 live streams of one site: what they cost Redis, and how late the last one is told."""

import json
import subprocess
import sys

from bench import mix
from bench.processes import LOAD_CORE, cores
from bench.programs import ROOT, started
from bench.result import Context, Result
from bench.server import valkey
from service.settings import Settings

STREAMS = 1_000
MOST_CALLS, MOST_LATE_MS = 2.0, 250.0


def run(context: Context) -> list[Result]:
    """P11."""
    heartbeats = 12 if context.quick else 40
    tick_s = Settings.from_env({}).live_tick
    context.progress.start("live streams", 1)
    context.progress.step(f"{STREAMS:,} streams, {heartbeats} heartbeats")
    environ = {"PRESENCE_TRUSTED_PROXIES": "127.0.0.1/32"}
    with (
        valkey(context.folder) as redis,
        started("service", redis, context.folder, environ=environ) as (program, port),
    ):
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
            before, cpu_before = redis.calls(), program.cpu_s()
            client.stdin.write("\n")
            client.stdin.flush()
            line = client.stdout.readline()
            after, cpu_after = redis.calls(), program.cpu_s()
        said = json.loads(line)
    late = sorted(said["late_ms"])
    p95 = late[min(len(late) - 1, round(0.95 * (len(late) - 1)))]
    ticks = said["seconds"] / tick_s
    # The heartbeats' own calls are not the streams'; the sweeper's are counted with them.
    calls = (after - before - heartbeats) / ticks
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
            note=f"{calls:.1f} calls of Redis a tick, the sweeper's among them; the service used "
            f"{(cpu_after - cpu_before) / said['seconds']:.0%} of a core",
            detail={"late_ms": late, "calls_per_tick": calls},
        )
    ]
