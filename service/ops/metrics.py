"""What operators watch, in Prometheus's names. Labels are words of ours and route templates,
never anything a client chose."""

import asyncio
import os
import re
import time
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from itertools import repeat

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from service import __version__
from service.store.redis_cost import OUTCOME_S, SITE_PART_S
from service.store.tags import site_of

# One more line per label, that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
OUTCOMES = ("created", "moved", "refreshed", "duplicate", "limited", "failed", "dropped")
OTHER_SITES = "__other__"
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


_NOT_KNOWN = re.compile(rb"^\w+(\{.*\})? NaN\n", re.MULTILINE)


class Metrics:
    """The metrics of one app. With PROMETHEUS_MULTIPROC_DIR set, as `presence serve --workers`
    does, an answer covers all workers.

    Args:
        named: the sites that have labels of their own; others are OTHER_SITES together.
    """

    def __init__(self, named: Container[str] = ()) -> None:
        self.registry = registry = CollectorRegistry()
        self.heartbeats = Counter(
            "presence_heartbeats", "Heartbeats answered", ["outcome"], registry=registry
        )
        self.dropped = Counter(
            "presence_dropped",
            "Heartbeats and views that were not counted",
            ["reason"],
            registry=registry,
        )
        self.batch_size = Histogram(
            "presence_batch_size",
            "Heartbeats of one call",
            buckets=_SIZES,
            registry=registry,
        )
        self.script_seconds = Histogram(
            "presence_script_seconds",
            "Time of a heartbeat batch at Redis and on the way",
            buckets=_SECONDS,
            registry=registry,
        )
        self.redis_errors = Counter(
            "presence_redis_errors", "Failures of Redis by kind", ["kind"], registry=registry
        )
        self.replica_reads = Counter(
            "presence_replica_reads",
            "Reads meant for a replica: answered by it, or asked of the primary because it was "
            "too old or away",
            ["outcome"],
            registry=registry,
        )
        self.requests = Counter(
            "presence_http_requests",
            "Requests by route template",
            ["method", "route", "status"],
            registry=registry,
        )
        self.active = Gauge(
            "presence_active_visitors",
            "Active sessions of a configured site",
            ["site"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.site_redis = Counter(
            "presence_site_redis_seconds",
            "Time of a core of Redis that a configured site's heartbeats took, estimated",
            ["site"],
            registry=registry,
        )
        self.streams = Gauge(
            "presence_live_streams",
            "Live streams that are open",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.backlog = Gauge(
            "presence_sweep_backlog",
            "Expired sessions that wait to be swept",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.swept_at = Gauge(
            "presence_sweep_last_success_timestamp_seconds",
            "Unix time of the last round of the background sweep that succeeded",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.streams_limit = Gauge(
            "presence_streams_limit",
            "Live streams that may be open at once",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.loop_lag = Histogram(
            "presence_event_loop_lag_seconds",
            "How late the event loop does what is due",
            buckets=_SECONDS,
            registry=registry,
        )
        self.cpu_seconds = Counter(
            "presence_cpu_seconds",
            "User and system CPU time of the service",
            registry=registry,
        )
        Gauge(
            "presence_build_info",
            "1, for the version that runs",
            ["version"],
            registry=registry,
            multiprocess_mode="livemax",
        ).labels(__version__).set(1)
        self.swept = Counter(
            "presence_swept", "Sessions whose end was noticed by the sweep", registry=registry
        )
        self._named = named
        self._site_s: defaultdict[str, float] = defaultdict(float)  # by tag, not yet counted
        self._hot: defaultdict[str, dict[str, int]] = defaultdict(dict)  # by status, by outcome
        # Shown from the start, with 0; and looking one up costs more than a step of it.
        self._outcomes = {outcome: self.heartbeats.labels(outcome) for outcome in OUTCOMES}
        self._statuses = {
            status: self.requests.labels("POST", "/v1/sites/{site}/heartbeat", status)
            for status in ("200", "204")
        }

    def count_outcomes(self, outcomes: Iterable[str]) -> None:
        """Heartbeats written, or refused, that are counted as no request of their own."""
        for outcome, count in Counts(outcomes).items():
            self.heartbeats.labels(outcome).inc(count)

    def count_buffered(self, outcome: str, status: str = "204") -> None:
        """One request with one heartbeat answered.

        A step of a counter costs a lock and two look-ups, as much as all else between a decoded
        heartbeat and its answer; so those of one turn of the event loop are added up first.
        """
        if not self._hot:
            asyncio.get_running_loop().call_soon(self._write_hot)
        hot = self._hot[status]
        hot[outcome] = hot.get(outcome, 0) + 1

    def _write_hot(self) -> None:
        hot, self._hot = self._hot, defaultdict(dict)
        for status, outcomes in hot.items():
            for outcome, count in outcomes.items():
                self._outcomes[outcome].inc(count)
            self._statuses[status].inc(sum(outcomes.values()))

    def observe_batch(self, size: int, seconds: float) -> None:
        """One call of heartbeats."""
        self.batch_size.observe(size)
        self.script_seconds.observe(seconds)

    def observe_outcomes(self, tag: str, outcomes: Sequence[str]) -> None:
        """A site's part of one call of heartbeats, by the tag of its shard."""
        self._site_s[tag] += SITE_PART_S + sum(map(OUTCOME_S.get, outcomes, repeat(0.0)))

    def write_site_seconds(self) -> None:
        """Counts what sites took since this was last called: a counter's lock and label, once."""
        seconds, self._site_s = self._site_s, defaultdict(float)
        for tag, taken in seconds.items():
            site = site_of(tag)
            self.site_redis.labels(site if site in self._named else OTHER_SITES).inc(taken)

    def observe_error(self, kind: str) -> None:
        """One failure of Redis."""
        self.redis_errors.labels(kind).inc()

    def observe_replica(self, outcome: str) -> None:
        """One read that was to be answered by a replica."""
        self.replica_reads.labels(outcome).inc()

    def render(self) -> bytes:
        """All of it, in Prometheus's text format. What is NaN is not known now, and left out: it
        would make a NaN of every sum."""
        self.write_site_seconds()
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return _NOT_KNOWN.sub(b"", generate_latest(registry))


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
        metrics.write_site_seconds()
