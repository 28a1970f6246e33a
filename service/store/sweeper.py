"""The background sweep: notices, with nobody reading and no heartbeats coming, who has gone.

Every copy runs one. A site shard is due when its next session expires, and at each minute's
begin, so that the minute's peak is noted; `claim.lua` gives each due one to exactly one copy.
"""

import asyncio
import contextlib
import random
import time

import structlog

from service.errors import StoreError
from service.ops.metrics import Metrics
from service.store.due import Claim, Settlement
from service.store.store import PresenceStore
from service.store.sweeps import Sweep

POLL_S = 0.5  # a `left` is late by this, SHORTEST_MS and a sweep at most
SHORTEST_MS = 250  # between two sweeps of one site shard
SHORTEST_LEASE_MS = 6_000
SLICE_S = 1.0  # spent on one site shard before the others have their turn
CLAIMS = 64
MINUTE_MS = 60_000

log = structlog.get_logger(__name__)


class Sweeper:
    """Sweeps the site shards that are due, until it is stopped."""

    def __init__(self, store: PresenceStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._failing: set[str] = set()  # site shards; empty text: Redis as a whole
        # Half a lease must be longer than a goodbye's grace: see claim.lua.
        config = store.config
        grace_ms = min(config.leave_grace_ms, config.session_timeout_ms)
        self._lease_ms = max(SHORTEST_LEASE_MS, 2 * grace_ms + 1_000)

    async def run(self) -> None:
        """Runs until `stop`. Failures are outlived, and logged as they begin and end."""
        settled: list[Settlement] = []
        while not self._stopping.is_set():
            try:
                settled = await self._round(settled)
                self._metrics.swept_at.set_to_current_time()
                self._note("", None)
            except StoreError as error:
                # What was claimed falls due again by itself.
                settled = []
                self._note("", error)
            except Exception as error:  # the sweep must outlive what nobody thought of
                settled = []
                log.error("sweep_failed", kind=type(error).__name__, exc_info=error)
            if not settled:
                with contextlib.suppress(TimeoutError):
                    # Copies that started together part ways.
                    pause_s = POLL_S * random.uniform(0.8, 1.0)  # noqa: S311
                    await asyncio.wait_for(self._stopping.wait(), pause_s)
        with contextlib.suppress(StoreError):
            await self._store.claim(settled, self._lease_ms, 0)

    def stop(self) -> None:
        """Ends `run` after the round it is in."""
        self._stopping.set()

    async def _round(self, settled: list[Settlement]) -> list[Settlement]:
        claims, now_ms = await self._store.claim(settled, self._lease_ms, CLAIMS)
        backlog = 0
        done: list[Settlement] = []
        # Together, for thousands of sites fall due in the same moment when a minute begins.
        sweeps = await self._store.sweep_many([claim.tag for claim in claims]) if claims else []
        for claim, sweep in zip(claims, sweeps, strict=True):
            settlement, left = await self._settle(claim, sweep, now_ms)
            backlog += left
            done.append(settlement)
        self._metrics.backlog.set(backlog)
        return done

    async def _settle(
        self, claim: Claim, sweep: Sweep | StoreError, now_ms: int
    ) -> tuple[Settlement, int]:
        """Sweeps on while there is a backlog, for a while; returns when the shard is next due."""
        ends_at = time.monotonic() + SLICE_S
        try:
            while True:
                if isinstance(sweep, StoreError):
                    raise sweep
                self._metrics.swept.inc(sweep.removed)
                if sweep.backlog == 0 or time.monotonic() > ends_at:
                    break
                sweep = await self._store.sweep(claim.tag)
        except StoreError as error:
            # One site that cannot be swept (a key of a wrong type) does not hold up the others.
            self._note(claim.tag, error)
            return Settlement(claim, now_ms + self._lease_ms), 0
        self._note(claim.tag, None)
        if sweep.next_ms is None:
            return Settlement(claim, None), 0
        next_minute = (sweep.now_ms // MINUTE_MS + 1) * MINUTE_MS
        next_ms = max(min(sweep.next_ms, next_minute), sweep.now_ms + SHORTEST_MS)
        return Settlement(claim, sweep.now_ms if sweep.backlog else next_ms), sweep.backlog

    def _note(self, tag: str, error: StoreError | None) -> None:
        if error is not None and tag not in self._failing:
            self._failing.add(tag)
            log.warning("sweep_failing", site=tag or None, reason=error.detail)
        elif error is None and tag in self._failing:
            self._failing.remove(tag)
            log.info("sweep_recovered", site=tag or None)
