"""Live changes of a site: one reader for each watched site, whoever many are watching it.

A reader asks Redis once a tick what has changed and tells its subscribers. A subscriber holds the
newest state that it has not passed on, never a queue: what comes while its client is slow is
merged into what waits already.
"""

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec
import structlog

from service.errors import StoreError
from service.merging import FEED_LENGTH
from service.models import Change, PathCount, Stats
from service.paging import stream_place
from service.store import PresenceStore

log = structlog.get_logger(__name__)

CATCH_UP_TRIES = 3
GIVE_UP_S = 5.0  # streams that cannot tell the present for so long are ended, and say so that way


class Snapshot:
    """All numbers of a site, and where its logs stood."""

    def __init__(self, stats: Stats, places: list[str]) -> None:
        self.stats = stats
        self.places = places

    @property
    def as_of(self) -> int:
        """Its moment, ms."""
        return self.stats.asOf

    def encoded(self) -> bytes:
        """As an event of a stream."""
        return _event("snapshot", self.places, msgspec.json.encode(self.stats))


class Update:
    """What has changed; several of them can become one."""

    def __init__(self, change: Change, places: list[str]) -> None:
        self.change = change
        self.places = places
        self._encoded: dict[bool, bytes] = {}

    @property
    def as_of(self) -> int:
        """Its moment, ms."""
        return self.change.asOf

    def encoded(self, with_feed: bool) -> bytes:
        """As an event of a stream, the same bytes for all subscribers."""
        if with_feed not in self._encoded:
            change = self.change
            if not with_feed:
                change = msgspec.structs.replace(change, feed=None)
            self._encoded[with_feed] = _event("change", self.places, msgspec.json.encode(change))
        return self._encoded[with_feed]

    def then(self, later: "Update") -> "Update":
        """This and what came after it, as one."""
        counts = {row.path: row.count for row in self.change.activeByPath}
        counts |= {row.path: row.count for row in later.change.activeByPath}
        feed = [*(self.change.feed or ()), *(later.change.feed or ())]
        merged = msgspec.structs.replace(
            later.change,
            activeByPath=[PathCount(path, count) for path, count in counts.items()],
            arrivals=self.change.arrivals + later.change.arrivals,
            departures=self.change.departures + later.change.departures,
            feed=feed[-FEED_LENGTH:],
        )
        return Update(merged, later.places)


def _event(name: str, places: list[str], data: bytes) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), ",".join(places).encode(), data)


class Subscriber:
    """One stream's slot: a snapshot, a change after it, or both, that its client was not sent.

    Until it is started with what its client has to know first, what it is told waits.
    """

    def __init__(self, with_feed: bool) -> None:
        self._with_feed = with_feed
        self._early: list[Snapshot | Update] | None = []
        self._snapshot: Snapshot | None = None
        self._update: Update | None = None
        self._is_closed = False
        self._ready = asyncio.Event()

    def start(self, first: Snapshot | Update | None) -> None:
        """Begins with a snapshot, with what was missed, or, where that is nothing, with what
        comes next. Of what was told meanwhile, what is older is part of it already."""
        early, self._early = self._early or [], None
        if first is not None:
            self.tell(first)
        for news in early:
            if first is None or news.as_of >= first.as_of:
                self.tell(news)

    def tell(self, news: Snapshot | Update) -> None:
        """What is new; after a snapshot, what waited before it is part of it."""
        if self._early is not None:
            self._early.append(news)
            return
        if isinstance(news, Snapshot):
            self._snapshot, self._update = news, None
        else:
            self._update = self._update.then(news) if self._update else news
        self._ready.set()

    def close(self) -> None:
        """There will be no more; what waits is given up."""
        self._is_closed = True
        self._ready.set()

    async def take(self) -> bytes | None:
        """What is to be sent, as soon as there is anything; None: the end."""
        await self._ready.wait()
        if self._is_closed:
            return None
        self._ready.clear()
        snapshot, update, self._snapshot, self._update = self._snapshot, self._update, None, None
        events = snapshot.encoded() if snapshot else b""
        return events + update.encoded(self._with_feed) if update else events


class _Reader:
    """Reads one site as long as anybody watches it."""

    def __init__(self, feed: "Feed", site: str) -> None:
        self._feed = feed
        self._store = feed.store
        self._site = site
        self.subscribers: set[Subscriber] = set()
        self._views_and_uniques = (0, 0)
        self._places: list[str] = []  # how far it has read; empty: it has not begun
        self._begun_at: list[str] = []
        self._told_at = 0.0
        self._shared: tuple[float, asyncio.Task[Snapshot]] | None = None
        self.task = asyncio.create_task(self._run(), name=f"feed {site}")

    async def snapshot(self) -> Snapshot:
        """All numbers. Those who ask within a tick, with nothing told since, share one call."""
        now = asyncio.get_running_loop().time()
        shared = self._shared
        if shared is None or shared[0] <= max(self._told_at, now - self._feed.tick_s):
            task = asyncio.create_task(self._take_snapshot())
            task.add_done_callback(_heard)
            shared = self._shared = now, task
        return await asyncio.shield(shared[1])

    async def _take_snapshot(self) -> Snapshot:
        return Snapshot(*await self._store.stats_and_places(self._site))

    def begins_at(self, news: Snapshot | Update) -> bool:
        """Begins to read from there, if it has not begun; whether it tells all that comes after."""
        if not self._places:
            self._begun_at = news.places
            self._read_to(news)
        return all(
            stream_place(place) >= stream_place(first)
            for place, first in zip(news.places, self._begun_at, strict=True)
        )

    def _read_to(self, news: Snapshot | Update) -> None:
        self._places = news.places
        numbers = news.stats if isinstance(news, Snapshot) else news.change
        self._views_and_uniques = (numbers.totalPageViews, numbers.uniqueVisitors)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failing_since: float | None = None
        while self.subscribers:  # a cancellation alone can get lost in redis-py on Python 3.11
            await asyncio.sleep(self._feed.tick_s)
            try:
                await self._look()
                failing_since = None
            except StoreError:
                failing_since = failing_since or loop.time()
                if loop.time() - failing_since > GIVE_UP_S:
                    self._end()
            except Exception as error:  # one reader's fault must not end its watching
                log.error("feed_failed", kind=type(error).__name__, exc_info=error)
                self._end()

    def _end(self) -> None:
        self._places = []
        for subscriber in list(self.subscribers):
            subscriber.close()

    async def _look(self) -> None:
        if not self._places:
            return  # nobody knows yet where to begin
        changes = await self._store.changes(self._site, self._places)
        if changes is None:
            self._shared = None  # it may be older than what was lost
            snapshot = await self.snapshot()
            self._begun_at = snapshot.places
            self._tell(snapshot)
        elif changes.places != self._places or self._views_and_uniques != (
            changes.change.totalPageViews,
            changes.change.uniqueVisitors,
        ):
            self._tell(Update(changes.change, changes.places))

    def _tell(self, news: Snapshot | Update) -> None:
        self._told_at = asyncio.get_running_loop().time()
        self._read_to(news)
        for subscriber in self.subscribers:
            subscriber.tell(news)


def _heard(task: "asyncio.Task[Snapshot]") -> None:
    if not task.cancelled():
        task.exception()  # told to those who wait, if any still do


class Feed:
    """All watched sites of one copy.

    Args:
        tick_s: the shortest time between two looks at a site.
    """

    def __init__(self, store: PresenceStore, tick_s: float) -> None:
        self.store = store
        self.tick_s = tick_s
        self._readers: dict[str, _Reader] = {}
        self._is_closed = False

    @contextlib.contextmanager
    def subscribed(self, site: str, *, with_feed: bool = False) -> Iterator[Subscriber]:
        """A subscriber, told of changes from now on; `catch_up` tells it what was before."""
        subscriber = Subscriber(with_feed)
        if self._is_closed:
            subscriber.close()
        reader = self._readers.get(site)
        if reader is None:
            reader = self._readers[site] = _Reader(self, site)
        reader.subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            reader.subscribers.discard(subscriber)
            if not reader.subscribers and self._readers.get(site) is reader:
                del self._readers[site]
                reader.task.cancel()

    async def catch_up(self, site: str, subscriber: Subscriber, known: list[str] | None) -> None:
        """Gives a subscriber what a client that knows these places has missed, or all numbers.

        Raises:
            StoreError: Redis cannot tell now.
        """
        reader = self._readers[site]
        for _ in range(CATCH_UP_TRIES):
            changes = await self.store.changes(site, known) if known else None
            if changes is None:
                news: Snapshot | Update = await reader.snapshot()
            else:
                news = Update(changes.change, changes.places)
            if reader.begins_at(news):
                break
            # The reader began after it: what lies between, nobody would tell.
            await asyncio.sleep(self.tick_s)
        subscriber.start(news if news.places != known else None)

    def close(self) -> None:
        """Ends all streams, and each that begins from now on at once: the service is stopping."""
        self._is_closed = True
        for reader in self._readers.values():
            for subscriber in reader.subscribers:
                subscriber.close()
