"""A sites file that has an endpoint otherwise than the copy before had it: what was kept by other
rules is not taken for what it is by these."""

from typing import Any

import msgspec
import pytest

from service.models import LoggedEvent
from service.store.store import PresenceStore
from service.store.webhooks import Here
from service.store.writer import Heartbeat
from service.webhooks.derivation import Derivation, State
from service.webhooks.senders import stop_senders
from tests.conftest import MakeStore
from tests.webhooks.conftest import StartSender, until, webhook_to
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_delivery import come, field, kept

USERS = ["site.occupied", "user.online", "user.offline"]


@pytest.fixture(params=["fakeredis", "valkey"])
def backend_url(request: pytest.FixtureRequest) -> str:
    from tests.conftest import url_of

    return url_of(request, request.param)


def derivation_of(path: str | None, kinds: list[str]) -> Derivation:
    more: dict[str, Any] = {"path": path, "above": 1} if path else {}
    return Derivation("blog", webhook_to("https://example.org/", events=kinds, **more))


def handed_over(before: Derivation, after: Derivation) -> bool:
    """Whether the other goes on from there."""
    state = msgspec.json.decode(msgspec.json.encode(before.kept()), type=State)
    return after.restore(state, before.online)


def test_another_page_is_counted_anew() -> None:
    """Else the page would have those who are on the one before, which may be told."""
    before = derivation_of("/old", ["page.above"])
    list(before.begin_anew(Here(5000, ["7-0"], 2, 2), [], set(), is_lost=False))
    assert [event.path for event in before.events] == ["/old"]
    same, other = (derivation_of(path, ["page.above"]) for path in ("/old", "/new"))
    assert handed_over(before, same)
    assert not handed_over(before, other)
    list(other.begin_anew(Here(6000, ["7-0"], 2, 0), [], set(), is_lost=False))
    assert not other.events
    for n in (1, 2):
        joined = LoggedEvent(f"{n}7000-0", n * 7000, "joined", f"s{n}", "/new")
        list(other.follow([joined], set()))
    assert [event.path for event in other.events] == ["/new"]


@pytest.mark.parametrize(
    "before, after, is_same",
    [
        (["site.occupied"], ["site.occupied", "site.vacated"], True),
        (["site.occupied"], USERS, False),
        (USERS, ["site.occupied"], False),
        (USERS, ["user.online"], True),
    ],
    ids=["as before", "with users", "without", "fewer of them"],
)
def test_users_are_known_or_not(before: list[str], after: list[str], is_same: bool) -> None:
    assert handed_over(derivation_of(None, before), derivation_of(None, after)) is is_same


async def test_who_is_here_when_users_are_asked_for_is_told(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    """And when they are not asked for any more, their ids are not kept."""
    store = make_store(has_users=True)
    first = start_sender(store, webhook_to(receiver.url))
    await come(store, user="anna")
    await until(lambda: receiver.types == ["site.occupied"])
    await kept(store, "delivered")  # noted, too: else it would be sent once more
    await stop_senders([first])

    second = start_sender(store, webhook_to(receiver.url, events=USERS))
    await until(lambda: receiver.types == ["site.occupied", "user.online"])
    while not await field(store, "user:anna"):
        pass
    await stop_senders([second])

    start_sender(store, webhook_to(receiver.url))
    while await field(store, "user:anna"):
        pass
    await store.end("blog", "session-0000000000")
    await until(lambda: receiver.types == ["site.occupied", "user.online", "site.vacated"])


async def test_a_page_that_took_the_place_of_a_full_one_is_told_when_it_is_full(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()

    async def fill(path: str) -> None:
        beats = [Heartbeat(f"session-{n}-{path[1:]}-0000", path, "", "", "", "") for n in range(3)]
        await store.heartbeats("blog", beats)

    rules: dict[str, Any] = {"events": ["page.above"], "above": 2}
    first = start_sender(store, webhook_to(receiver.url, path="/old", **rules))
    await fill("/old")
    await until(lambda: receiver.types == ["page.above"])
    await kept(store, "delivered")
    await stop_senders([first])
    start_sender(store, webhook_to(receiver.url, path="/new", **rules))
    await fill("/new")
    await until(lambda: [event["path"] for event in receiver.taken] == ["/old", "/new"])
    assert await told_on_page(store) == 3


async def told_on_page(store: PresenceStore) -> int:
    return int(msgspec.json.decode(await field(store, "state"))["on_page"])
