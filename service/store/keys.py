"""Every key spelling, in one place.

All keys of one site shard share the hash tag `{site}` (or `{site/0}`, `{site/1.2}` … where a site
is split), so that one script call touches one slot of a cluster.
"""

import time
from binascii import crc_hqx
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from zlib import crc32

MS_PER_HOUR = 3_600_000
HOURS_PER_DAY = 24
SLOTS = 16_384  # of Redis Cluster and Valkey Cluster


def shard_of(session_id: str, shards: int) -> int:
    """The shard of a session: `crc32(id) % shards`, the same in every copy and for ever."""
    return crc32(session_id.encode()) % shards if shards > 1 else 0


@lru_cache(maxsize=65_536)
def tag_of(site: str, shard: int, shards: int) -> str:
    """What stands between the braces: `blog`, or `blog/2` or `blog/2.1` where sites are split.

    Tags fall on slots as if by chance, and three nodes would share twelve of them unevenly. So of
    N shards the n-th is spelled such that its slot lies in the n-th of N equal parts of all slots:
    `site/n` where that does already, else `site/n.k` with the smallest k from 1 that does. Nodes
    that hold equal ranges of slots then hold equally many shards. The first and the last slot of
    a part are not used: whoever deals out slots may round to either side.
    """
    if shards == 1:
        return site
    tag = f"{site}/{shard}"
    checksum = crc_hqx(tag.encode(), 0)  # CRC16 as clusters take it; it goes on where it ended
    if _lies_in(checksum % SLOTS, shard, shards):
        return tag
    for k in count(1):
        slot = crc_hqx(b".%d" % k, checksum) % SLOTS
        if _lies_in(slot, shard, shards):
            break
    return f"{tag}.{k}"


def _lies_in(slot: int, part: int, parts: int) -> bool:
    return part * SLOTS <= (slot - 1) * parts and (slot + 2) * parts <= (part + 1) * SLOTS


def site_of(tag: str) -> str:
    """The site that a tag belongs to: no name of a site has a slash."""
    return tag.partition("/")[0]


def shard_number(tag: str) -> int:
    """The number of a shard by its tag: 2 of `blog/2` and `blog/2.1`, 0 where sites are whole."""
    return int(tag.partition("/")[2].partition(".")[0] or 0)


@lru_cache(maxsize=1024)
def hour_text(hour: int) -> str:
    """`yyyymmddhh` of an hour since the epoch, UTC."""
    return time.strftime("%Y%m%d%H", time.gmtime(hour * 3600))


@lru_cache(maxsize=1024)
def day_text(day: int) -> str:
    """`yyyymmdd` of a day since the epoch, UTC."""
    return time.strftime("%Y%m%d", time.gmtime(day * 86400))


class ShardKeys:
    """The keys of one site shard, and the list of them that the scripts declare.

    Some are named after an hour, counted since the epoch, or its day; the scripts say `stale` where
    Redis's clock is in another hour.
    """

    def __init__(self, prefix: str, tag: str, *, has_users: bool = False) -> None:
        self.tag = tag
        self.has_users = has_users
        self.base = base = f"{prefix}:{{{tag}}}:"
        self.active = base + "active"
        self.pages = base + "pages"
        self.countries = base + "countries"
        self.events = base + "events"
        self.located = base + "located"
        self.places = base + "places"
        self.newcomers = base + "newcomers"
        self.views = base + "views"
        self.totals = base + "totals"
        self.top = base + "top"
        self.types = base + "types"
        self.top_order = base + "top_order"
        self.uniques = base + "uniques"
        self.shares = base + "shares"
        self.user_pages = base + "user_pages"
        self.user_seen = base + "user_seen"
        self.users = base + "users"
        self.session_prefix = base + "session:"
        self.viewed_prefix = base + "viewed:"
        self._all: tuple[int, tuple[str, ...]] = (-1, ())

    def session(self, session_id: str) -> str:
        """The hash of a session."""
        return self.session_prefix + session_id

    def viewed(self, session_id: str, path: str) -> str:
        """The marker that a session's view of a path has been counted."""
        return f"{self.viewed_prefix}{session_id}:{path}"

    def uniques_of(self, hour: int) -> str:
        """The distinct session ids of the day of an hour."""
        return f"{self.uniques}:{day_text(hour // HOURS_PER_DAY)}"

    def minutes_of(self, hour: int) -> str:
        """Views and peaks per minute of an hour."""
        return f"{self.base}minutes:{hour_text(hour)}"

    def hours_of(self, hour: int) -> str:
        """Views and peaks per hour of the day of an hour."""
        return f"{self.base}hours:{day_text(hour // HOURS_PER_DAY)}"

    def sources_of(self, hour: int) -> str:
        """How sessions came that began on the day of an hour: names, and of each kind how many."""
        return f"{self.base}sources:{day_text(hour // HOURS_PER_DAY)}"

    def all_of(self, hour: int) -> tuple[str, ...]:
        """The first KEYS of every script of a shard, in the order of lua/include/keys.lua; those of
        users only where the site has some."""
        if self._all[0] != hour:
            self._all = (
                hour,
                (
                    self.active,
                    self.pages,
                    self.countries,
                    self.events,
                    self.located,
                    self.places,
                    self.newcomers,
                    self.views,
                    self.totals,
                    self.top,
                    self.types,
                    self.top_order,
                    self.uniques,
                    self.uniques_of(hour),
                    self.minutes_of(hour),
                    self.hours_of(hour),
                    *((self.user_pages, self.user_seen, self.users) if self.has_users else ()),
                ),
            )
        return self._all[1]


class Keys:
    """All keys below one prefix. `has_users`: whether a site knows who somebody is."""

    def __init__(
        self,
        prefix: str = "presence",
        shards: int = 1,
        *,
        has_users: Callable[[str], bool] = lambda site: False,
    ) -> None:
        self.prefix = prefix
        self.shards = shards
        self._has_users = has_users
        self.due = f"{prefix}:due"
        self.sites = f"{prefix}:sites"
        self.probe = f"{prefix}:probe"
        self.shard_count = f"{prefix}:shards"
        self.retention = f"{prefix}:retention"
        self.webhooks = f"{prefix}:webhook:"
        self.clock = f"{prefix}:clock"
        self._shard_keys = lru_cache(maxsize=65_536)(self._make)

    def _make(self, tag: str) -> ShardKeys:
        return ShardKeys(self.prefix, tag, has_users=self._has_users(site_of(tag)))

    def webhook(self, site: str, name: str) -> str:
        """What is kept of an endpoint that events of a site are sent to. Not one of its shards:
        there is one of it, into however many the site is split."""
        return f"{self.webhooks}{site}:{name}"

    def of_session(self, site: str, session_id: str) -> ShardKeys:
        """The shard a session of a site lives in."""
        if self.shards == 1:
            return self._shard_keys(site)
        return self._shard_keys(tag_of(site, shard_of(session_id, self.shards), self.shards))

    def of_site(self, site: str) -> list[ShardKeys]:
        """All shards of a site, in order."""
        return [self._shard_keys(tag_of(site, n, self.shards)) for n in range(self.shards)]

    def of_tag(self, tag: str) -> ShardKeys:
        """The shard with that tag, as it stands in `due`."""
        return self._shard_keys(tag)
