"""What the store answers with, as msgspec structs: the JSON of the HTTP interface."""

from http import HTTPStatus
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.sites import SITE_PATTERN as SITE_PATTERN

Count = Annotated[int, Meta(ge=0)]
Moment = Annotated[int, Meta(ge=0, description="ms since the Unix epoch, UTC")]
Uniques = Annotated[int, Meta(ge=0, description="an estimate, with a standard error of 0.81 %")]
Duration = Annotated[int, Meta(ge=0, description="ms")]


def _one_of(*words: str) -> Meta:
    return Meta(extra_json_schema={"enum": list(words)})


class PathCount(Struct, frozen=True):
    """How many are on a page."""

    path: str
    count: Count


class PathViews(Struct, frozen=True):
    """How often a page was viewed. Beyond MAX_PATHS the pages least viewed are counted together, as
    `__other__`, and one that was among them has too few `views`, by at most all views divided by
    MAX_PATHS. `pageType` is the last that was given, where sites are split in any one shard."""

    path: str
    views: Count
    pageType: str | None


class CountryCount(Struct, frozen=True):
    """How many are in a country; null where it is not known."""

    country: str | None
    count: Count


class Location(Struct, frozen=True):
    """How many are at a place, to one decimal of a degree."""

    latitude: float
    longitude: float
    city: str | None
    country: str | None
    count: Count


class SourceCount(Struct, frozen=True):
    """How many came from a source; null: directly."""

    source: str | None
    count: Count


class MediumCount(Struct, frozen=True):
    """How many came by a medium."""

    medium: str
    count: Count


class CampaignCount(Struct, frozen=True):
    """How many came by a campaign."""

    campaign: str
    count: Count


class DeviceCount(Struct, frozen=True):
    """How many have such a device; null: it is not known."""

    device: Annotated[str, _one_of("desktop", "phone", "tablet")] | None
    count: Count


class Stats(Struct, frozen=True):
    """A site as it was at `asOf`. `activeUsers` is there where the site knows who somebody is: how
    many of them are here. How people came is there where somebody is here whose page says it; in
    each of these lists `__other__` is all beyond the first 50, and what had no name on its day."""

    activeVisitors: Count
    activeByPath: list[PathCount]
    totalPageViews: Count
    uniqueVisitors: Uniques
    uniqueVisitorsToday: Uniques
    trackingSince: Moment | None
    pageStats: list[PathViews]
    totalPaths: Count
    activeByCountry: list[CountryCount]
    visitorLocations: list[Location]
    sessionTimeoutMs: Duration
    sweepBacklog: Count
    asOf: Moment
    activeUsers: Count | UnsetType = UNSET
    activeBySource: list[SourceCount] | UnsetType = UNSET
    activeByMedium: list[MediumCount] | UnsetType = UNSET
    activeByCampaign: list[CampaignCount] | UnsetType = UNSET
    activeByDevice: list[DeviceCount] | UnsetType = UNSET


class SessionEvent(Struct, frozen=True, omit_defaults=True):
    """Somebody, it is not said who, has come, moved on, or gone."""

    type: Annotated[str, _one_of("joined", "moved", "left")]
    path: Annotated[str, Meta(description="the page; of one who left, the last")]
    at: Moment
    from_: str | None = field(default=None, name="from")
    country: str | None = None
    reason: Annotated[str, _one_of("timeout", "leave", "ended")] | None = None


class StatsWithFeed(Stats, frozen=True, kw_only=True):
    """A site as it was at `asOf`, and the last that happened before, oldest first."""

    feed: list[SessionEvent]


class Change(Struct, frozen=True, omit_defaults=True):
    """What has changed at a site since the event before.

    `activeByPath` has only the pages that changed, 0 where nobody is left; `feed`, which is there
    where it was asked for, the newest of what happened. How people came is there, all of it, where
    pages say it and somebody came or went.
    """

    activeVisitors: Count
    activeByPath: list[PathCount]
    totalPageViews: Count
    uniqueVisitors: Uniques
    arrivals: Count
    departures: Count
    asOf: Moment
    feed: list[SessionEvent] | None = None
    activeBySource: list[SourceCount] | UnsetType = UNSET
    activeByMedium: list[MediumCount] | UnsetType = UNSET
    activeByCampaign: list[CampaignCount] | UnsetType = UNSET
    activeByDevice: list[DeviceCount] | UnsetType = UNSET


class Active(Struct, frozen=True):
    """How many are here, or on the page asked for."""

    activeVisitors: Count
    asOf: Moment


class Counts(Struct, frozen=True):
    """The answer to a heartbeat that asks for counts."""

    status: Annotated[str, _one_of("created", "moved", "refreshed", "duplicate")]
    activeVisitors: Count
    activeOnPath: Count
    heartbeatIntervalMs: Duration
    asOf: Moment


_BatchOutcome = Annotated[
    str, _one_of("created", "moved", "refreshed", "duplicate", "invalid", "limited", "failed")
]


class ItemError(Struct, frozen=True):
    """What is wrong with a heartbeat of a batch: its index from 0 on, the field (`heartbeats`: it
    is not an object at all), and what would be right."""

    index: Count
    field: str
    detail: str


class Limited(Struct, frozen=True):
    """Why heartbeats of a batch were not written, and when they may be sent again."""

    detail: str
    retryAfterMs: Duration


class BatchResult(Struct, frozen=True, omit_defaults=True):
    """One outcome per heartbeat, in order. `invalid`: `errors` says what is wrong with it;
    `limited`: without a token, the address has opened too many sessions, and `limited` says when to
    come again; `failed`: a key of that session has a wrong type. Nothing was written of it."""

    results: list[_BatchOutcome]
    errors: list[ItemError]
    limited: Limited | None = None


class PointValues(Struct, frozen=True):
    """The most that were active at once, the views, and of days the unique visitors (UTC)."""

    peakActive: Count | None
    views: Count | None
    uniqueVisitors: Uniques | UnsetType | None = UNSET


class Point(Struct, frozen=True):
    """One minute, hour or day, or several. A day before tracking began is null. `previous` is what
    was asked to compare with; null: not all of that is known, or the point is not over."""

    at: Moment
    peakActive: Count | None
    views: Count | None
    uniqueVisitors: Uniques | UnsetType | None = UNSET
    previous: PointValues | UnsetType | None = UNSET


class History(Struct, frozen=True):
    """The last minutes, hours or days, empty ones included, oldest first; the last is not over yet.
    `trackingSince`: when the first page view was; null: there was none."""

    resolutionMs: Duration
    points: list[Point]
    trackingSince: Moment | None
    asOf: Moment


class Arrivals(Struct, frozen=True):
    """How the sessions came that began within the last days (UTC), most first. Each day has names
    for the first 200 of a kind; `__other__` is the rest."""

    sources: list[SourceCount]
    mediums: list[MediumCount]
    campaigns: list[CampaignCount]
    devices: list[DeviceCount]
    days: Count
    asOf: Moment


class SiteCount(Struct, frozen=True):
    """A site and how many are on it; null: Redis cannot say, for the
    node that holds it is down or a key has a wrong type."""

    site: str
    activeVisitors: Count | None


class SiteList(Struct, frozen=True):
    """Some of the sites known, by name; `nextCursor` is null at the end."""

    sites: list[SiteCount]
    nextCursor: str | None
    asOf: Moment


class Share(Struct, frozen=True):
    """A share token that holds; the token itself is not kept."""

    name: str
    madeAt: Moment


class ShareList(Struct, frozen=True):
    """The shares of a site, by name."""

    shares: list[Share]


class NewShare(Struct, frozen=True):
    """A share that has just been made, with its token, which is told this once."""

    name: str
    madeAt: Moment
    token: str


class Session(Struct, frozen=True, omit_defaults=True):
    """One active session. For operators only."""

    sessionId: str
    currentPath: str
    lastSeen: Moment
    since: Moment
    expiresAt: Moment
    pageType: str | None = None
    country: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    userId: str | None = None


class SessionPage(Struct, frozen=True):
    """Some active sessions, those first that expire first, where sites are split one shard after
    the other; `nextCursor` is null at the end."""

    sessions: list[Session]
    nextCursor: str | None
    asOf: Moment


class UserRow(Struct, frozen=True):
    """Somebody who is here, however many tabs and devices they have. `since`: since when the
    oldest of their sessions here has been theirs; `lastSeen`: when one of them last was; `paths`
    in order."""

    userId: str
    name: str | None
    avatar: str | None
    since: Moment
    lastSeen: Moment
    sessions: Count
    paths: list[str]


class UserPresence(UserRow, frozen=True, kw_only=True):
    """A user who has come or moved, in a live stream, and how many users there are."""

    asOf: Moment
    totalUsers: Count


class UserGone(Struct, frozen=True):
    """A user who has gone, in a live stream, and how many users are left."""

    userId: str
    lastSeen: Moment
    asOf: Moment
    totalUsers: Count


class UserPage(Struct, frozen=True):
    """Some of the users who are here, by page and then by id, each where their first page stands;
    `nextCursor` is null at the end."""

    users: list[UserRow]
    total: Count
    nextCursor: str | None
    asOf: Moment


class UserStatus(Struct, frozen=True):
    """Whether somebody is here, and when they last were; null: within what is kept, never."""

    userId: str
    online: bool
    lastSeen: Moment | None


class UserStatuses(Struct, frozen=True):
    """The users that were asked for, in order."""

    statuses: list[UserStatus]
    asOf: Moment


class UserDetails(Struct, frozen=True):
    """What is known of a user; of one who is not here `since` is null and `paths` empty."""

    userId: str
    name: str | None
    avatar: str | None
    online: bool
    since: Moment | None
    lastSeen: Moment
    sessions: Count
    paths: list[str]
    asOf: Moment


class View(Struct, frozen=True):
    """One page view. For operators only."""

    id: str
    at: Moment
    sessionId: str
    path: str
    pageType: str | None
    referrer: str | None
    country: str | None


class ViewPage(Struct, frozen=True):
    """Some page views in order; `next` is what to give as `after` for those that follow."""

    views: list[View]
    next: str


class LoggedEvent(Struct, frozen=True, omit_defaults=True):
    """What happened to a session, by the log. For operators and the site's own backend.

    `identified`: it goes on as another user, or as nobody. `erased` is of nobody: entries before it
    are gone, for somebody was erased or the site repaired. `at` is the moment; of a `left` the true
    one, before it was logged. `from` and `fromUserId`: what `path` and `userId` were before.
    `gapBefore`: the log does not reach back to what was read before. `next`: what to give as
    `after` to go on behind this one; only in NDJSON, with the last of each page.
    """

    id: str
    at: Moment
    type: Annotated[str, _one_of("joined", "moved", "identified", "left", "erased")]
    sessionId: str | None = None
    path: str | None = None
    from_: str | None = field(default=None, name="from")
    country: str | None = None
    userId: str | None = None
    fromUserId: str | None = None
    reason: Annotated[str, _one_of("timeout", "leave", "ended")] | None = None
    gapBefore: bool = False
    next: str | None = None


class EventPage(Struct, frozen=True):
    """Some of what happened, in the order of the log; `next` is what to give as `after` for what
    follows, of which there is some already if `more`. `truncatedBefore`, where the log does not
    reach back to `after`: the id of the event before which some may be missing."""

    events: list[LoggedEvent]
    next: str
    more: bool
    truncatedBefore: str | UnsetType = UNSET


class WebhookFailure(Struct, frozen=True):
    """A message that was not taken: when, and why."""

    at: Moment
    reason: str


class WebhookStatus(Struct, frozen=True):
    """How sending to an endpoint goes. `origin` is all that is told of its address. `served`:
    whether a copy of the service sends to it now; not while it is `paused`, after a 410, nor before
    the service was started with it. `lag`: the age of the oldest entry of the log that is not dealt
    with; null: the log is not followed, such as before the first time. `delivered` and `dropped`
    count events."""

    name: str
    origin: str
    events: list[str]
    format: Annotated[str, _one_of("standard", "slack")]
    served: bool
    paused: bool
    lag: Duration | None
    lastSuccess: Moment | None
    lastError: WebhookFailure | None
    delivered: Count
    dropped: Count


class WebhookList(Struct, frozen=True):
    """The webhooks of a site, in the order of the sites file."""

    webhooks: list[WebhookStatus]
    asOf: Moment


class WebhookTest(Struct, frozen=True):
    """What came of a test: the status it was answered, null where there was no answer, and, unless
    it was taken, the reason."""

    taken: bool
    status: int | None
    reason: str | None
    took: Duration


class Erased(Struct, frozen=True):
    """What was erased of a session or a user: sessions that were here and are ended, and entries in
    the logs of events and of page views."""

    sessionsEnded: Count
    eventsErased: Count
    viewsErased: Count


class Ready(Struct, frozen=True):
    """A write has reached Redis."""

    status: Annotated[str, _one_of("ready")]


class Problem(Struct, frozen=True, omit_defaults=True):
    """An error, by RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


# RFC 9110's names; http.HTTPStatus has others for 413 and 422 before Python 3.13.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


def title_of(status: int) -> str:
    """The title of a problem: its status in words."""
    return _TITLES.get(status) or HTTPStatus(status).phrase
