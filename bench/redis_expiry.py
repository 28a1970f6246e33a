"""P12: a million sessions expire at the same instant, by Redis's own clock.

One real Sweeper runs. Another process pings every millisecond and reads, with each ping, the CPU
time of Redis's process: what of a ping's wait Redis was computing is a stall; what it was not, it
waited for this machine's cores. `active` and the page counters are read until they are right.
"""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from bench.crowd import LONG, SITE, fill, store_of
from bench.processes import SERVICE_CORE, cores
from bench.result import Context, Result
from bench.server import Valkey, valkey
from service.ops.metrics import Metrics
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.sweeper import Sweeper

STALL_MS, PAGES_S = 5.0, 15.0
HZ = 500
QUIET_S = 2.0  # pinged before it happens
PATIENCE_S = 90.0
AT_ONCE = 1_000

Stall = tuple[float, float, float]  # ms; seconds until `active`, and until the pages, are right

TOGETHER = """
-- KEYS: active (zset), beginning of a session's key. ARGV: expires (ms), seen (ms), then members
for n = 3, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[n])
  local session = KEYS[2] .. string.match(ARGV[n], '^%S+')
  redis.call('HSET', session, 'seen', ARGV[2])
  redis.call('PEXPIREAT', session, ARGV[1])
end
"""

# Told to stop by the end of its input; prints [when, ms waited, ms of Redis's CPU] of each ping.
PINGER = """
import contextlib, gc, json, os, select, socket, sys, time
port, pid = int(sys.argv[1]), int(sys.argv[2])
gc.disable()
with contextlib.suppress(PermissionError):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
cpu_clock = (~pid << 3) | 2  # clock_getcpuclockid(3)
connection = socket.create_connection(("127.0.0.1", port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
pings = []
while not select.select([sys.stdin], [], [], 0.001)[0]:
    cpu, began = time.clock_gettime(cpu_clock), time.perf_counter()
    connection.sendall(b"PING\\r\\n")
    connection.recv(64)
    waited, used = time.perf_counter() - began, time.clock_gettime(cpu_clock) - cpu
    pings.append((time.time(), waited * 1000, used * 1000))
json.dump(pings, sys.stdout)
"""


async def run(context: Context) -> list[Result]:
    many = 30_720 if context.quick else 1_000_000
    stall_ms, active_s, pages_s = await _expire(context, many)
    return [
        Result(
            "P12",
            f"{many:,} sessions expire at once, hz {HZ}: longest Redis stall",
            stall_ms,
            "ms",
            bar=f"≤ {STALL_MS:g} ms; `active` at once; pages ≤ {PAGES_S:g} s",
            reached=stall_ms <= STALL_MS and active_s <= 0.1 and pages_s <= PAGES_S,
            note=f"`active` right after {active_s * 1000:.0f} ms, pages after {pages_s:.1f} s",
        )
    ]


async def _expire(context: Context, sessions: int) -> Stall:
    """What was seen while so many sessions expired."""
    with valkey(context.folder) as redis:
        async with store_of(redis.url) as store:
            await fill(store, range(sessions))
        context.say(f"{sessions:,} sessions expire at one moment")
        expires_s = time.time() + sessions / 25_000 + QUIET_S + 1
        _expire_together(redis, round(expires_s * 1000))
        if time.time() > expires_s - QUIET_S:
            raise RuntimeError("the sessions began to expire while they were made")
        async with store_of(redis.url) as store:
            return await _watch(redis, store, expires_s)


def _expire_together(redis: Valkey, expires_ms: int) -> None:
    """Makes every session of a crowd one that was last seen a timeout before this moment."""
    keys = Keys().of_site(SITE)[0]
    script: Any = redis.client.register_script(TOGETHER)
    times = [expires_ms, expires_ms - LONG.session_timeout_ms]
    members = redis.client.zrange(keys.active, 0, -1)
    for start in range(0, len(members), AT_ONCE):
        script([keys.active, keys.session("")], times + members[start : start + AT_ONCE])


async def _watch(redis: Valkey, store: PresenceStore, expires_s: float) -> Stall:
    await asyncio.sleep(max(expires_s - QUIET_S - time.time(), 0))
    sweeper = Sweeper(store, Metrics())
    sweeping = asyncio.create_task(sweeper.run())
    server = redis.client.info("server")["process_id"]
    pinger = await asyncio.create_subprocess_exec(
        *cores(SERVICE_CORE),
        *(sys.executable, "-c", PINGER, str(redis.port), str(server)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        active_s, pages_s = await _until_right(store, expires_s)
    finally:
        out, _ = await pinger.communicate(b"")
        sweeper.stop()
        await sweeping
    ends_s = expires_s + pages_s + 0.5
    busy = [min(waited, us) for at, waited, us in json.loads(out) if expires_s <= at <= ends_s]
    return max(busy), active_s, pages_s


async def _until_right(store: PresenceStore, expires_s: float) -> tuple[float, float]:
    """Seconds after the moment until `active` was 0, and until no page had anybody."""
    client: Any = store.connection.client
    keys = store.keys.of_site(SITE)[0]
    active_s = -1.0
    while time.time() < expires_s + PATIENCE_S:
        active = await store.active(SITE)
        # The moment is Redis's; both clocks are this machine's.
        if active_s < 0 and active.activeVisitors == 0:
            active_s = active.asOf / 1000 - expires_s
        if active_s >= 0 and not await client.zcard(keys.pages):
            return active_s, time.time() - expires_s
        await asyncio.sleep(0.005 if time.time() < expires_s + 0.5 else 0.05)
    raise RuntimeError(f"not swept within {PATIENCE_S:g} s")
