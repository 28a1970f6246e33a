"""PresenceStore: presence in Redis, behind one facade.

Everything that decides is in `lua/`. `writer` sends heartbeats in batches, `reader` and `listings`
read, `sweeps` removes those who have gone, `due` says whose turn it is. They share one script
runner; which shards a site has only `keys` says.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager

from service.redis.client import BATCH_DEADLINE_S, DEADLINE_S
from service.redis.connection import Connection
from service.store.arrivals import StoreArrivals
from service.store.batch_sender import BatchSender
from service.store.batcher import Batcher
from service.store.config import StoreConfig
from service.store.due import DueList
from service.store.erase import StoreErasure
from service.store.events import StoreEvents
from service.store.history import StoreHistory
from service.store.keys import Keys, ShardKeys
from service.store.listings import Listings
from service.store.reader import StoreReader
from service.store.retention import Retention
from service.store.runner import ScriptRunner
from service.store.shard_count import ShardCount
from service.store.shares import StoreShares
from service.store.site_counts import SiteCounts
from service.store.sweeps import StoreSweeps
from service.store.users import StoreUsers
from service.store.webhooks import StoreWebhooks
from service.store.writer import Heartbeat, StoreWriter


class PresenceStore:
    """Presence in Redis. Every method raises StoreError where Redis cannot do it now.

    Args:
        connection: the way to Redis.
        keys: key spellings.
        config: what decides.
        observe_batch: told of each call of heartbeats: how many, and the seconds it took.
        observe_outcomes: told of each site's part of a call, by the tag of its shard: what came of
            its heartbeats.
        observe_error: told the kind of each failure.
        deadline_s: after which an operation fails, in seconds.
        batch_deadline_s: the same for one batch, which others wait behind.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        config: StoreConfig,
        *,
        observe_batch: Callable[[int, float], None] = lambda size, seconds: None,
        observe_outcomes: Callable[[str, Sequence[str]], None] = lambda tag, outcomes: None,
        observe_error: Callable[[str], None] = lambda kind: None,
        deadline_s: float = DEADLINE_S,
        batch_deadline_s: float = BATCH_DEADLINE_S,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.config = config
        self._runner = runner = ScriptRunner(
            connection, keys, config, observe_error=observe_error, deadline_s=deadline_s
        )
        self._due = due = DueList(runner, deadline_s=batch_deadline_s)
        sender = BatchSender(
            runner,
            due,
            observe_batch=observe_batch,
            observe_outcomes=observe_outcomes,
            batch_deadline_s=batch_deadline_s,
        )
        self._writer = writer = StoreWriter(runner, sender)
        self.heartbeat = writer.heartbeat
        self.submit = writer.submit
        self.heartbeats = writer.heartbeats
        self.leave = writer.leave
        self.view = writer.view
        self.end = writer.end

        users = StoreUsers(runner)
        reader, listings, sites = StoreReader(runner, users), Listings(runner), SiteCounts(runner)
        self.active = reader.active
        self.count = reader.count
        self.stats = reader.stats
        self.stats_and_positions = reader.stats_and_positions
        self.last_events = reader.last_events
        self.on_pages = reader.on_pages
        self.changes = reader.changes
        self.history = StoreHistory(runner, reader).history
        arrivals = StoreArrivals(runner, reader)
        self.arrivals = arrivals.arrivals
        self.came = arrivals.came
        self.session = listings.session
        self.sessions = listings.sessions
        self.views = listings.views
        self.last_views_position = listings.last_views_position
        events = StoreEvents(runner)
        self.events = events.events
        self.newest_events = events.newest_events
        self.users = users.users
        self.user = users.user
        self.user_states = users.states
        self.user_statuses = users.statuses
        self.count_users = users.count_users
        shares = StoreShares(runner)
        self.add_share = shares.add_share
        self.remove_share = shares.remove_share
        self.shares = shares.shares
        self.share_digests = shares.share_digests
        self.webhooks = StoreWebhooks(runner)
        self.site_names = sites.site_names
        self.sites = sites.sites

        sweeps = StoreSweeps(runner)
        self.sweep = sweeps.sweep
        erasure = StoreErasure(runner, writer.end, sweeps.sweep)
        self.erase_session = erasure.erase_session
        self.erase_user = erasure.erase_user
        self.sweep_many = sweeps.sweep_many
        self.claim = due.claim
        self.retention = Retention(
            runner, sites, views_days=config.views_days, events_days=config.events_days
        )
        self.agree_on_shards = ShardCount(runner).agree

    @property
    def batcher(self) -> Batcher[ShardKeys, object, str]:
        """Where heartbeats wait for Redis; `waiting` says how many."""
        return self._writer.batcher

    @property
    def clock(self) -> Callable[[], str]:
        """Gives the `now` argument of the scripts: empty, for Redis's own time, in all but tests
        and replays."""
        return self._runner.clock

    @clock.setter
    def clock(self, clock: Callable[[], str]) -> None:
        self._runner.clock = clock

    @property
    def span(self) -> Callable[[str], AbstractContextManager[None]]:
        """The context manager around each call that a request waits for, by the script's name."""
        return self._runner.span

    @span.setter
    def span(self, span: Callable[[str], AbstractContextManager[None]]) -> None:
        self._runner.span = span

    def deadline(self) -> AbstractAsyncContextManager[None]:
        """One deadline around several operations, so that an answer made of many is in time."""
        return self._runner.failures()

    async def heartbeat_and_count(
        self, site: str, beat: Heartbeat
    ) -> tuple[str, tuple[int, int, int]]:
        """Like `heartbeat`, and `count` of its path after it, within one deadline."""
        async with self.deadline():
            outcome = await self.heartbeat(site, beat)
            return outcome, await self.count(site, beat.path, is_current=True)

    async def follow_replicas(self) -> None:
        """Has replicas answer reads, where the connection has any, until it is cancelled."""
        if self.connection.replicas is not None:
            await self.connection.replicas.run(self._runner.mark)

    async def probe(self) -> None:
        """Checks that Redis takes writes, by writing, for a full one still answers reads; and that
        it is what the URL says it is."""
        async with self._runner.failures():
            await self.connection.check_topology(self.keys.probe)
            await self._runner.client.set(self.keys.probe, "1", px=60_000)

    async def close(self) -> None:
        """Writes what was accepted, then closes the connections."""
        await self._writer.batcher.close()
        await self._due.write_all()
        await self.connection.close()
