"""Users in the store: what the state machine does not reach."""

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
    room = -(-LONGEST_ROW // row)
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
