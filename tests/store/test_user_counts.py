"""Counts of users of a split site are kept up by what changes, and are exact all the same."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from service.store.keys import ShardKeys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.conftest import Clock, MakeStore, on_servers

SITE = "team"
PATHS = ["/a", "/b", "/a b"]


def beat(user: str, device: int, path: str) -> Heartbeat:
    return Heartbeat(f"session-of-{user}-{device}".ljust(16, "0"), path, "DE", "", "", user)


class Watched:
    """A store, and what the shards answered when its users were counted."""

    def __init__(self, store: PresenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.replies: list[list[Any]] = []
        runner = store._runner  # what no caller can see is looked at here
        read = runner.read

        async def reading(script: str, shards: Sequence[ShardKeys], *args: Any) -> Any:
            replies = await read(script, shards, *args)
            if script == "user_pages":
                self.replies += [reply for (reply,) in replies]
            return replies

        monkeypatch.setattr(runner, "read", reading)

    async def count(self, path: str | None = None) -> tuple[int, set[str], int]:
        """The count, how the shards answered, and the users and pages that they named."""
        self.replies.clear()
        count = await self.store.count_users(SITE, path)
        named = sum(len(reply[4]) + len(reply[5]) for reply in self.replies)
        return count, {reply[1] for reply in self.replies}, named


@pytest.fixture
def watched(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(make_store(Clock(), shards=3, has_users=True), monkeypatch)


async def test_users_are_loaded_once_and_then_what_changes(watched: Watched) -> None:
    store = watched.store
    crowd = [beat(f"user-{n}", device, "/a") for n in range(50) for device in range(3)]
    await store.heartbeats(SITE, crowd)
    count, statuses, named = await watched.count()
    assert (count, statuses) == (50, {"all"})
    assert named >= 50
    assert await watched.count() == await watched.count("/a") == (50, {"changed"}, 0)
    assert await watched.count("/b") == (0, {"changed"}, 0)

    await store.heartbeat(SITE, beat("user-0", 0, "/b"))
    await store.heartbeat(SITE, beat("new", 0, "/b"))
    await store.heartbeat(SITE, beat("", 7, "/b"))  # nobody is no user
    count, statuses, named = await watched.count("/b")
    assert (count, statuses) == (2, {"changed"})
    assert named <= 2 * 4
    assert await watched.count("/a") == (50, {"changed"}, 0)
    for device in range(1, 3):
        await store.end(SITE, beat("user-0", device, "").session_id)
    assert (await watched.count("/a"))[0] == 49
    assert (await watched.count())[0] == 51


async def test_what_cannot_be_told_is_loaded_again(watched: Watched) -> None:
    store = watched.store
    await store.heartbeats(SITE, [beat("anna", n, "/a") for n in range(9)])
    await store.heartbeat(SITE, beat("bob", 0, "/a"))
    assert (await watched.count())[:2] == (2, {"all"})
    await store.erase_user(SITE, "anna")
    count, statuses, _ = await watched.count()
    assert (count, "all" in statuses) == (1, True)
    client = store.connection.client
    for shard in store.keys.of_site(SITE):  # somebody deletes the log
        await client.delete(shard.events)
    assert (await watched.count())[0] == 1
    await store.heartbeats(SITE, [beat("carl", n, "/a") for n in range(9)])
    assert (await watched.count())[0] == 2


@on_servers
async def test_counts_are_exact_whatever_happens(watched: Watched) -> None:
    store, chance = watched.store, random.Random(7)  # no secret
    clock = store.clock
    assert isinstance(clock, Clock)
    users = ["", *(f"user-{n}" for n in range(8))]
    for _ in range(150):
        dice = chance.random()
        session = beat(f"any-{chance.randrange(20)}", 0, chance.choice(PATHS))
        if dice < 0.8:
            await store.heartbeat(SITE, session._replace(user=chance.choice(users)))
        elif dice < 0.9:
            await store.leave(SITE, session.session_id)
        else:
            clock.advance(chance.randrange(60_000))
        if chance.random() < 0.3:
            for shard in store.keys.of_site(SITE):
                await store.sweep(shard.tag)
        path = chance.choice([None, *PATHS])
        page = await store.users(SITE, limit=100, cursor=None, path=path)
        assert len(page.users) == page.total == (await watched.count(path))[0]
