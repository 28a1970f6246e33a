"""The six invariants of presence in Redis, read with plain commands; true after any history."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from redis.exceptions import ResponseError

from service.models import LoggedEvent
from service.store.config import StoreConfig
from service.store.keys import ShardKeys
from service.store.members import Member
from service.store.store import PresenceStore

# Kept for ever: page views in all and by page, and who was ever here.
ENDLESS = ("totals", "top", "top_order", "uniques")


@dataclass(frozen=True)
class Shard:
    """All that Redis keeps of a shard of a site, key by key, but `uniques`; of `sessions`, those of
    members that have not expired, with when their keys expire, in ms; and how long each key
    lives."""

    active: list[tuple[str, float]]
    pages: dict[str, float]
    countries: dict[str, float]
    located: dict[str, str]
    places: dict[str, float]
    events: list[tuple[str, dict[str, str]]]
    totals: dict[str, str]
    top: dict[str, float]
    top_order: dict[str, float]
    types: dict[str, str]
    views: list[tuple[str, dict[str, str]]]
    users: dict[str, str]
    user_seen: dict[str, float]
    user_pages: list[str]
    sessions: list[tuple[dict[str, str], Any]]
    lives_ms: dict[str, int]

    @property
    def members(self) -> list[Member]:
        """Who is in `active`, expired or not."""
        return parse([member for member, _ in self.active])


async def read(client: Any, keys: ShardKeys, now: int) -> Shard:
    """Reads a shard in few round trips, of which most of a check would be else."""
    names = [name async for name in client.scan_iter(match=f"{keys.base}*", count=1000)]
    pipeline = client.pipeline(transaction=False)
    for name in (
        keys.active, keys.pages, keys.countries, keys.places, keys.top, keys.top_order,
        keys.user_seen,
    ):  # fmt: skip
        pipeline.zrange(name, 0, -1, withscores=True)
    for name in (keys.located, keys.totals, keys.types, keys.users):
        pipeline.hgetall(name)
    pipeline.xrange(keys.events)
    pipeline.xrange(keys.views)
    pipeline.zrange(keys.user_pages, 0, -1)
    for name in names:
        pipeline.pttl(name)
    (
        active, pages, countries, places, top, top_order, user_seen, located, totals, types, users,
        events, views, user_pages, *lives,
    ) = await pipeline.execute()  # fmt: skip
    sessions = [keys.session(member.partition(" ")[0]) for member, _ in unexpired(active, now)]
    pipeline = client.pipeline(transaction=False)
    for name in sessions:
        pipeline.hgetall(name)
    hashes = await pipeline.execute() if sessions else []
    ends = await ends_of(client, sessions)
    return Shard(
        active, dict(pages), dict(countries), located, dict(places), events, totals, dict(top),
        dict(top_order), types, views, users, dict(user_seen), user_pages,
        list(zip(hashes, ends, strict=True)), dict(zip(names, lives, strict=True)),
    )  # fmt: skip


async def check(
    store: PresenceStore,
    site: str,
    now: int,
    *,
    expiry_slack_ms: int = 0,
    views_erased: bool = False,
) -> list[Shard]:
    """Asserts all of them, in every shard of a site; what was read of each. `now` in ms.
    `expiry_slack_ms`: how much later than its member a session's hash may expire, as after a
    MIGRATE, which knows relative times only. `views_erased`: whether some that are counted are no
    longer in the log."""
    shards = []
    with_logs = {keys.tag for keys in store.keys.with_logs(site)}
    for keys in store.keys.of_layouts(site, store.keys.layouts_of(site).folded):
        shard = await read(store.connection.client, keys, now)
        log_replays(shard, store.config.events_maxlen)  # to nobody
        assert not any((shard.active, shard.pages, shard.totals, shard.top))
        shards.append(shard)
    for keys in store.keys.of_site(site):
        shard = await read(store.connection.client, keys, now)
        counters_equal_members(shard)
        members_have_hashes(shard, now, expiry_slack_ms)
        log_replays(shard, store.config.events_maxlen)
        views_add_up(shard, store.config, has_all=not views_erased and keys.tag in with_logs)
        keys_expire(shard, keys)
        users_are_here(shard)
        shards.append(shard)
    return shards


def counters_equal_members(shard: Shard) -> None:
    """1: pages, countries and places, among them how sessions came, count exactly the members of
    `active`. A session may be there twice, on different pages, until the older member is swept."""
    members = shard.members
    assert shard.pages == Counter(member.path for member in members)
    assert shard.countries == Counter(member.country for member in members)
    assert set(shard.located) <= {member.session for member in members}
    noted = [value.partition(" ")[2].split("\t") for value in shard.located.values()]
    assert shard.places == Counter(name for names in noted for name in names)


def members_have_hashes(shard: Shard, now: int, slack_ms: int) -> None:
    """2: an unexpired member has its hash, of the same path, which expires with it."""
    for (member, score), (fields, expires) in zip(
        unexpired(shard.active, now), shard.sessions, strict=True
    ):
        (known,) = parse([member])
        assert Member(
            known.session, fields.get("country", "--"), fields["path"], fields.get("user", "")
        ) == known  # fmt: skip
        assert int(fields["since"]) <= int(fields["seen"]) <= now, member
        if slack_ms:
            assert ceil(score) <= expires <= ceil(score) + slack_ms, member
        else:
            assert expires == ceil(score), member


def unexpired(active: list[tuple[str, float]], now: int) -> list[tuple[str, float]]:
    """The members that expire after `now`, with when."""
    return [(member, score) for member, score in active if score > now]


async def ends_of(client: Any, names: list[str]) -> list[Any]:
    """When keys expire, ms. Redis 6.2 can only tell how long they live, to a millisecond or two:
    of it, what is equal to any moment as near as that."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.execute_command("PEXPIRETIME", name)
    replies = await pipeline.execute(raise_on_error=False) if names else []
    if not any(isinstance(reply, ResponseError) for reply in replies):
        return list(replies)
    return [pytest.approx(await client.eval(_END, 1, name), abs=2) for name in names]


_END = """
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000) + redis.call('PTTL', KEYS[1])
"""


def log_replays(shard: Shard, maxlen: int) -> None:
    """3: replaying `events` from empty, by session, country, path and user, gives exactly
    `active`."""
    if len(shard.events) >= maxlen:
        return  # its beginning may be trimmed
    assert here_after(shard.events) == {member for member, _ in shard.active}


def here_after(events: Iterable[tuple[str, Mapping[str, str]]]) -> set[str]:
    """The members that a whole log leaves in `active`, of which each entry fits what was before."""
    here: set[str] = set()
    for entry_id, event in events:
        if event["type"] == "erased":
            continue
        is_at = Member(event["session"], event["country"], event["path"], event.get("user", ""))
        member = str(is_at)
        match event["type"]:
            case "joined" | "carried_in":
                assert member not in here, f"{entry_id}: joined twice"
                here.add(member)
            case "moved":
                origin = str(is_at._replace(path=event["from"]))
                assert origin in here, f"{entry_id}: moved without being there"
                assert member not in here, f"{entry_id}: moved to where it was"
                here.remove(origin)
                here.add(member)
            case "identified":
                before = str(is_at._replace(user=event["was"]))
                assert before in here, f"{entry_id}: identified without being there"
                assert member not in here, f"{entry_id}: was known"
                here.remove(before)
                here.add(member)
            case "carried_out":
                assert member in here, f"{entry_id}: was not there"
                here.remove(member)
            case "left":
                assert member in here, f"{entry_id}: was not there"
                assert event["reason"] in ("timeout", "leave", "ended"), entry_id
                here.remove(member)
            case _:
                raise AssertionError(f"{entry_id}: {event}")
    return here


def as_logged(event: LoggedEvent) -> tuple[str, dict[str, str]]:
    """The entry of the log that an event was told of, but for its shard."""
    fields = {
        "type": event.type,
        "session": event.sessionId,
        "path": event.path,
        "from": event.from_,
        "at": str(event.at),
        "country": event.country or "--",
        "user": event.userId,
        "reason": event.reason,
        "was": event.fromUserId or ("" if event.type == "identified" else None),
    }
    known = {name: text for name, text in fields.items() if text is not None}
    return event.id.partition("/")[0], known


def views_add_up(shard: Shard, config: StoreConfig, *, has_all: bool) -> None:
    """4: totals, top and the stream count the same views, one per session, path and window."""
    total = int(shard.totals.get("views", 0))
    assert total == sum(shard.top.values())
    assert shard.types.keys() <= shard.top.keys()  # a type goes with its row
    assert shard.top_order.keys() in (set(), shard.top.keys() - {"__other__"})
    for path, stood in shard.top_order.items():
        part = stood % 1
        taken = round(part * 10_000_000 / (1 - part))  # exact up to 30 million
        assert taken < stood < shard.top[path] + taken + 1, path
    if total < config.views_maxlen and has_all:
        assert total == len(shard.views)
    assert len(shard.views) <= total
    moments: dict[tuple[str, str], list[int]] = {}
    for _, view in shard.views:
        moments.setdefault((view["session"], view["path"]), []).append(int(view["at"]))
    for viewed, at in moments.items():
        for earlier, later in pairwise(at):
            # A clock that was set back begins anew.
            assert later < earlier or later - earlier >= config.view_dedup_ms, viewed


def users_are_here(shard: Shard) -> None:
    """6: a user is here exactly when a session of theirs is in `active`, on exactly their pages;
    who is not here was last seen at a moment that is kept."""
    members = [member for member in shard.members if member.user]
    rows, seen = shard.users, shard.user_seen
    assert Counter(
        (user, session_id, country, path)
        for user, row in rows.items()
        for session_id, _, country, path in (text.split(" ", 3) for text in row.split("\t")[4:])
    ) == Counter((member.user, member.session, member.country, member.path) for member in members)
    assert shard.user_pages == sorted(
        {f"{member.path}\t{member.user}" for member in members}, key=str.encode
    )
    assert rows.keys() - seen.keys() == {member.user for member in members}
    assert seen == {user: int(rows[user].split("\t")[0]) for user in seen}


def parse(members: list[str]) -> list[Member]:
    """Members in their parts."""
    parsed = [Member.parse(text) for text in members]
    assert None not in parsed
    return [member for member in parsed if member]


def keys_expire(shard: Shard, keys: ShardKeys) -> None:
    """5: no key without an end, except those that are kept."""
    endless = {keys.base + name for name in ENDLESS if name != "uniques"} | {keys.uniques}
    for name, life_ms in shard.lives_ms.items():
        assert (life_ms == -1) == (name in endless), f"{name} lives {life_ms} ms"
