"""What is sent: a body of events, and the headers of Standard Webhooks that sign it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from service import __version__
from service.webhook_config import Webhook
from service.webhooks.derivation import EVENTS_LOST, Event

TEST_EVENT = "webhook.test"


class Body(Struct, frozen=True):
    """A message in the standard format."""

    site: str
    events: Sequence[Event]


class Message(NamedTuple):
    """A message, the same at each try. `id`: by which a receiver knows it again."""

    id: str
    body: bytes


def message_of(site: str, webhook: Webhook, events: Sequence[Event]) -> Message:
    """One message with these events."""
    if webhook.format == "slack":
        body = msgspec.json.encode({"text": "\n".join(_line(site, event) for event in events)})
    else:
        body = msgspec.json.encode(Body(site, events))
    ids = "\n".join(event.id for event in events)
    digest = hashlib.blake2b(ids.encode(), digest_size=16)
    return Message(f"msg_{digest.hexdigest()}", body)


def headers_of(message: Message, keys: Iterable[bytes], now_s: int) -> dict[str, str]:
    """The headers of one try. `now_s`: the Unix time."""
    headers = {
        "content-type": "application/json",
        "user-agent": f"presence/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(now_s),
    }
    signed = b"%b.%d.%b" % (message.id.encode(), now_s, message.body)
    if signatures := " ".join(f"v1,{_signature(key, signed)}" for key in keys):
        headers["webhook-signature"] = signatures
    return headers


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _line(site: str, event: Event) -> str:
    """An event in words. Slack reads &, < and > as markup."""
    here = f"{event.activeVisitors} here now"
    words = {
        "site.occupied": f"Somebody is on {site}: {here}",
        "site.vacated": f"Nobody is on {site} any more",
        "active.above": f"{site} is busy: {here}",
        "active.below": f"{site} is quieter: {here}",
        "page.above": f"{event.path} of {site} is busy; on the site: {here}",
        "user.online": f"{event.userId} is on {site}",
        "user.offline": f"{event.userId} has left {site}",
        EVENTS_LOST: f"Some events of {site} were lost: {here}",
        TEST_EVENT: f"A test of the webhook for {site}: {here}",
    }[event.type]
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
