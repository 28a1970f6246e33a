"""Fixtures: a receiver, and senders that are quick."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from service.store.store import PresenceStore
from service.webhook_config import Webhook, webhooks_of
from service.webhooks.observing import WebhookMetrics
from service.webhooks.pace import Pace
from service.webhooks.sender import Sender
from service.webhooks.senders import stop_senders
from tests.webhooks.receiver import SECRET, Receiver

# So quick that a test waits for nothing but what it is about.
QUICK = Pace(
    grace_s=0.0,
    tick_s=0.02,
    lease_s=12.0,
    try_s=5.0,
    first_pause_s=0.01,
    longest_pause_s=0.05,
    give_up_s=300.0,
    paused_look_s=0.05,
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with Receiver() as receiver:
        yield receiver


def webhook_to(url: str, **more: Any) -> Webhook:
    """An endpoint there, by default for who comes and goes."""
    table = {
        "name": "backend",
        "url": url,
        "secrets": [SECRET],
        "events": ["site.occupied", "site.vacated"],
        "settle": 0,
        "allow_private": True,
    } | more
    (webhook,) = webhooks_of("blog", [table], has_users=True)
    return webhook


StartSender = Callable[..., "asyncio.Task[None]"]


@pytest.fixture
async def start_sender() -> AsyncIterator[StartSender]:
    """Starts a sender: `start_sender(store, webhook, pace=QUICK)`."""
    tasks: list[asyncio.Task[None]] = []

    def start(store: PresenceStore, webhook: Webhook, pace: Pace = QUICK) -> "asyncio.Task[None]":
        sender = Sender(store, "blog", webhook, WebhookMetrics(), pace)
        tasks.append(asyncio.create_task(sender.run()))
        return tasks[-1]

    yield start
    await stop_senders(tasks)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of a condition."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)
    return value
