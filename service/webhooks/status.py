"""How sending to the endpoints of a site goes, by what is kept of them."""

from collections.abc import Iterable, Mapping

from service.errors import FieldError
from service.models import WebhookFailure, WebhookList, WebhookStatus
from service.sites import Sites
from service.store.store import PresenceStore
from service.webhook_config import Webhook
from service.webhooks.sender import is_paused


async def read_statuses(
    store: PresenceStore, site: str, webhooks: Iterable[Webhook]
) -> WebhookList:
    """The state of each endpoint. Raises StoreError."""
    *_, now_ms = await store.count(site, None)  # by Redis's clock, which a command does not know
    found = []
    for webhook in webhooks:
        kept = await store.webhooks.kept(site, webhook.name)
        found.append(_status(webhook, kept, await _lag_ms(store, site, kept, now_ms), now_ms))
    return WebhookList(found, now_ms)


async def forget_user(store: PresenceStore, sites: Sites, site: str, user: str) -> None:
    """Forgets that a user, who was erased, was told to any endpoint as online. Raises
    StoreError."""
    known = sites.find(site)
    for webhook in known.webhooks if known is not None else ():
        await store.webhooks.forget_user(site, webhook.name, user)


def _status(
    webhook: Webhook, kept: Mapping[str, str], lag_ms: int | None, now_ms: int
) -> WebhookStatus:
    at, _, reason = kept.get("error", "").partition(" ")
    paused = is_paused(webhook, kept)
    return WebhookStatus(
        webhook.name,
        webhook.origin,
        sorted(webhook.events),
        webhook.format,
        not paused and int(kept.get("until", "0")) > now_ms,  # a copy looks at it now and then
        paused,
        lag_ms,
        int(kept["success"]) if "success" in kept else None,
        WebhookFailure(int(at), reason) if at else None,
        int(kept.get("delivered", "0")),
        int(kept.get("dropped", "0")),
    )


async def _lag_ms(
    store: PresenceStore, site: str, kept: Mapping[str, str], now_ms: int
) -> int | None:
    cursor = kept.get("cursor", "")
    if not cursor:
        return None
    try:
        page = await store.events(site, after=cursor, limit=1)
    except FieldError:  # of shards that the site does not have any more
        return None
    if not page.events:
        return 0
    logged_at = int(page.events[0].id.partition("-")[0])
    return max(now_ms - logged_at, 0)
