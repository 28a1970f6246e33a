"""PresenceStore: presence in Redis, behind one facade.

What is written about a session is decided in `lua/`. `writer` sends heartbeats in batches, `reader`
and `listings` read, `sweeps` removes those who have gone, `due` says whose turn it is. They share
one script runner; which shards a site has only `keys` says.
"""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager

from service.errors import StoreError, WrongTypeError
from service.models import SiteList
from service.redis.client import BATCH_DEADLINE_S, DEADLINE_S
from service.redis.connection import Connection
from service.redis.permissions import check_permissions
from service.store.batching.batch_sender import BatchSender
from service.store.batching.batcher import Batcher
from service.store.config import StoreConfig
from service.store.due import DueList
from service.store.erase import StoreErasure
from service.store.events import StoreEvents
from service.store.history import StoreHistory
from service.store.keys import Keys, ShardKeys
from service.store.listings import Listings
from service.store.paging import read_site_positions
from service.store.reader import StoreReader
from service.store.resharding.carrier import Carrier
from service.store.resharding.folding import Folding
from service.store.resharding.in_turn import InTurn
from service.store.resharding.layouts import Layouts
from service.store.resharding.up_to_date import UpToDate
from service.store.retention import Retention
from service.store.runner import ScriptRunner
from service.store.shard_count import ShardCount
from service.store.shares import StoreShares
from service.store.site_counts import SiteCounts
from service.store.source_totals import StoreSourceTotals
from service.store.sweeps import StoreSweeps, Sweep
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
        keys.carried_within_ms = config.carried_within_ms
        self.layouts = layouts = Layouts(runner)
        self.folding = Folding(runner, layouts)
        self._carrier = carrier = Carrier(runner, layouts)
        sender = BatchSender(
            runner,
            due,
            carrier,
            observe_batch=observe_batch,
            observe_outcomes=observe_outcomes,
            batch_deadline_s=batch_deadline_s,
        )
        in_turn = InTurn(sender.send, carrier, runner.about_now_ms)
        self._writer = writer = StoreWriter(runner, in_turn.send, carrier.former)
        carrier.submit = writer.batcher.submit

        # The methods of the parts, as they are; what would be lost on a shard that is retired, up
        # to date. Heartbeats follow their site by themselves (carrier.py).
        self._up_to_date = up_to_date = UpToDate(keys, layouts)
        self.heartbeat = writer.heartbeat
        self.submit = writer.submit
        self.heartbeats = writer.heartbeats
        self.leave = up_to_date(writer.leave)
        self.view = up_to_date(writer.view)
        self.end = up_to_date(writer.end)

        users = StoreUsers(runner)
        reader, listings, sites = StoreReader(runner, users), Listings(runner), SiteCounts(runner)
        self.active = up_to_date(reader.active)
        self.count = up_to_date(reader.count)
        self.stats = up_to_date(reader.stats)
        self.stats_and_positions = up_to_date(reader.stats_and_positions)
        self.last_events = up_to_date(reader.last_events)
        self.on_pages = up_to_date(reader.on_pages)
        self.changes = up_to_date(reader.changes)
        self.history = up_to_date(StoreHistory(runner, reader).history)
        totals = StoreSourceTotals(runner, reader)
        self.arrivals = up_to_date(totals.arrivals)
        self.came = up_to_date(totals.came)
        self.session = up_to_date(listings.session)
        self.sessions = up_to_date(listings.sessions)
        self.views = up_to_date(listings.views)
        self.last_views_position = up_to_date(listings.last_views_position)
        events = StoreEvents(runner)
        self.events = up_to_date(events.events)
        self.newest_events = up_to_date(events.newest_events)
        self.users = up_to_date(users.users)
        self.user = up_to_date(users.user)
        self.user_states = up_to_date(users.states)
        self.user_statuses = up_to_date(users.statuses)
        self.count_users = up_to_date(users.count_users)
        shares = StoreShares(runner)
        self.add_share = shares.add_share
        self.remove_share = shares.remove_share
        self.shares = shares.shares
        self.share_digests = shares.share_digests
        self.webhooks = webhooks = StoreWebhooks(runner)
        self.webhook_here = up_to_date(webhooks.here)
        self.site_names = sites.site_names
        self._site_counts = sites

        sweeps = StoreSweeps(runner)
        self.sweep = up_to_date(sweeps.sweep)
        erasure = StoreErasure(runner, writer.end, sweeps.sweep)
        self.erase_session = up_to_date(erasure.erase_session)
        self.erase_user = up_to_date(erasure.erase_user)
        self._sweep_many = sweeps.sweep_many
        self.claim = due.claim
        self.retention = Retention(
            runner, sites, views_days=config.views_days, events_days=config.events_days
        )
        self._agree_on_shards = ShardCount(runner).agree

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

    async def agree_on_shards(self, *, may_note: bool = True) -> None:
        """Agrees with all copies into how many shards sites are split, and learns of those that
        are split otherwise. Raises as `ShardCount.agree`."""
        await self._agree_on_shards(may_note=may_note)
        await self.layouts.learn()
        if may_note:
            await self.layouts.begin()

    async def sweep_many(self, tags: Sequence[str]) -> list[Sweep | StoreError]:
        """Removes some expired sessions of many site shards; what one refuses stands in its place.
        Raises StoreError."""
        version, swept = self.keys.version, await self._sweep_many(tags)
        failed = [n for n, one in enumerate(swept) if isinstance(one, WrongTypeError)]
        if failed and await self._up_to_date.has_learned_since(version):
            again = await self._sweep_many([tags[n] for n in failed])
            for n, one in zip(failed, again, strict=True):
                swept[n] = one
        return swept

    async def sites(self, names: Sequence[str]) -> SiteList:
        """How many are on each of these sites, None where Redis cannot say. Raises
        StoreUnreachable: none can be asked."""
        counts, version = self._site_counts, self.keys.version
        wrong_types, counted = counts.wrong_types, await counts.sites(names)
        if counts.wrong_types != wrong_types:
            with contextlib.suppress(StoreError):
                await self.layouts.learn()
            if self.keys.version != version:
                return await counts.sites(names)
        return counted

    def known_positions(self, site: str, text: str) -> list[str]:
        """The positions in the logs of a site that an event of a stream has told: of every shard
        that it has by now. Raises FieldError: it is none."""
        return read_site_positions(text, self.keys.layouts_of(site).in_force)

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
        """Checks that Redis takes writes, by writing, for a full one still answers reads; that it
        is what the URL says it is; and that it permits what the scripts do."""
        async with self._runner.failures():
            await self.connection.check_topology(self.keys.probe)
            await self._runner.client.set(self.keys.probe, "1", px=60_000)
            await check_permissions(self._runner.client, self.keys.probe)

    async def close(self) -> None:
        """Writes what was accepted, then closes the connections."""
        await self._carrier.settled()
        await self._writer.batcher.close()
        await self._carrier.settled()
        await self.layouts.settled()
        await self._due.write_all()
        await self.connection.close()
