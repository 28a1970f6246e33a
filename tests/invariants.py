"""The six invariants of presence in Redis, read with plain commands; true after any history."""

from collections import Counter
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from redis.exceptions import ResponseError

from service.store.keys import ShardKeys
from service.store.members import Member
from service.store.store import PresenceStore

# Kept for ever: page views in all and by page, and who was ever here.
KEPT = ("totals", "top", "uniques")


async def check(store: PresenceStore, site: str, now: int, *, expiry_slack_ms: int = 0) -> None:
    """Asserts all of them, in every shard of a site. `now` in ms. `expiry_slack_ms`: how much
    later than its member a session's hash may expire, as after a MIGRATE, which knows relative
    times only."""
    client: Any = store.connection.client
    for keys in store.keys.of_site(site):
        members = await client.zrange(keys.active, 0, -1, withscores=True)
        await counters_equal_members(client, keys, [member for member, _ in members])
        await members_have_hashes(client, keys, members, now, expiry_slack_ms)
        await log_replays(client, keys, members, store.config.events_maxlen)
        await views_add_up(store, client, keys)
        await keys_expire(client, keys)
        await users_are_here(client, keys, [member for member, _ in members])


async def counters_equal_members(client: Any, keys: ShardKeys, members: list[str]) -> None:
    """1: pages, countries and places count exactly the members of `active`. A session may be there
    twice, on different pages, until the older member is swept."""
    parsed = parse(members)
    assert dict(await client.zrange(keys.pages, 0, -1, withscores=True)) == Counter(
        member.path for member in parsed
    )
    assert dict(await client.zrange(keys.countries, 0, -1, withscores=True)) == Counter(
        member.country for member in parsed
    )
    located: dict[str, str] = await client.hgetall(keys.located)
    assert set(located) <= {member.session for member in parsed}
    assert dict(await client.zrange(keys.places, 0, -1, withscores=True)) == Counter(
        value.partition(" ")[2] for value in located.values()
    )


async def members_have_hashes(
    client: Any, keys: ShardKeys, members: list[tuple[str, float]], now: int, slack_ms: int
) -> None:
    """2: an unexpired member has its hash, of the same path, which expires with it."""
    unexpired = [(member, score) for member, score in members if score > now]
    pipeline = client.pipeline(transaction=False)
    for member, _ in unexpired:
        session = keys.session(member.partition(" ")[0])
        pipeline.hgetall(session)
    hashes = await pipeline.execute() if unexpired else []
    sessions = [keys.session(member.partition(" ")[0]) for member, _ in unexpired]
    lives = await ends_of(client, sessions)
    for (member, score), fields, expires in zip(unexpired, hashes, lives, strict=True):
        (known,) = parse([member])
        assert Member(
            known.session, fields.get("country", "--"), fields["path"], fields.get("user", "")
        ) == known  # fmt: skip
        assert int(fields["since"]) <= int(fields["seen"]) <= now, member
        if slack_ms:
            assert ceil(score) <= expires <= ceil(score) + slack_ms, member
        else:
            assert expires == ceil(score), member


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


async def log_replays(
    client: Any, keys: ShardKeys, members: list[tuple[str, float]], maxlen: int
) -> None:
    """3: replaying `events` from empty, by session, country, path and user, gives exactly
    `active`."""
    entries = await client.xrange(keys.events)
    if len(entries) >= maxlen:
        return  # its beginning may be trimmed
    here: set[str] = set()
    for entry_id, event in entries:
        if event["type"] == "erased":
            continue
        is_at = Member(event["session"], event["country"], event["path"], event.get("user", ""))
        member = str(is_at)
        match event["type"]:
            case "joined":
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
            case "left":
                assert member in here, f"{entry_id}: was not there"
                assert event["reason"] in ("timeout", "leave", "ended"), entry_id
                here.remove(member)
            case _:
                raise AssertionError(f"{entry_id}: {event}")
    assert here == {member for member, _ in members}


async def views_add_up(store: PresenceStore, client: Any, keys: ShardKeys) -> None:
    """4: totals, top and the stream count the same views, one per session, path and window."""
    totals: dict[str, str] = await client.hgetall(keys.totals)
    total = int(totals.get("views", 0))
    assert total == sum(score for _, score in await client.zrange(keys.top, 0, -1, withscores=True))
    entries = await client.xrange(keys.views)
    if total < store.config.views_maxlen:
        assert total == len(entries)
    assert len(entries) <= total
    moments: dict[tuple[str, str], list[int]] = {}
    for _, view in entries:
        moments.setdefault((view["session"], view["path"]), []).append(int(view["at"]))
    for viewed, at in moments.items():
        for earlier, later in pairwise(at):
            # A clock that was set back begins anew.
            assert later < earlier or later - earlier >= store.config.view_dedup_ms, viewed


async def users_are_here(client: Any, keys: ShardKeys, members: list[str]) -> None:
    """6: a user is here exactly when a session of theirs is in `active`, on exactly their pages;
    who is not here was last seen at a moment that is kept."""
    parsed = [member for member in parse(members) if member.user]
    rows: dict[str, str] = await client.hgetall(keys.users)
    seen = dict(await client.zrange(keys.user_seen, 0, -1, withscores=True))
    assert Counter(
        (user, session_id, country, path)
        for user, row in rows.items()
        for session_id, _, country, path in (text.split(" ", 3) for text in row.split("\t")[4:])
    ) == Counter((member.user, member.session, member.country, member.path) for member in parsed)
    assert await client.zrange(keys.user_pages, 0, -1) == sorted(
        {f"{member.path}\t{member.user}" for member in parsed}, key=str.encode
    )
    assert rows.keys() - seen.keys() == {member.user for member in parsed}
    assert seen == {user: int(rows[user].split("\t")[0]) for user in seen}


def parse(members: list[str]) -> list[Member]:
    """Members in their parts."""
    parsed = [Member.parse(text) for text in members]
    assert None not in parsed
    return [member for member in parsed if member]


async def keys_expire(client: Any, keys: ShardKeys) -> None:
    """5: no key without an end, except those that are kept."""
    names = [name async for name in client.scan_iter(match=f"{keys.base}*", count=1000)]
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.pttl(name)
    lives = await pipeline.execute() if names else []
    kept = {keys.base + name for name in KEPT}
    for name, life_ms in zip(names, lives, strict=True):
        assert (life_ms == -1) == (name in kept), f"{name} lives {life_ms} ms"
