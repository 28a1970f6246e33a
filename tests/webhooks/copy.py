"""One copy of the senders, as a process that can be killed and frozen:

python -m tests.webhooks.copy REDIS_URL PREFIX RECEIVER_URL
"""

import asyncio
import signal
import sys

from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.webhooks.observing import WebhookMetrics
from service.webhooks.pace import Pace
from service.webhooks.sender import Sender
from service.webhooks.senders import stop_senders
from tests.webhooks.conftest import webhook_to

# A lease that is soon over, and tries that are yet longer than a busy machine makes them.
PACE = Pace(
    grace_s=0.0, tick_s=0.02, lease_s=3.0, try_s=1.0, first_pause_s=0.05, longest_pause_s=0.2
)


async def main(redis_url: str, prefix: str, receiver_url: str) -> None:
    """Runs until SIGTERM."""
    keys = Keys(prefix, has_users=lambda site: True)
    store = PresenceStore(connect(redis_url), keys, StoreConfig())
    webhook = webhook_to(receiver_url, events=["user.online", "user.offline"])
    sender = Sender(store, "blog", webhook, WebhookMetrics(), PACE)
    task = asyncio.create_task(sender.run())
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await stop_senders([task])
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
