"""Logins, moves, goodbyes, ends and sweeps at once, through three copies: afterwards the log
replays to exactly the users who are here, and every copy says the same."""

import asyncio
import random
from typing import Any

import pytest

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.members import Member
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import Clock, patient_store
from tests.servers import Server

IDS = [f"session-{n:08d}" for n in range(24)]
USERS = ["", "anna", "bob", "carl", "dora"]
SITE = "blog"
RULES = StoreConfig(session_timeout_ms=20_000, heartbeat_dedup_ms=1_000)


async def replayed_users(store: PresenceStore) -> set[str]:
    """Whom the log says to be here."""
    client: Any = store.connection.client
    here: set[Member] = set()
    for keys in store.keys.of_site(SITE):
        for _, event in await client.xrange(keys.events):
            at = Member(event["session"], event["country"], event["path"], event.get("user", ""))
            match event["type"]:
                case "moved":
                    here.remove(at._replace(path=event["from"]))
                case "identified":
                    here.remove(at._replace(user=event["was"]))
            if event["type"] == "left":
                here.remove(at)
            else:
                here.add(at)
    return {member.user for member in here} - {""}


@pytest.mark.parametrize("shards", [1, 3])
async def test_the_log_replays_to_the_users_who_are_here(
    valkey: Server, key_prefix: str, shards: int
) -> None:
    clock, chance = Clock(), random.Random(shards)  # no secret
    keys = Keys(key_prefix, shards, has_users=lambda site: True)
    copies = [patient_store(valkey.url, keys, RULES) for _ in range(3)]
    for copy in copies:
        copy.clock = clock

    async def visitor(copy: PresenceStore) -> None:
        for _ in range(150):
            session_id, dice = chance.choice(IDS), chance.random()
            if dice < 0.75:
                path, user = f"/{chance.randrange(3)}", chance.choice(USERS)
                await copy.heartbeat(SITE, Heartbeat(session_id, path, "DE", "", "", user))
            elif dice < 0.85:
                await copy.leave(SITE, session_id)
            elif dice < 0.9:
                await copy.end(SITE, session_id)
            else:
                clock.advance(chance.randrange(3_000))
                for shard in keys.of_site(SITE):
                    await copy.sweep(shard.tag)

    await asyncio.gather(*(visitor(copy) for copy in copies for _ in range(4)))
    assert clock.now_ms is not None
    # A sweep may be late with its clock, which another visitor has set forward meanwhile: what it
    # takes for a session from the future it has end sooner than its hash.
    slack_ms = 12 * 3_000
    await invariants.check(copies[0], SITE, clock.now_ms, expiry_slack_ms=slack_ms)
    for shard in keys.of_site(SITE):
        await copies[0].sweep(shard.tag)
    here = await replayed_users(copies[0])
    for copy in copies:
        page = await copy.users(SITE, limit=100, cursor=None, path=None)
        assert {row.userId for row in page.users} == here
        assert page.total == await copy.count_users(SITE) == len(here)
        await copy.close()
