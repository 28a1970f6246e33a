"""Sends a test, by whichever copy was asked for it: out of the order of all other messages."""

import time
from uuid import uuid4

from service.models import WebhookTest
from service.store.store import PresenceStore
from service.webhook_config import Webhook
from service.webhooks.addresses import NotDelivered
from service.webhooks.derivation import Event
from service.webhooks.messages import TEST_EVENT, headers_of, message_of
from service.webhooks.post import post


async def send_test(store: PresenceStore, site: str, webhook: Webhook) -> WebhookTest:
    """What an endpoint makes of a test. If it takes it, a pause ends. Raises StoreError."""
    active, _, now_ms = await store.count(site, None)
    event = Event(f"evt_{uuid4().hex[:24]}", 0, TEST_EVENT, now_ms, active)
    message = message_of(site, webhook, [event])
    started_s = time.monotonic()
    status: int | None = None
    reason: str | None = None
    try:
        headers = headers_of(message, webhook.keys, now_ms // 1000)
        status = await post(webhook, headers, message.body, may_write=lambda: True)
    except NotDelivered as error:
        status, reason = error.status, error.reason
    took_ms = round((time.monotonic() - started_s) * 1000)
    if reason is None:
        await store.webhooks.resume(site, webhook.name)
    return WebhookTest(reason is None, status, reason, took_ms)
