"""What a live stream is told: a snapshot, then updates, in a slot that holds the newest only."""

import asyncio
from dataclasses import dataclass
from itertools import zip_longest

import msgspec
from msgspec import UNSET

from service.live.user_changes import UserChanges, UserPageRead
from service.live.user_slot import UserSlot
from service.models import PathCount, SessionEvent, Stats, StatsWithFeed
from service.store.merge import EVENTS_SHOWN, Changes, add_feed
from service.store.paging import BEGINNING, padded, stream_position
from service.store.sources import CAME

MOST_KEPT = 500  # pages in an update that waits for a slow client; beyond them it is a snapshot


@dataclass(frozen=True, slots=True)
class SubscribeOptions:
    """What one client wants to be told: what happened as well, and always how many are on a page,
    which may not be among those with most; and who is here, or on that page. Who may know no more
    than that is not told the site's `numbers`."""

    feed: bool = False
    path: str | None = None
    users: bool = False
    numbers: bool = True


class Snapshot:
    """All numbers of a site, and where its logs stood. All streams that begin with it share it,
    whatever page each of them asks for.

    Args:
        feed: the last that happened, oldest first.

    `counts`: how many are on pages that clients ask for and the stats do not list; whoever has
    counted them adds to it.
    """

    def __init__(
        self, stats: Stats, positions: list[str], feed: list[SessionEvent] | None = None
    ) -> None:
        self.stats = stats
        self.positions = positions
        self.counts: dict[str, int] = {}
        self._feed = feed or []
        self._listed = frozenset(row.path for row in stats.activeByPath)
        self._encoded: dict[bool, tuple[bytes, bytes]] = {}

    @property
    def as_of(self) -> int:
        """Its moment, ms."""
        return self.stats.asOf

    def tells(self, path: str) -> bool:
        """Whether it says how many are on a page."""
        return path in self._listed or path in self.counts

    def encoded(self, options: SubscribeOptions) -> bytes:
        """As an event of a stream. It is kept once, not once for each page: for thousands of
        streams, each of another page, that would be hundreds of megabytes."""
        if not options.numbers:
            return _moment("snapshot", self.as_of)
        head, tail = self._parts(options.feed)
        if options.path is None or options.path not in self.counts:
            return head + tail
        # msgspec does not encode what is more than a str, such as a PagePath.
        row = msgspec.json.encode(PathCount(str(options.path), self.counts[options.path]))
        return b"".join((head, b"," if self._listed else b"", row, tail))

    def _parts(self, with_feed: bool) -> tuple[bytes, bytes]:
        """The event up to the end of `activeByPath`, and from there on."""
        if with_feed not in self._encoded:
            stats = self.stats
            if with_feed:
                stats = StatsWithFeed(**msgspec.structs.asdict(stats), feed=self._feed)
            event = _event("snapshot", self.positions, msgspec.json.encode(stats))
            rows = b'"activeByPath":' + msgspec.json.encode(stats.activeByPath)
            end = event.index(rows) + len(rows) - len(b"]")
            self._encoded[with_feed] = event[:end], event[end:]
        return self._encoded[with_feed]


class Delta:
    """What has changed; several of them can become one."""

    def __init__(self, changes: Changes) -> None:
        self.change = changes.change
        self.positions = changes.positions
        self._log = changes.log
        self._encoded: dict[bool, bytes] = {}

    def encoded(self, options: SubscribeOptions) -> bytes:
        """As an event of a stream, the same bytes for all subscribers."""
        if not options.numbers:
            return _moment("change", self.as_of)
        with_feed = options.feed
        if with_feed not in self._encoded:
            change = self.change
            if not with_feed:
                change = msgspec.structs.replace(change, feed=None)
            self._encoded[with_feed] = _event("change", self.positions, msgspec.json.encode(change))
        return self._encoded[with_feed]

    def after(self, positions: list[str], as_of: int) -> "Delta | None":
        """The part of this delta that a message of that moment, with these positions, does not
        include; None: nothing. Counts are of a moment, but no event may be sent twice."""
        known = [stream_position(one) for one in padded(positions, len(self.positions))]
        log = [e for e in self._log if stream_position(e.position) > known[e.shard]]
        if not log and self.change.asOf < as_of:
            return None
        if len(log) == len(self._log):
            return self
        return Delta(Changes(add_feed(log, self.change), self.positions, log))

    @property
    def as_of(self) -> int:
        """Its moment, ms."""
        return self.change.asOf

    def then(self, later: "Delta") -> "Delta | None":
        """Merges a later delta into this one; None: the two change more pages than are kept."""
        counts = {row.path: row.count for row in self.change.activeByPath}
        counts |= {row.path: row.count for row in later.change.activeByPath}
        if len(counts) > MOST_KEPT:
            return None
        feed = [*(self.change.feed or ()), *(later.change.feed or ())]
        came = self.change if later.change.activeBySource is UNSET else later.change
        merged = msgspec.structs.replace(
            later.change,
            **{name: getattr(came, name) for name in CAME},
            activeByPath=[PathCount(path, count) for path, count in counts.items()],
            arrivals=self.change.arrivals + later.change.arrivals,
            departures=self.change.departures + later.change.departures,
            feed=feed[-EVENTS_SHOWN:],
        )
        return Delta(Changes(merged, later.positions, []))


def _event(name: str, positions: list[str], data: bytes) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), ",".join(positions).encode(), data)


def _moment(name: str, as_of: int) -> bytes:
    """An event that tells nothing yet but when it was."""
    return b'event: %s\ndata: {"asOf":%d}\n\n' % (name.encode(), as_of)


Message = Snapshot | Delta


class Subscriber:
    """One stream's slot: a snapshot, a change after it, or both, that its client was not sent.

    Until it is started with what its client has to know first, what it is told waits.
    """

    def __init__(self, options: SubscribeOptions) -> None:
        self.options = options
        self._users = UserSlot(options.path) if options.users else None
        self._early: list[Message] | None = []
        # Positions and moment of the first message. It is not kept itself, for as long as it lasts.
        self._first: tuple[list[str], int] | None = None
        self._snapshot: Snapshot | None = None
        self._update: Delta | None = None
        self._is_closed = False
        self._needs_snapshot = False
        self._ready = asyncio.Event()

    def start(self, first: Message, page: UserPageRead | None = None) -> None:
        """Begins with a snapshot, or with what was missed; a stream of users with the page of them
        as well. Of what is told from the moment of subscription on, some may be part of it
        already."""
        early, self._early = self._early or [], None
        self._first = None
        self._push(first)
        self._first = first.positions, first.as_of
        for message in early:
            self.push(message)
        if self._users and page and not self._users.start(page):
            self.begin_anew()

    def push(self, message: Message) -> None:
        """What is new; after a snapshot, what waited before it is part of it."""
        if self._early is not None:
            self._early.append(message)
            return
        first = self._first
        if first is not None:
            if isinstance(message, Snapshot):
                self._first = None
            else:
                if all(
                    stream_position(position) >= stream_position(known)
                    for position, known in zip_longest(
                        message.positions, first[0], fillvalue=BEGINNING
                    )
                ):
                    self._first = None  # from here on all is new
                rest = message.after(*first)
                if rest is None:
                    return
                message = rest
        self._push(message)

    def _push(self, message: Message) -> None:
        if self._needs_snapshot:
            return
        if isinstance(message, Snapshot):
            self._snapshot, self._update = message, None
        elif self._update is None:
            self._update = message
        else:
            self._update = self._update.then(message)
            if self._update is None:  # its client is so slow that a snapshot is less
                self.begin_anew()
        self._ready.set()

    def push_users(self, changes: UserChanges) -> None:
        """What is new of users, to a stream of them."""
        if self._users is None or self._needs_snapshot:
            return
        if not self._users.push(changes):
            self.begin_anew()
        elif self._users.is_waiting:
            self._ready.set()

    def begin_anew(self) -> None:
        """Gives up what waits: only a snapshot tells what is."""
        self._snapshot = self._update = None
        self._needs_snapshot = True
        if self._users:
            self._users.restart()
        self._ready.set()

    def close(self) -> None:
        """There will be no more; what waits is given up."""
        self._is_closed = True
        self._ready.set()

    async def take(self) -> bytes | None:
        """What is to be sent, as soon as there is anything; empty: it is to be caught up again;
        None: the end."""
        while True:
            await self._ready.wait()
            if self._is_closed:
                return None
            self._ready.clear()
            if self._needs_snapshot:
                self._needs_snapshot, self._early = False, []
                if self._users:
                    self._users.restart()
                return b""
            if events := self._take():
                return events

    def _take(self) -> bytes:
        """What is to be sent; empty: a user has come and gone again meanwhile."""
        snapshot, update, self._snapshot, self._update = self._snapshot, self._update, None, None
        begins = snapshot.encoded(self.options) if snapshot else b""
        goes_on = update.encoded(self.options) if update else b""
        return self._users.take(begins, goes_on) if self._users else begins + goes_on
