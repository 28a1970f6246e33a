"""Starts a sender for each endpoint of each site."""

import asyncio
from collections.abc import Iterable

from service.ops.metrics import Metrics
from service.sites import Sites
from service.store.store import PresenceStore
from service.webhooks.observing import WebhookMetrics
from service.webhooks.pace import Pace
from service.webhooks.sender import Sender

_CANCEL_AGAIN_S = 1.0


def start_senders(
    store: PresenceStore, sites: Sites, metrics: Metrics, pace: Pace
) -> list["asyncio.Task[None]"]:
    """Tasks that run until they are cancelled; none where no site has webhooks."""
    endpoints = [
        (site, webhook) for site, known in sites.by_id.items() for webhook in known.webhooks
    ]
    if not endpoints:
        return []
    observed = WebhookMetrics(metrics.registry)
    return [
        asyncio.create_task(
            Sender(store, site, webhook, observed, pace).run(),
            name=f"webhook {webhook.name} of {site}",
        )
        for site, webhook in endpoints
    ]


async def stop_senders(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancels them until they have ended, and given back their leases: before Python 3.12
    `asyncio.wait_for`, with which redis-py sends, loses a cancellation that comes as it ends."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)
