"""Users in the store: what the state machine does not reach."""

from typing import Any

import pytest

from service.store.members import Member
from service.store.writer import Heartbeat
from tests import invariants
from tests.conftest import Clock, MakeStore, now_of, on_servers

SITE = "blog"
LONGEST_ROW = 32_768  # bytes, as lua/include/identity.lua


def beat(number: int, user: str = "", path: str = "/", details: str = "") -> Heartbeat:
    return Heartbeat(f"session-{number:08d}", path, "", "", details, user)


@on_servers
async def test_a_user_has_an_end(make_store: MakeStore) -> None:
    """Of an account that everybody shares, further sessions are counted as nobody's."""
    clock = Clock()
    store = make_store(clock, has_users=True)
    row = len(f"\t{beat(0).session_id} {clock.now_ms} -- /")
    room = (LONGEST_ROW - len("\t\t\t")) // row
    crowd = [beat(n, "kiosk") for n in range(room + 5)]
    for outcome in ("created", "duplicate"):
        assert await store.heartbeats(SITE, crowd) == [outcome] * len(crowd)
    known = await store.user(SITE, "kiosk")
    assert known is not None
    assert 500 < known.sessions == room
    assert (await store.stats(SITE)).activeVisitors == room + 5
    await invariants.check(store, SITE, await now_of(store))
    # Where some go, another one has room.
    for gone in crowd[:2]:
        await store.end(SITE, gone.session_id)
    clock.advance(10_000)
    assert await store.heartbeats(SITE, crowd[-1:]) == ["refreshed"]
    session = await store.session(SITE, crowd[-1].session_id)
    assert session is not None
    assert session.userId == "kiosk"
    await invariants.check(store, SITE, await now_of(store))


@on_servers
async def test_a_users_row_does_not_grow_by_moves(make_store: MakeStore) -> None:
    """Each writes all of it anew: those for whose pages there is no room go on as nobody's."""
    store = make_store(Clock(), has_users=True)
    crowd = [beat(n, "kiosk") for n in range(800)]
    assert await store.heartbeats(SITE, crowd) == ["created"] * len(crowd)
    long = "/" + "x" * 500
    assert await store.heartbeats(SITE, [beat(n, "kiosk", long) for n in range(800)]) == [
        "moved"
    ] * len(crowd)
    client: Any = store.connection.client
    row = await client.hget(store.keys.of_site(SITE)[0].users, "kiosk")
    known = await store.user(SITE, "kiosk")
    assert known is not None
    assert 0 < known.sessions < 800
    assert LONGEST_ROW - 1_000 < len(row) <= LONGEST_ROW
    assert (await store.stats(SITE)).activeVisitors == 800
    await invariants.check(store, SITE, await now_of(store))


async def test_a_hash_without_a_page_is_mended(make_store: MakeStore) -> None:
    """Only a hand can have made it so."""
    clock = Clock()
    store = make_store(clock, has_users=True)
    await store.heartbeats(SITE, [beat(0, "anna")])
    client: Any = store.connection.client
    await client.hdel(store.keys.of_site(SITE)[0].session(beat(0).session_id), "path")
    clock.advance(30_000)
    for outcome in ("created", "duplicate"):
        assert await store.heartbeats(SITE, [beat(0, "anna", "/b")]) == [outcome]


@pytest.mark.parametrize(
    "text, member",
    [
        ("s -- /", Member("s", "--", "/")),
        ("s DE anna /", Member("s", "DE", "/", "anna")),
        ("s DE /a b /c", Member("s", "DE", "/a b /c")),
        ("s DE anna:b@c /a b /c", Member("s", "DE", "/a b /c", "anna:b@c")),
        ("s DE anna", None),
        ("s DE anna b /c", None),
        ("nonsense", None),
        ("s  /", None),
    ],
)
def test_members(text: str, member: Member | None) -> None:
    assert Member.parse(text) == member
    assert member is None or str(member) == text
