"""Sends messages to one endpoint, one after the other, while its lease holds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from service.errors import StoreError
from service.store.webhooks import StoreWebhooks
from service.webhook_config import Webhook
from service.webhooks.addresses import NotDelivered
from service.webhooks.derivation import Event
from service.webhooks.lease import Lease, LeaseLost
from service.webhooks.messages import Message, headers_of, message_of
from service.webhooks.observing import WebhookMetrics
from service.webhooks.pace import Pace
from service.webhooks.post import post

GONE = 410
_MARGIN_S = 1.0  # of a lease beyond a try

log = structlog.get_logger(__name__)


class NotTaken(Exception):
    """A message was given up. `is_gone`: the endpoint wants no more of them."""

    def __init__(self, *, is_gone: bool) -> None:
        super().__init__()
        self.is_gone = is_gone


class Delivery:
    """Sends, waits and sends again, and renews the lease meanwhile."""

    def __init__(
        self,
        store: StoreWebhooks,
        site: str,
        webhook: Webhook,
        lease: Lease,
        metrics: WebhookMetrics,
        pace: Pace,
    ) -> None:
        self._store = store
        self._site = site
        self._webhook = webhook
        self._lease = lease
        self._metrics = metrics
        self._pace = pace
        self._is_failing = False

    async def send(self, events: Sequence[Event], is_void: Callable[[], Awaitable[bool]]) -> None:
        """Sends a message, again and again until it is taken.

        Args:
            is_void: asked before it is sent again; what it says yes to is given up.

        Raises:
            NotTaken: it was given up.
            LeaseLost: another copy may send by now.
        """
        message = message_of(self._site, self._webhook, events)
        started_s, failures = time.monotonic(), 0
        while True:
            try:
                await self._try(message)
            except NotDelivered as error:
                failures += 1
                await self._note(error)
                pause_s = self._pace.pause_s(failures, error.retry_after_s)
                is_late = time.monotonic() - started_s + pause_s > self._pace.give_up_s
                if error.status == GONE or is_late:
                    raise NotTaken(is_gone=error.status == GONE) from None
                self._observe_lag(events[0])
                await self.wait(pause_s)
                await self._check(is_void)
            else:
                self._observe(is_taken=True)
                return

    async def wait(self, seconds: float) -> None:
        """Lets time pass, and renews the lease.

        Raises:
            LeaseLost: it could not be renewed in time.
        """
        ends_s = time.monotonic() + seconds
        while True:
            await self._renew(self._pace.lease_s * 2 / 3)
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, self._pace.lease_s / 6))

    async def _check(self, is_void: Callable[[], Awaitable[bool]]) -> None:
        try:
            if await is_void():
                raise NotTaken(is_gone=False)
        except StoreError:  # the next time can tell
            if self._lease.left_s <= 0:
                raise LeaseLost from None

    async def _renew(self, needed_s: float) -> None:
        """Renews the lease where it would end sooner than that, as far as Redis allows."""
        if self._lease.left_s < needed_s:
            try:
                await self._lease.renew()
            except StoreError:
                if self._lease.left_s <= 0:
                    raise LeaseLost from None

    async def _try(self, message: Message) -> None:
        await self._renew(self._pace.try_s + _MARGIN_S)
        now_s = self._store.about_now_ms() // 1000
        headers = headers_of(message, self._webhook.keys, now_s)
        try:
            await post(
                self._webhook,
                headers,
                message.body,
                # What is under way when it ends has ended before another copy may begin.
                may_write=lambda: self._lease.left_s > self._pace.try_s,
                try_s=self._pace.try_s,
            )
        except NotDelivered:
            if self._lease.left_s <= 0:
                raise LeaseLost from None
            raise

    async def _note(self, error: NotDelivered) -> None:
        self._observe(is_taken=False, reason=error.reason)
        try:
            await self._lease.renew({"error": f"{self._store.about_now_ms()} {error.reason}"})
        except StoreError:
            if self._lease.left_s <= 0:
                raise LeaseLost from None

    def _observe(self, *, is_taken: bool, reason: str = "") -> None:
        site, name = self._site, self._webhook.name
        self._metrics.tried(site, name, is_taken=is_taken)
        if is_taken == self._is_failing:
            self._is_failing = not is_taken
            if is_taken:
                log.info("webhook_recovered", site=site, webhook=name)
            else:
                log.warning("webhook_failing", site=site, webhook=name, reason=reason)

    def _observe_lag(self, oldest: Event) -> None:
        late_s = (self._store.about_now_ms() - oldest.at) / 1000
        self._metrics.lag(self._site, self._webhook.name, max(late_s, 0.0))
