"""A store as the settings say, for the app and for commands."""

from typing import TYPE_CHECKING, Any

from service.redis.connection import Connection
from service.settings import Settings
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore

if TYPE_CHECKING:
    from service.ops.metrics import Metrics


def store_config_of(settings: Settings) -> StoreConfig:
    """What decides, in the units of the store."""

    def ms(seconds: float) -> int:
        return round(seconds * 1000)

    return StoreConfig(
        heartbeat_dedup_ms=ms(settings.heartbeat_dedup),
        session_timeout_ms=ms(settings.session_timeout),
        view_dedup_ms=ms(settings.view_dedup),
        leave_grace_ms=ms(settings.leave_grace),
        views_from_heartbeats=settings.views_from_heartbeats,
        site_idle_ms=ms(settings.site_idle),
        events_maxlen=settings.events_maxlen,
        views_maxlen=settings.views_maxlen,
        events_days=settings.events_days,
        views_days=settings.views_days,
        max_paths=settings.max_paths,
        new_sessions_per_minute=settings.new_sessions_per_minute,
        users_kept=settings.users_kept,
    )


def make_store(
    settings: Settings,
    connection: Connection,
    metrics: "Metrics | None" = None,
    keys: Keys | None = None,
) -> PresenceStore:
    """The store of an app or a command; without metrics nobody watches it. Those of one app share
    `keys`, and so what one of them has learned of the layouts of sites."""
    observers: dict[str, Any] = {}
    if metrics is not None:
        observers = {
            "observe_batch": metrics.observe_batch,
            "observe_outcomes": metrics.observe_outcomes,
            "observe_error": metrics.observe_error,
        }
    return PresenceStore(
        connection,
        keys or Keys(settings.key_prefix, settings.shards, has_users=settings.sites.has_users),
        store_config_of(settings),
        **observers,
    )
