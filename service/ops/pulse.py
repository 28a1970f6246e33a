"""Measures how the process itself is doing, twice a second: how late its event loop is, and the CPU
it has used."""

import asyncio
import time

from service.ops.metrics import Metrics

BEAT_S = 0.5


async def observe_process(metrics: Metrics) -> None:
    """Runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    used_s = 0.0
    while True:
        due_at = loop.time() + BEAT_S
        await asyncio.sleep(BEAT_S)
        metrics.loop_lag.observe(max(0.0, loop.time() - due_at))
        before_s, used_s = used_s, time.process_time()
        metrics.cpu_seconds.inc(used_s - before_s)
