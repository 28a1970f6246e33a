"""Every key and its spelling; tags.py spells the part of it that a shard's keys share."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

from service.store.layout import Archive, Layout, SiteLayouts
from service.store.tags import (
    archive_tag,
    generation_of,
    is_archive,
    shard_number,
    shard_of,
    site_of,
    tag_of,
)

MS_PER_HOUR = 3_600_000
HOURS_PER_DAY = 24


@lru_cache(maxsize=1024)
def hour_text(hour: int) -> str:
    """`yyyymmddhh` of an hour since the epoch, UTC."""
    return time.strftime("%Y%m%d%H", time.gmtime(hour * 3600))


@lru_cache(maxsize=1024)
def day_text(day: int) -> str:
    """`yyyymmdd` of a day since the epoch, UTC."""
    return time.strftime("%Y%m%d", time.gmtime(day * 86400))


PASTS = ("", "retired_", "folded_")
RENAMED = ("active", "uniques")


class ShardKeys:
    """The keys of one site shard, and the list of them that the scripts declare.

    Some are named after an hour, counted since the epoch, or its day; the scripts say `stale` where
    Redis's clock is in another hour.

    Args:
        past: begins the names of two of its keys: `retired_` where nobody writes heartbeats to it
            any more (lua/retire.lua), `folded_` where its numbers are in an archive. In their old
            places stands something that no script can read or write.
        asks_until_ms: until then a session that is not here may be in the shard that was its own
            before; ms since the epoch.
    """

    def __init__(
        self,
        prefix: str,
        tag: str,
        *,
        has_users: bool = False,
        past: str = "",
        asks_until_ms: int = 0,
    ) -> None:
        self.tag = tag
        self.has_users = has_users
        self.asks_until_ms = asks_until_ms
        self.past = past
        self.base = base = f"{prefix}:{{{tag}}}:"
        self.active = base + past + "active"
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
        self.uniques = base + past + "uniques"
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

    def renamed(self, past: str) -> tuple[str, ...]:
        """The keys that are renamed where the shard comes to this `past`: old and new name by
        turns."""
        before = PASTS[PASTS.index(past) - 1]
        return tuple(self.base + which + name for name in RENAMED for which in (before, past))

    @property
    def closed(self) -> set[str]:
        """The last parts of names in whose place stands what no script can read or write."""
        return {past + name for past in PASTS[: PASTS.index(self.past)] for name in RENAMED}

    def uniques_of(self, hour: int) -> str:
        """The distinct session ids of the day of an hour."""
        return f"{self.base}uniques:{day_text(hour // HOURS_PER_DAY)}"

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
    """All keys below one prefix. `has_users`: whether a site knows who somebody is.

    `shards` is the number of shards of a site whose number was never changed. `layouts` says of the
    others which layouts they have had, `version` counts how often that was told, and
    `known_since_ms` says when it was last: what a replica had before may be of other layouts.
    """

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
        self.registry = f"{prefix}:layouts"
        self.retention = f"{prefix}:retention"
        self.webhooks = f"{prefix}:webhook:"
        self.clock = f"{prefix}:clock"
        self.layouts: Mapping[str, SiteLayouts] = {}
        self.version = 0
        self.known_since_ms = 0
        # For how long after a change a session may still have something in its former shard, ms:
        # the store says it.
        self.carried_within_ms = 0
        self._shard_keys = lru_cache(maxsize=65_536)(self._make)

    def _make(self, tag: str, past: str = "", asks_until_ms: int = 0) -> ShardKeys:
        return ShardKeys(
            self.prefix,
            tag,
            has_users=self._has_users(site_of(tag)),
            past=past,
            asks_until_ms=asks_until_ms,
        )

    def know(self, layouts: Mapping[str, SiteLayouts], now_ms: int = 0) -> None:
        """Takes over which layouts sites have had, of those that have had several, as Redis had
        them at that moment."""
        if layouts != self.layouts:
            self.layouts = layouts
            self.version += 1
            self.known_since_ms = now_ms

    def layouts_of(self, site: str) -> SiteLayouts:
        """The layouts of a site, also of one that has had no other."""
        return self.layouts.get(site) or SiteLayouts((Layout(0, self.shards, 0),))

    def webhook(self, site: str, name: str) -> str:
        """What is kept of an endpoint that events of a site are sent to. Not one of its shards:
        there is one of it, into however many the site is split."""
        return f"{self.webhooks}{site}:{name}"

    def of_session(self, site: str, session_id: str) -> ShardKeys:
        """The shard a session of a site lives in."""
        if self.layouts and (known := self.layouts.get(site)):
            return self._shard(known, known.current, site, shard_of(session_id, known.shards))
        if self.shards == 1:
            return self._shard_keys(site)
        return self._shard_keys(tag_of(site, shard_of(session_id, self.shards), self.shards))

    def _shard(self, known: SiteLayouts, layout: Layout, site: str, shard: int) -> ShardKeys:
        tag = tag_of(site, shard, layout.shards, layout.generation)
        if layout is not known.current:
            return self._shard_keys(tag, "folded_" if layout in known.folded else "retired_")
        if not layout.generation:
            return self._shard_keys(tag)
        return self._shard_keys(tag, "", layout.since_ms + self.carried_within_ms)

    def former_of_session(
        self, site: str, session_id: str, now_ms: int | None = None
    ) -> list[ShardKeys]:
        """The shards of earlier layouts in which a session may have lived, newest first; with
        `now_ms` those alone in which something of it can be left."""
        known = self.layouts.get(site)
        if known is None:
            return []
        return [
            self._shard(known, former, site, shard_of(session_id, former.shards))
            for former, layout in reversed([*pairwise(known.in_force)])
            if now_ms is None or layout.since_ms + self.carried_within_ms > now_ms
        ]

    def shares(self, site: str) -> str:
        """Who may read a private site: in a shard of the first layout, however it is split now."""
        return self._shard_keys(tag_of(site, 0, self.shards)).shares

    def in_force(self, site: str, layouts: SiteLayouts) -> list[ShardKeys]:
        """The shards of a site that are written to where it has these layouts."""
        current = layouts.current
        return [self._shard(layouts, current, site, n) for n in range(current.shards)]

    def by_layout(self, site: str) -> list[list[ShardKeys]]:
        """The shards that have numbers of a site by the layout they belong to, the oldest first,
        before them the archive."""
        known = self.layouts.get(site)
        if known is None:
            return [[self._shard_keys(tag_of(site, n, self.shards)) for n in range(self.shards)]]
        archive = [[self.archive(site, known.archive)]] if known.archive else []
        unfolded = known.in_force[len(known.folded) :]
        return archive + [self.of_layouts(site, [layout]) for layout in unfolded]

    def archive(self, site: str, archive: Archive) -> ShardKeys:
        """The shard that is an archive of a site."""
        return self._shard_keys(archive_tag(site, archive.since_ms))

    def archives(self, site: str) -> str:
        """When the archives of a site were begun that are not removed yet: ms -> of how many
        layouts."""
        return self._shard_keys(archive_tag(site, 0)).base + "archives"

    def of_site(self, site: str) -> list[ShardKeys]:
        """All shards that have numbers of a site, in order: the archive first, those of a layout
        before those of a newer one."""
        shards, *more = self.by_layout(site)
        for newer in more:
            shards += newer
        return shards

    def with_sessions(self, site: str) -> list[ShardKeys]:
        """The shards of a site in which somebody may be: all but the archive."""
        return self.of_site(site)[1 if self.layouts_of(site).archive else 0 :]

    def with_logs(self, site: str) -> list[ShardKeys]:
        """The shards of a site in which something may be logged: those of all layouts it ever had,
        for positions in logs have one part for each."""
        folded = self.of_layouts(site, self.layouts_of(site).folded)
        return [*folded, *self.with_sessions(site)]

    def of_layouts(self, site: str, layouts: Iterable[Layout]) -> list[ShardKeys]:
        """The shards of some layouts of a site, as they are by now."""
        known = self.layouts_of(site)
        return [self._shard(known, one, site, n) for one in layouts for n in range(one.shards)]

    def of_tag(self, tag: str) -> ShardKeys:
        """The shard with that tag, as it stands in `due` or in the name of a key."""
        known = self.layouts.get(site_of(tag)) if self.layouts else None
        if known is None:
            return self._shard_keys(tag)
        if is_archive(tag):  # this one, one that it has replaced, or one that is begun
            is_before = known.archive and generation_of(tag) < known.archive.since_ms
            return self._shard_keys(tag, "retired_" if is_before else "")
        generation = generation_of(tag)
        for layout in known.in_force:
            if layout.generation == generation:
                return self._shard(known, layout, site_of(tag), shard_number(tag))
        return self._shard_keys(tag, "retired_" if generation < known.current.generation else "")
