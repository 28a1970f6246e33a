"""Sessions, users, logs and whole sites go while visitors come, move, log in and say goodbye: what
is left fits together."""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.errors import StoreBusy
from service.ops.delete_site import delete_site
from service.ops.doctor import Doctor
from service.store.retention import Retention
from service.store.site_counts import SiteCounts
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import Clock, MakeStore, now_of, on_servers

SITE, USERS = "team", ["", "anna", "bob"]
IDS = [f"session-{n:08d}" for n in range(12)]
SOURCES = [
    {"sources": "source example.org\tdevice phone"},
    {"city": "Köln", "latitude": "50.94", "longitude": "6.96"},
    {},
]


async def erase_sessions(store: PresenceStore, chance: random.Random) -> None:
    await store.erase_session(SITE, chance.choice(IDS))


async def erase_users(store: PresenceStore, chance: random.Random) -> None:
    await store.erase_user(SITE, chance.choice(USERS[1:]))


async def delete(store: PresenceStore, chance: random.Random) -> None:
    await delete_site(store.connection, store.keys, SITE, lambda keys: None)


async def trim(store: PresenceStore, chance: random.Random) -> None:
    await Retention(store._runner, SiteCounts(store._runner), views_days=1, events_days=0).trim()


Way = Callable[[PresenceStore, random.Random], Coroutine[Any, Any, None]]


@on_servers
@pytest.mark.parametrize("has_users", [False, True])
@pytest.mark.parametrize(
    "ways", [[erase_sessions], [delete], [erase_sessions, erase_users, delete, trim]]
)
async def test_what_is_left_fits_together(
    make_store: MakeStore, ways: list[Way], has_users: bool
) -> None:
    clock, chance = Clock(None), random.Random(len(ways))  # no secret
    rules = {"heartbeat_dedup_ms": 0, "session_timeout_ms": 60_000, "leave_grace_ms": 0}
    stores = [make_store(clock, shards=3, has_users=has_users, **rules) for _ in range(3)]
    visits = 0

    async def visitor(store: PresenceStore) -> None:
        nonlocal visits
        for _ in range(60):
            session, dice = chance.choice(IDS), chance.random()
            if dice < 0.8:
                known = chance.choice(SOURCES)
                beat = Heartbeat(
                    session, f"/{chance.randrange(4)}", "DE", "", json.dumps(known),
                    chance.choice(USERS) if has_users else "", "sources" in known,
                )  # fmt: skip
                await store.heartbeat(SITE, beat)
            elif dice < 0.9:
                await store.leave(SITE, session)
            else:
                await store.end(SITE, session)
            visits += 1

    async def eraser(way: Way, visiting: asyncio.Future[Any]) -> None:
        store = chance.choice(stores)
        while not visiting.done():
            with contextlib.suppress(StoreBusy):
                await way(store, chance)

    async def look() -> None:
        await invariants.check(stores[0], SITE, await now_of(stores[0]), views_erased=True)
        doctor = Doctor(stores[0].connection, stores[0].keys, stores[0].config)
        assert [str(finding) for finding in (await doctor.check()).findings] == []

    visiting = asyncio.gather(*(visitor(store) for store in stores for _ in range(2)))
    erasing = [eraser(way, visiting) for way in ways if has_users or way is not erase_users]
    await asyncio.gather(visiting, *erasing)
    assert visits == 360
    await look()
