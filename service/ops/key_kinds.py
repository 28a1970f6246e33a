"""The Redis type and the life of every key that the service writes."""

from typing import NamedTuple

from service.redis.replicas import CLOCK_LIFE_MS
from service.store.config import StoreConfig
from service.store.keys import RENAMED, Keys
from service.store.retention import TURN_MS
from service.store.tags import is_archive, site_of
from service.store.webhooks import WEBHOOK_LIFE_MS

DAY_MS = 86_400_000


class Kind(NamedTuple):
    """The Redis type of a key, and its TTL in ms; None: it is kept."""

    type: str
    life_ms: int | None


class KeyKinds:
    """What a key below a prefix should be.

    Args:
        type_of_uniques: the Redis type of a HyperLogLog.
    """

    def __init__(self, keys: Keys, config: StoreConfig, type_of_uniques: str) -> None:
        self._keys = keys
        self._config = config
        self._type_of_uniques = type_of_uniques

    def of(self, key: str) -> Kind | None:
        """The kind of a key below the prefix; None: this service does not write it."""
        keys, config = self._keys, self._config
        if key in (keys.due, keys.sites):
            return Kind("zset", 400 * DAY_MS)
        if key == keys.probe:
            return Kind("string", 60_000)
        if key == keys.retention:
            return Kind("string", TURN_MS)
        if key == keys.clock or key.startswith(f"{keys.clock}:"):
            return Kind("string", CLOCK_LIFE_MS)
        if key == keys.registry:
            return Kind("hash", None)
        if key == keys.shard_count:
            return Kind("string", 400 * DAY_MS)
        if key.startswith(keys.webhooks):
            return Kind("hash", WEBHOOK_LIFE_MS)
        tag, _, name = key[len(keys.prefix) + 2 :].partition("}:")
        first, _, rest = name.partition(":")
        if tag and name in keys.of_tag(tag).closed:
            return Kind("hash", 400 * DAY_MS)
        idle, kept = config.site_idle_ms, 400 * DAY_MS
        kinds = {
            "active": Kind("zset", idle),
            "pages": Kind("zset", idle),
            "countries": Kind("zset", idle),
            "places": Kind("zset", idle),
            "located": Kind("hash", idle),
            "events": Kind("stream", idle),
            "newcomers": Kind("hash", 60_000),
            "user_pages": Kind("zset", 30 * DAY_MS),
            "user_seen": Kind("zset", 30 * DAY_MS),
            "users": Kind("hash", 30 * DAY_MS),
            "views": Kind("stream", kept),
            "types": Kind("hash", kept),
            "shares": Kind("hash", None),
            "archives": Kind("hash", kept),
            "totals": Kind("hash", None),
            "top": Kind("zset", None),
            "top_order": Kind("zset", None),
            "uniques": Kind(self._type_of_uniques, None),
            "retired_active": Kind("zset", idle),
            "retired_uniques": Kind(self._type_of_uniques, None),
        }
        parts = {
            "session": Kind("hash", config.session_timeout_ms),
            "viewed": Kind("string", config.view_dedup_ms),
            "uniques": Kind(self._type_of_uniques, kept),
            "minutes": Kind("hash", 2 * DAY_MS),
            "hours": Kind("hash", kept),
            "sources": Kind("hash", kept),
        }
        return (parts if rest else kinds).get(first) if tag else None

    def counts_visitors(self, key: str) -> bool:
        """Whether a key of that name is a HyperLogLog, which to Redis is a string."""
        name = key[len(self._keys.prefix) + 2 :].partition("}:")[2]
        return name.partition(":")[0] in ("uniques", "retired_uniques")

    def is_needless(self, key: str, type_: str) -> bool:
        """Whether a key of that type is in an archive that another has replaced, or in a shard that
        is folded, and is there still since nobody has closed it yet."""
        tag = self.tag_of(key)
        shard, name = self._keys.of_tag(tag), key.rpartition(":")[2]
        if not (shard.past == "folded_" or (shard.past and is_archive(tag))):
            return False
        before = {"retired_active": "zset", "retired_uniques": self._type_of_uniques}
        last_closed = name if shard.past == "folded_" else f"retired_{name}"
        return name in shard.closed and before.get(last_closed) == type_

    def is_being_retired(self, key: str, type_: str) -> bool:
        """Whether a key of that type stands there since its site is being split just now."""
        name = key.rpartition(":")[2]
        layouts = self._keys.layouts_of(site_of(self.tag_of(key)))
        return type_ == "hash" and name in RENAMED and layouts.announced is not None

    def tag_of(self, key: str) -> str:
        """The tag of the site shard that a key belongs to; empty: it belongs to none."""
        start = f"{self._keys.prefix}:{{"
        return key[len(start) :].partition("}")[0] if key.startswith(start) else ""
