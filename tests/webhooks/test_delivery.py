"""What a real receiver gets: signed, in order, at least once, however it behaves."""

import asyncio
import json
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from standardwebhooks.webhooks import Webhook as Verifier

from service.errors import StoreBusy
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from service.webhooks.addresses import NotDelivered
from service.webhooks.observing import WebhookMetrics
from service.webhooks.pace import Pace
from service.webhooks.post import post
from service.webhooks.sender import Sender
from service.webhooks.senders import stop_senders
from tests.conftest import MakeStore
from tests.webhooks.conftest import QUICK, StartSender, until, webhook_to
from tests.webhooks.receiver import OLD_SECRET, SECRET, Receiver

IDS = [f"session-{n:010d}" for n in range(150)]


@pytest.fixture(params=["fakeredis", "valkey", "cluster"])
def backend_url(request: pytest.FixtureRequest) -> str:
    from tests.conftest import url_of

    return url_of(request, request.param)


async def come(
    store: PresenceStore, session: str = IDS[0], path: str = "/", user: str = ""
) -> None:
    """A heartbeat."""
    await store.heartbeat("blog", Heartbeat(session, path, "", "", "", user))


async def field(store: PresenceStore, name: str) -> str:
    """What is kept of the endpoint under a name."""
    return (await store.webhooks.kept("blog", "backend")).get(name, "")


async def kept(store: PresenceStore, name: str) -> str:
    """The same, as soon as there is something."""
    deadline = time.monotonic() + 20
    while True:
        if value := await field(store, name):
            return value
        assert time.monotonic() < deadline, f"no {name}"
        await asyncio.sleep(0.01)


async def test_who_comes_and_goes_is_told_signed(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    start_sender(store, webhook_to(receiver.url, secrets=[SECRET, OLD_SECRET]))
    await come(store)
    await until(lambda: receiver.types == ["site.occupied"])
    await store.end("blog", IDS[0])
    await until(lambda: receiver.types == ["site.occupied", "site.vacated"])
    for one, active in zip(receiver.received, (1, 0), strict=True):
        assert one.path == "/hook?of=test"
        assert one.headers["content-type"] == "application/json"
        for secret in (SECRET, OLD_SECRET):
            body: Any = Verifier(secret).verify(one.body, one.headers)
            (event,) = body["events"]
            assert body["site"] == "blog"
            assert event["activeVisitors"] == active
            assert set(event) == {"id", "seq", "type", "at", "activeVisitors"}
        with pytest.raises(Exception, match="No matching signature"):
            Verifier(SECRET).verify(one.body + b" ", one.headers)
    assert [event["seq"] for event in receiver.taken] == [1, 2]
    assert len({event["id"] for event in receiver.taken}) == 2
    assert await kept(store, "success")
    assert await field(store, "delivered") == "2"


@pytest.mark.parametrize(
    "answer, reason",
    [
        ("500", "answered 500"),
        ("503", "answered 503"),
        ("404", "answered 404"),
        ("302", "answered 302"),
        ("307", "answered 307"),
        ("101", "its answer is not HTTP"),  # says that it goes on with something else
        ("close", "the connection broke off"),
    ],
)
async def test_what_was_not_taken_is_sent_again(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender, answer: str, reason: str
) -> None:
    """As the same message, and before any other. A redirect is an answer like these."""
    store = make_store()
    receiver.answers.extend([answer] * 3)
    start_sender(store, webhook_to(receiver.url))
    await come(store)
    await until(lambda: receiver.types == ["site.occupied"])
    assert [one.answer for one in receiver.received] == [answer] * 3 + ["204"]
    assert {one.path for one in receiver.received} == {"/hook?of=test"}
    assert len({(one.headers["webhook-id"], one.body) for one in receiver.received}) == 1
    assert (await kept(store, "error")).partition(" ")[2] == reason


async def test_a_slow_one_is_not_waited_for_longer_than_a_try(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    receiver.answers.append("hang")
    start_sender(store, webhook_to(receiver.url), QUICK._replace(try_s=0.3))
    await come(store)
    await until(lambda: receiver.types == ["site.occupied"])
    assert (await kept(store, "error")).endswith(" no answer within 0.3 s")


async def test_one_that_dies_gets_the_rest_when_it_is_back(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    start_sender(store, webhook_to(receiver.url))
    await come(store)
    await until(lambda: receiver.types == ["site.occupied"])
    receiver.stop()
    await store.end("blog", IDS[0])
    assert (await kept(store, "error")).endswith(" the connection is refused")
    receiver.start()
    await until(lambda: receiver.types == ["site.occupied", "site.vacated"])


async def test_what_is_given_up_is_counted_and_made_good(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    """The endpoint is told that something is lost, and what is not as it knows it."""
    store = make_store()
    receiver.always = "500"
    start_sender(store, webhook_to(receiver.url), QUICK._replace(give_up_s=0.2))
    await come(store)
    await kept(store, "dropped")
    receiver.always = "204"
    await until(lambda: receiver.taken)
    lost, occupied = receiver.taken
    assert (lost["type"], lost["activeVisitors"]) == ("events.lost", 1)
    assert occupied["type"] == "site.occupied"
    assert occupied["seq"] == lost["seq"] + 1 > 2  # those between are those that were given up
    assert int(await field(store, "dropped")) >= 1


async def test_one_that_is_gone_is_sent_nothing_until_it_is_taken_back(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    receiver.answers.append("410")
    start_sender(store, webhook_to(receiver.url))
    await come(store)
    await kept(store, "paused")
    await store.end("blog", IDS[0])
    await come(store, IDS[1])
    assert [one.answer for one in receiver.received] == ["410"]
    await store.webhooks.resume("blog", "backend")
    await until(lambda: receiver.types == ["events.lost", "site.occupied"])
    assert not await field(store, "paused")


async def test_a_copy_that_does_not_serve_it_shows_no_pause(
    make_store: MakeStore, receiver: Receiver
) -> None:
    """When another copy has it again: each has metrics of its own."""
    store = make_store()
    receiver.answers.append("410")
    registries = [CollectorRegistry(), CollectorRegistry()]
    tasks = [
        asyncio.create_task(
            Sender(store, "blog", webhook_to(receiver.url), WebhookMetrics(one), QUICK).run()
        )
        for one in registries
    ]

    def paused() -> list[float | None]:
        labels = {"site": "blog", "webhook": "backend"}
        return [one.get_sample_value("presence_webhook_paused", labels) for one in registries]

    try:
        await come(store)
        await until(lambda: paused() == [1, 1])
        await store.webhooks.resume("blog", "backend")
        await until(lambda: receiver.types == ["events.lost", "site.occupied"])
        await until(lambda: paused() == [0, 0])
    finally:
        await stop_senders(tasks)


async def test_how_far_it_has_come_is_kept_once_redis_can(
    make_store: MakeStore,
    receiver: Receiver,
    start_sender: StartSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also on a site where nothing happens any more: it is shown as late until then, and sent
    again by the next copy."""
    store = make_store()
    failures, renew = [StoreBusy("Redis is away")] * 2, store.webhooks.renew

    async def failing(*args: Any) -> int | None:
        if "success" in args[-1] and failures:
            raise failures.pop()
        return await renew(*args)

    monkeypatch.setattr(store.webhooks, "renew", failing)
    start_sender(store, webhook_to(receiver.url))
    await come(store)
    await until(lambda: receiver.types == ["site.occupied"])
    assert await kept(store, "delivered") == "1"
    (end,) = (await store.webhook_here("blog", "")).positions
    assert await field(store, "cursor") == end
    assert receiver.types == ["site.occupied"]


async def test_a_log_that_may_have_come_and_gone_is_told_as_lost(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    """Where there was none when it was last read, and no copy was there for SITE_IDLE."""
    store = make_store()
    first = start_sender(store, webhook_to(receiver.url))
    assert await kept(store, "cursor") == "0-0"
    await stop_senders([first])
    client: Any = store.connection.client
    key = store.keys.webhook("blog", "backend")
    until_ms = int(await field(store, "until"))
    await client.hset(key, "until", until_ms - store.config.site_idle_ms)
    await come(store)
    start_sender(store, webhook_to(receiver.url))
    await until(lambda: receiver.types == ["events.lost", "site.occupied"])


async def test_another_address_ends_a_pause(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    receiver.answers.append("410")
    first = start_sender(store, webhook_to(receiver.url))
    await come(store)
    await kept(store, "paused")
    await stop_senders([first])
    start_sender(store, webhook_to(receiver.url + "&moved=1"))
    await until(lambda: receiver.types == ["events.lost", "site.occupied"])


async def test_a_message_has_at_most_a_hundred_events(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store(has_users=True)
    for n, session in enumerate(IDS):
        await come(store, session, user=f"user-{n}")
    start_sender(store, webhook_to(receiver.url, events=["user.online", "user.offline"]))
    await until(lambda: len(receiver.taken) == len(IDS))
    for session in IDS:
        await store.end("blog", session)
    await until(lambda: len(receiver.taken) == 2 * len(IDS))
    assert max(len(one.events) for one in receiver.received) <= 100
    assert [event["seq"] for event in receiver.taken] == [*range(1, 2 * len(IDS) + 1)]
    users = [event["userId"] for event in receiver.taken]
    assert (
        sorted(users[: len(IDS)])
        == sorted(users[len(IDS) :])
        == sorted(f"user-{n}" for n in range(len(IDS)))
    )
    # A message is written down as sent after the receiver has it.
    deadline = time.monotonic() + 20
    while any(name.startswith("user:") for name in await store.webhooks.kept("blog", "backend")):
        assert time.monotonic() < deadline, "who has gone is kept"
        await asyncio.sleep(0.01)


async def test_past_the_trimmed_end_it_is_told_what_is_here(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    first = start_sender(store, webhook_to(receiver.url))
    await come(store)
    await kept(store, "delivered")  # noted, too: else it would be sent once more
    await stop_senders([first])
    for _ in range(3):
        await come(store, IDS[1])
        await store.end("blog", IDS[1])
    await store.end("blog", IDS[0])
    client: Any = store.connection.client
    await client.xtrim(store.keys.of_site("blog")[0].events, maxlen=1, approximate=False)
    start_sender(store, webhook_to(receiver.url))
    await until(lambda: receiver.types == ["site.occupied", "events.lost", "site.vacated"])


async def test_split_sites_are_told_as_one(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store(shards=4, has_users=True)
    kinds = ["site.occupied", "site.vacated", "active.above", "user.online", "user.offline"]
    start_sender(store, webhook_to(receiver.url, events=kinds, above=9))
    for session in IDS[:12]:
        await come(store, session, user="anna")
    await until(lambda: "active.above" in receiver.types)
    for session in IDS[:12]:
        await store.end("blog", session)
    await until(lambda: {"site.vacated", "user.offline"} <= set(receiver.types))
    assert sorted(receiver.types) == sorted(kinds)
    assert [e["activeVisitors"] for e in receiver.taken if e["type"] == "active.above"] == [10]


async def test_slack_gets_words(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    store = make_store()
    start_sender(store, webhook_to(receiver.url, secrets=[], format="slack"))
    await come(store)
    await until(lambda: receiver.received)
    assert json.loads(receiver.received[0].body) == {"text": "Somebody is on blog: 1 here now"}
    assert "webhook-signature" not in receiver.received[0].headers


async def test_an_address_that_is_not_allowed_is_not_connected_to(
    make_store: MakeStore, receiver: Receiver, start_sender: StartSender
) -> None:
    """By the address that a name leads to, not by the name."""
    store = make_store()
    webhook = webhook_to(f"https://localhost:{receiver.port}/", allow_private=False)
    start_sender(store, webhook)
    await come(store)
    assert (await kept(store, "error")).endswith(
        "its host is in a private network: see allow_private"
    )
    assert not receiver.received


def test_pauses_grow_and_differ() -> None:
    pace = Pace()
    for failures, (low, high) in enumerate([(1, 1), (1, 2), (2, 4), (4, 8), (8, 16)]):
        pauses = [pace.pause_s(failures) for _ in range(100)]
        assert low <= min(pauses) <= max(pauses) <= high
    assert all(30 <= pace.pause_s(n) <= 60 for n in range(6, 50))
    assert pace.lease_s > 2 * pace.try_s
    # An answer may ask for more, within bounds.
    assert 1 <= pace.pause_s(1, asked_s=0) <= 2
    assert pace.pause_s(1, asked_s=7) == 7
    assert pace.pause_s(1, asked_s=86_400) == 60


@pytest.mark.parametrize(
    ("status", "asked", "understood_s"),
    [
        ("429", "7", 7),
        ("503", "120", 120),
        ("500", "", 0),
        ("429", "Sun, 29 Nov 2026 09:00:00 GMT", 0),
        ("429", "-7", 0),
        ("429", "7.5", 0),
        ("429", "9" * 40, 0),
    ],
)
async def test_an_answer_says_when_to_come_again(
    receiver: Receiver, status: str, asked: str, understood_s: int
) -> None:
    receiver.answers.append(status)
    receiver.headers = {"Retry-After": asked}
    with pytest.raises(NotDelivered) as caught:
        await post(webhook_to(receiver.url), {}, b"{}", may_write=lambda: True)
    assert (caught.value.status, caught.value.retry_after_s) == (int(status), understood_s)


async def test_nothing_is_written_once_it_may_not_be(receiver: Receiver) -> None:
    """However far the connection has come by then."""
    with pytest.raises(NotDelivered, match="another copy"):
        await post(webhook_to(receiver.url), {}, b"{}", may_write=lambda: False)
    assert await post(webhook_to(receiver.url), {}, b"{}", may_write=lambda: True) == 204
    assert len(receiver.received) == 1
