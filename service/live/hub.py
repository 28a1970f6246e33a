"""Live changes of a site: one poller for each watched site, however many are watching it.

A poller asks Redis once a tick what has changed and tells its subscribers, which hold the newest
state that they have not passed on, never a queue.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import structlog

from service.errors import StoreError
from service.live.messages import Delta, Message, Snapshot, SubscribeOptions, Subscriber
from service.live.source_watch import SourceWatch
from service.live.tasks import consume_exception
from service.live.user_changes import UserPageRead
from service.live.user_watch import UserWatch
from service.store.merge import Changes
from service.store.paging import BEGINNING, padded, stream_position
from service.store.store import PresenceStore

log = structlog.get_logger(__name__)

CATCH_UP_TRIES = 3
MOST_CATCHING = 4  # calls for clients that come back; beyond them they are given a snapshot
GATHER_S = 0.005  # pages that are asked for within it are counted with one call
GIVE_UP_S = 5.0  # streams that cannot tell the present for so long are ended, and say so that way


class SitePoller:
    """Reads one site as long as anybody watches it."""

    def __init__(self, hub: "Hub", site: str) -> None:
        self._hub = hub
        self._store = hub.store
        self._site = site
        self.subscribers: set[Subscriber] = set()
        self.user_subscribers: set[Subscriber] = set()  # not among the others
        self._sources = SourceWatch(self._store, site)
        self._users: UserWatch | None = None
        self._users_failing_since: float | None = None
        self._views_and_uniques = (0, 0)
        self._positions: list[str] = []  # how far it has read; empty: it has not begun
        self._begun_at: list[str] = []
        self._published_at = 0.0
        self._shared: tuple[float, asyncio.Task[Snapshot]] | None = None
        self._counting: tuple[set[str], asyncio.Task[dict[str, int]]] | None = None
        self._catching: dict[tuple[str, ...], tuple[float, asyncio.Task[Changes | None]]] = {}
        self.task = asyncio.create_task(self._run(), name=f"poller {site}")

    def subscribers_like(self, subscriber: Subscriber) -> set[Subscriber]:
        """Those who are told the same kinds of events."""
        return self.user_subscribers if subscriber.options.users else self.subscribers

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches the site."""
        return bool(self.subscribers or self.user_subscribers)

    async def read_users(self, path: str | None) -> UserPageRead:
        """The users that a stream of all pages, or of one, begins with. Raises StoreError."""
        if self._users is None:
            self._users = UserWatch(self._store, self._site, self._hub.keep)
        return await self._users.read_page(path)

    async def snapshot(self, path: str | None = None) -> Snapshot:
        """All numbers, and how many are on `path`. Those who ask within a tick, with nothing told
        since, share one, whatever their paths."""
        now = asyncio.get_running_loop().time()
        shared = self._shared
        if shared is None or shared[0] <= max(self._published_at, now - self._hub.tick_s):
            task = asyncio.create_task(self._take_snapshot())
            task.add_done_callback(consume_exception)
            self._hub.keep(task)
            shared = self._shared = now, task
        snapshot = await asyncio.shield(shared[1])
        if path is not None and not snapshot.tells(path):
            # Counted a moment later than the rest: what changed in between is told once more, as
            # it is and not by how much.
            snapshot.counts[path] = await self._count(path)
        return snapshot

    async def _take_snapshot(self) -> Snapshot:
        stats, positions = await self._store.stats_and_positions(self._site)
        self._sources.learn(stats)
        return Snapshot(stats, positions, await self._store.last_events(self._site, positions))

    async def _count(self, path: str) -> int:
        """How many are on a page. Those who ask in one moment share a call: when a copy restarts,
        thousands ask, each for another page."""
        if self._counting is None:
            wanted: set[str] = set()
            task = asyncio.create_task(self._count_soon(wanted))
            task.add_done_callback(consume_exception)
            self._hub.keep(task)
            self._counting = wanted, task
        paths, counts = self._counting
        paths.add(path)
        return (await asyncio.shield(counts))[path]

    async def _count_soon(self, paths: set[str]) -> dict[str, int]:
        await asyncio.sleep(GATHER_S)
        self._counting = None
        return await self._store.on_pages(self._site, sorted(paths))

    async def _count_for_all(self, snapshot: Snapshot) -> None:
        """Adds the counts of the pages that subscribers ask for, of those who come meanwhile
        too."""
        while paths := {
            s.options.path
            for s in self.subscribers
            if s.options.path is not None and not snapshot.tells(s.options.path)
        }:
            snapshot.counts |= await self._store.on_pages(self._site, sorted(paths))

    async def missed(self, known: list[str]) -> Changes | None:
        """What has changed since a client read so far; None: only a snapshot tells. Those who
        come back together know the same, and share a call; more than a few different ones at once
        are given snapshots, for which one call does."""
        key = tuple(known)
        begun_at, task = self._catching.get(key, (0.0, None))
        if task is None or begun_at <= self._published_at:
            if len(self._catching) >= MOST_CATCHING:
                return None
            task = asyncio.create_task(self._changes_since(known))
            self._hub.keep(task)
            self._catching[key] = asyncio.get_running_loop().time(), task
            task.add_done_callback(lambda done: self._caught_up(key, done))
        return await asyncio.shield(task)

    async def _changes_since(self, known: list[str]) -> Changes | None:
        changes = await self._store.changes(self._site, known)
        return None if changes is None else await self._sources.add_to(changes)

    def _caught_up(self, key: tuple[str, ...], task: "asyncio.Task[Changes | None]") -> None:
        consume_exception(task)
        if self._catching.get(key, (0.0, None))[1] is task:
            del self._catching[key]

    def start_polling_at(self, message: Message) -> bool:
        """Starts polling at this position, if it has not started; whether it will deliver every
        later event."""
        if not self._positions:
            self._begun_at = message.positions
            self._read_to(message)
        return all(
            stream_position(position) >= stream_position(first)
            for position, first in zip_longest(
                message.positions, self._begun_at, fillvalue=BEGINNING
            )
        )

    def _read_to(self, message: Message) -> None:
        self._positions = message.positions
        numbers = message.stats if isinstance(message, Snapshot) else message.change
        self._views_and_uniques = (numbers.totalPageViews, numbers.uniqueVisitors)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failing_since: float | None = None
        while self.is_watched:  # a cancellation alone can get lost in redis-py on Python 3.11
            await asyncio.sleep(self._hub.tick_s)
            try:
                await self._look()
                failing_since = None
            except StoreError:
                failing_since = failing_since or loop.time()
                if loop.time() - failing_since > GIVE_UP_S:
                    self._end()
            except Exception as error:  # one poller's fault must not end its watching
                log.error("poller_failed", kind=type(error).__name__, exc_info=error)
                self._end()

    def _end(self) -> None:
        self._positions = []
        for subscriber in [*self.subscribers, *self.user_subscribers]:
            subscriber.close()

    async def _look(self) -> None:
        if not self._positions:
            return  # nobody knows yet where to begin
        changes = await self._changes_since(self._positions)
        if changes is None:
            self._shared = None  # it may be older than what was lost
            snapshot = await self.snapshot()
            await self._count_for_all(snapshot)
            self._begun_at = snapshot.positions
            self._publish(snapshot)
            if self._users:
                self._users.forget()
            for subscriber in self.user_subscribers:
                subscriber.begin_anew()
            return
        delta = None
        if changes.positions != padded(
            self._positions, len(changes.positions)
        ) or self._views_and_uniques != (
            changes.change.totalPageViews,
            changes.change.uniqueVisitors,
        ):
            delta = Delta(changes)
            self._publish(delta)
        if self.user_subscribers:
            await self._publish_users(changes, delta)
        else:
            self._users = None

    async def _publish_users(self, changes: Changes, delta: Delta | None) -> None:
        """Tells streams of users what the others were told, and what is new of users. Where users
        cannot be read for too long, only these streams end."""
        loop = asyncio.get_running_loop()
        if self._users is None:  # nobody was told of users yet
            self._users = UserWatch(self._store, self._site, self._hub.keep)
        self._users.touch(changes.users, (row.path for row in changes.change.activeByPath))
        news = None
        try:
            news = await self._users.look(
                lambda: {s.options.path for s in self.user_subscribers}, changes.change.asOf
            )
            self._users_failing_since = None
        except StoreError:
            self._users_failing_since = self._users_failing_since or loop.time()
        # At once, so that a change has the total of its moment.
        for subscriber in self.user_subscribers:
            if delta:
                subscriber.push(delta)
            if news:
                subscriber.push_users(news)
        if self._users_failing_since and loop.time() - self._users_failing_since > GIVE_UP_S:
            self._users_failing_since = None
            for subscriber in self.user_subscribers:
                subscriber.close()

    def _publish(self, message: Message) -> None:
        self._published_at = asyncio.get_running_loop().time()
        self._read_to(message)
        for subscriber in self.subscribers:
            subscriber.push(message)


class Hub:
    """All watched sites of one copy.

    Args:
        tick_s: the shortest time between two looks at a site.
    """

    def __init__(self, store: PresenceStore, tick_s: float) -> None:
        self.store = store
        self.tick_s = tick_s
        self._pollers: dict[str, SitePoller] = {}
        self._asking: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    @contextlib.contextmanager
    def subscribed(
        self, site: str, options: SubscribeOptions | None = None
    ) -> Iterator[Subscriber]:
        """A subscriber, told of changes from now on; `catch_up` tells it what was before."""
        subscriber = Subscriber(options or SubscribeOptions())
        if self._is_closed:
            subscriber.close()
        poller = self._pollers.get(site)
        if poller is None:
            poller = self._pollers[site] = SitePoller(self, site)
        subscribers = poller.subscribers_like(subscriber)
        subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            subscribers.discard(subscriber)
            if not poller.is_watched and self._pollers.get(site) is poller:
                del self._pollers[site]
                poller.task.cancel()
                self.keep(poller.task)

    async def catch_up(self, site: str, subscriber: Subscriber, known: list[str] | None) -> None:
        """Gives a subscriber what a client that knows these positions has missed, or all numbers.
        A stream of users always begins with all of them.

        Raises:
            StoreError: Redis cannot tell now.
        """
        poller, options = self._pollers[site], subscriber.options
        if options.users:
            known = None
        for _ in range(CATCH_UP_TRIES):
            changes = await poller.missed(known) if known else None
            message = Delta(changes) if changes else await poller.snapshot(options.path)
            if poller.start_polling_at(message):
                break
            # The poller began after it: what lies between, nobody would tell.
            await asyncio.sleep(self.tick_s)
        # Read after the positions: whoever comes or goes later is named by a later event.
        page = await poller.read_users(options.path) if options.users else None
        subscriber.start(message, page)

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """Has `settled` wait for a task that may outlive those who wanted to know."""
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def settled(self) -> None:
        """Waits for the reads that nobody needs any more, so that the store is not closed under
        them."""
        while self._asking:
            await asyncio.wait(self._asking)

    def close(self) -> None:
        """Ends all streams, and each that begins from now on at once: the service is stopping."""
        if self._is_closed:
            return
        self._is_closed = True
        for poller in self._pollers.values():
            for subscriber in [*poller.subscribers, *poller.user_subscribers]:
                subscriber.close()
