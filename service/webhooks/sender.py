"""Serves one endpoint: while this copy has its lease, follows the log and sends what comes of it.

At least once and in order: the next message is sent when the one before was taken, or given up,
and how far it has come is kept in the step that proves that the lease still holds.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Mapping

import msgspec
import structlog

from service.errors import FieldError, StoreError
from service.store.event_log import ERASED
from service.store.paging import padded
from service.store.store import PresenceStore
from service.store.webhooks import USER_FIELD, Busy
from service.webhook_config import OF_USERS, Webhook
from service.webhooks.delivery import Delivery, NotTaken
from service.webhooks.derivation import NOWHERE, Derivation, State
from service.webhooks.lease import Lease, LeaseLost
from service.webhooks.observing import WebhookMetrics
from service.webhooks.pace import Pace
from service.webhooks.site_users import SiteUsers

MOST_EVENTS = 100  # in a message
_STEP_EVENTS = 5  # that one step may add, at most
_LOG_PAGE = 200  # entries: some 5 ms in which this process does nothing else
_GAP_S = 5.0  # for so long no copy had the lease: the service, or Redis, was away
_CHECK_S = 60.0  # how often what was counted is compared with what is there, where nothing happens

log = structlog.get_logger(__name__)


class Sender:
    """Serves one endpoint of a site until it is cancelled."""

    def __init__(
        self,
        store: PresenceStore,
        site: str,
        webhook: Webhook,
        metrics: WebhookMetrics,
        pace: Pace,
    ) -> None:
        self._store = store
        self._kept = store.webhooks
        self._site_users = SiteUsers(store, site)
        self._site = site
        self._webhook = webhook
        self._metrics = metrics
        self._pace = pace
        self._lease = Lease(store.webhooks, site, webhook.name, pace.lease_s)
        self._delivery = Delivery(store.webhooks, site, webhook, self._lease, metrics, pace)
        self._derivation = Derivation(site, webhook)
        self._is_lost = False  # whether something was that the endpoint will never be told
        self._delivered = self._dropped = 0
        self._cursor = ""  # as it is kept
        self._begun_at: list[str] = []
        self._checked_s = 0.0
        self._away_since_s: float | None = None

    async def run(self) -> None:
        """Runs until it is cancelled. Failures are outlived."""
        name = self._webhook.name
        self._metrics.show(self._site, name)
        try:
            while True:
                pause_s = self._pace.tick_s
                try:
                    pause_s = await self._serve()
                except LeaseLost:
                    log.info("webhook_lease_lost", site=self._site, webhook=name)
                except StoreError:
                    pass  # others log that Redis is away
                except Exception as error:  # it must outlive what nobody thought of
                    log.error("webhook_failed", kind=type(error).__name__, exc_info=error)
                self._metrics.lag(self._site, name, 0.0)
                await asyncio.sleep(pause_s)
        finally:
            with contextlib.suppress(StoreError):
                await self._lease.give_back()

    async def _serve(self) -> float:
        """Serves the endpoint as long as the lease holds; returns when to ask for it again, s."""
        taken = await self._lease.take()
        if isinstance(taken, Busy):
            self._metrics.paused(self._site, self._webhook.name, is_paused=False)  # it is served
            return min((taken.until - taken.now) / 1000, 3 * self._pace.tick_s) + 0.01
        gap_ms = taken.now - taken.was_until if taken.was_until else 0
        while True:
            is_paused = await self._restore()
            self._metrics.paused(self._site, self._webhook.name, is_paused=is_paused)
            if is_paused:
                await self._lease.give_back()
                return self._pace.paused_look_s
            if gap_ms > _GAP_S * 1000:
                self._hold_off(taken.now)
            if gap_ms >= self._store.config.site_idle_ms and NOWHERE in self._derivation.positions:
                self._is_lost, self._derivation.positions = True, []  # a log may have come and gone
            try:
                await self._follow_on()
            except NotTaken as error:
                await self._drop(is_gone=error.is_gone)

    async def _follow_on(self) -> None:
        """Follows the log while the lease holds."""
        while True:
            try:
                await self._follow()
            except StoreError:
                if self._lease.left_s <= 0:
                    raise
                self._away_since_s = self._away_since_s or time.monotonic()
            await self._delivery.wait(self._pace.tick_s)

    def _hold_off(self, now_ms: int) -> None:
        """Nobody could be seen for a while: a crowd that comes back was never gone."""
        grace_ms = round((self._pace.grace_s + self._webhook.settle_s) * 1000)
        self._derivation.hold_off(now_ms + grace_ms)

    async def _restore(self) -> bool:
        """Goes on from what is kept; whether the endpoint is paused."""
        kept = await self._kept.kept(self._site, self._webhook.name)
        self._derivation = derivation = Derivation(self._site, self._webhook)
        state = msgspec.json.decode(kept["state"], type=State) if "state" in kept else State()
        is_same = derivation.restore(
            state,
            {
                field.removeprefix(USER_FIELD): value.removeprefix("online").lstrip()
                for field, value in kept.items()
                if field.startswith(USER_FIELD)
            },
        )
        self._cursor = kept.get("cursor", "")
        positions: list[str] = []
        if self._cursor:
            with contextlib.suppress(FieldError):
                positions = self._store.known_positions(self._site, self._cursor)
        derivation.positions = positions if is_same else []
        self._is_lost = "state" in kept and not positions
        self._delivered = int(kept.get("delivered", "0"))
        self._dropped = int(kept.get("dropped", "0"))
        return is_paused(self._webhook, kept)

    # Following

    async def _follow(self) -> None:
        """Reads the log to its end, and sends what comes of it."""
        derivation, is_at_end = self._derivation, False
        while not is_at_end:
            if not derivation.positions:
                await self._begin_anew()
            after, now_ms = ",".join(derivation.positions), self._kept.about_now_ms()
            page = await self._store.events(self._site, after=after, limit=_LOG_PAGE)
            if self._away_since_s is not None:
                if time.monotonic() - self._away_since_s > _GAP_S:
                    self._hold_off(now_ms)
                self._away_since_s = None
            # Of an empty log `next` says when it was seen; here that is known by the lease.
            known = [NOWHERE if at.startswith("0-") else at for at in page.next.split(",")]
            # A site that is split anew has shards of which nothing was read.
            derivation.positions = padded(derivation.positions, len(known))
            if page.truncatedBefore is not msgspec.UNSET:
                self._is_lost, derivation.positions = True, []
                continue
            if any(event.type == ERASED for event in page.events):
                derivation.positions = []
                continue
            gone = {event.fromUserId for event in page.events}
            gone |= {event.userId for event in page.events if event.type == "left"}
            here = await self._site_users.known(user for user in gone if user)
            here = {user: is_here for user, is_here in here.items() if is_here}
            for _ in derivation.follow(page.events, here):
                await self._send_full()
            derivation.positions = known  # also behind what is told to nobody
            is_at_end = not page.more
            if is_at_end:
                # Whatever happened until then was read.
                for _ in derivation.tell_due(now_ms):
                    await self._send_full()
            await self._send()
            if ",".join(derivation.positions) != self._cursor or derivation.changed:
                await self._keep()
            if not page.events:
                await self._check()
        self._metrics.lag(self._site, self._webhook.name, 0.0)

    async def _begin_anew(self) -> None:
        """Goes on from what is here now."""
        derivation = self._derivation
        here = await self._store.webhook_here(self._site, self._webhook.path)
        self._begun_at = here.positions
        users: list[str] = []
        if not self._webhook.events.isdisjoint(OF_USERS):
            users = await self._site_users.here()
        known = await self._site_users.known(derivation.online.keys() - set(users))
        for _ in derivation.begin_anew(here, users, known, is_lost=self._is_lost):
            await self._send_full()
        await self._send()
        await self._keep()
        self._is_lost = False

    async def _check(self) -> None:
        """Compares what was counted with what is there, now and then where nothing happens; and
        begins at the beginning where the log has expired, as it does on a site that nobody is on:
        the next one is another log, of which nothing is missing."""
        if time.monotonic() - self._checked_s < _CHECK_S:
            return
        self._checked_s = time.monotonic()
        self._derivation.check(await self._store.webhook_here(self._site, self._webhook.path))

    # Sending

    async def _send_full(self) -> None:
        """Sends what has gathered where the next step may be too much for one message."""
        if len(self._derivation.events) > MOST_EVENTS - _STEP_EVENTS:
            await self._send()

    async def _send(self) -> None:
        events = self._derivation.events
        if not events:
            return
        await self._delivery.send(events, self._names_erased)
        self._derivation.events = []
        self._delivered += len(events)
        self._metrics.ended(self._site, self._webhook.name, "delivered", len(events))
        await self._keep(is_taken=True)

    async def _names_erased(self) -> bool:
        """Whether what waits to be sent names users, and somebody was erased since the log was
        read: nobody is told who that was."""
        if not any(event.userId for event in self._derivation.events):
            return False
        after, is_more = ",".join(self._derivation.positions or self._begun_at), True
        while is_more:
            page = await self._store.events(self._site, after=after, limit=_LOG_PAGE)
            if any(event.type == ERASED for event in page.events):
                return True
            after, is_more = page.next, page.more
        return False

    async def _keep(self, *, is_taken: bool = False) -> None:
        """Keeps how far it has come. Where Redis cannot, the next time keeps this as well."""
        derivation = self._derivation
        online = derivation.online
        cursor = ",".join(derivation.positions)
        fields = {
            "cursor": cursor,
            "state": msgspec.json.encode(derivation.kept()).decode(),
            "delivered": str(self._delivered),
        }
        if is_taken:
            fields["success"] = str(self._kept.about_now_ms())
        for user in derivation.changed:
            fields[USER_FIELD + user] = f"online {online[user]}".rstrip() if user in online else ""
        await self._lease.renew(fields)
        self._cursor = cursor
        derivation.changed.clear()

    async def _drop(self, *, is_gone: bool) -> None:
        """Gives up what could not be sent. What was kept before stands, for that is all that the
        endpoint knows: it goes on with what is not so any more."""
        events, name = self._derivation.events, self._webhook.name
        self._metrics.ended(self._site, name, "dropped", len(events))
        log.warning("webhook_dropped", site=self._site, webhook=name, events=len(events))
        seq = self._derivation.state.seq
        await self._restore()
        self._derivation.state.seq = seq
        fields = {
            "cursor": "",
            "state": msgspec.json.encode(self._derivation.kept()).decode(),
            "dropped": str(self._dropped + len(events)),
        }
        if is_gone:
            fields["paused"] = f"{self._kept.about_now_ms()} {_digest_of(self._webhook)}"
            log.warning("webhook_paused", site=self._site, webhook=name)
        await self._lease.renew(fields)


def is_paused(webhook: Webhook, kept: Mapping[str, str]) -> bool:
    """Whether an endpoint has answered 410 at the address that it still has."""
    return kept.get("paused", "").endswith(f" {_digest_of(webhook)}")


def _digest_of(webhook: Webhook) -> str:
    return hashlib.blake2b(webhook.url.geturl().encode(), digest_size=8).hexdigest()
