"""One sender over all copies: real processes that are killed, stopped, and frozen and thawed."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.store import PresenceStore
from service.store.webhooks import Busy, Taken
from service.store.writer import Heartbeat
from service.webhooks.lease import Lease, LeaseLost
from tests.conftest import NOW, Clock, MakeStore, url_of
from tests.fork_server import start
from tests.servers import Server
from tests.webhooks.conftest import until
from tests.webhooks.receiver import Receiver

BACKENDS = ("fakeredis", "valkey", "redis7", "cluster")


@pytest.fixture
def backend_url(request: pytest.FixtureRequest) -> str:
    return url_of(request, getattr(request, "param", "valkey"))


# The lease


@pytest.mark.parametrize("backend_url", BACKENDS, indirect=True)
async def test_one_at_a_time_has_it(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock).webhooks
    first = await store.take("blog", "backend", 1000)
    assert isinstance(first, Taken)
    assert await store.take("blog", "backend", 1000) == Busy(first.now, first.now + 1000)
    assert isinstance(await store.take("blog", "other", 1000), Taken)
    clock.advance(500)
    assert await store.renew("blog", "backend", first.fence, 1000, {"cursor": "1-0"})
    clock.advance(999)
    assert isinstance(await store.take("blog", "backend", 1000), Busy)
    clock.advance(1)
    # The holder may renew what nobody else has taken.
    assert await store.renew("blog", "backend", first.fence, 1000, {"cursor": "2-0"})
    clock.advance(1000)
    second = await store.take("blog", "backend", 1000)
    assert isinstance(second, Taken)
    assert second.fence > first.fence
    assert second.was_until == second.now
    assert await store.renew("blog", "backend", first.fence, 1000, {"cursor": "9-0"}) is None
    assert (await store.kept("blog", "backend"))["cursor"] == "2-0"
    assert await store.renew("blog", "backend", second.fence, 0, {"cursor": "", "a": "b"})
    assert "cursor" not in await store.kept("blog", "backend")
    third = await store.take("blog", "backend", 1000)
    assert isinstance(third, Taken)


async def test_of_many_who_ask_one_has_it(make_store: MakeStore) -> None:
    stores = [make_store().webhooks for _ in range(8)]
    taken = await asyncio.gather(*(s.take("blog", "backend", 60_000) for s in stores * 10))
    assert len([one for one in taken if isinstance(one, Taken)]) == 1


async def test_a_lease_after_the_key_was_deleted_is_another_one(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    first = await store.webhooks.take("blog", "backend", 60_000)
    assert isinstance(first, Taken)
    await store.connection.client.delete(store.keys.webhook("blog", "backend"))
    assert await store.webhooks.renew("blog", "backend", first.fence, 1000, {}) is None
    clock.advance(1)
    second = await store.webhooks.take("blog", "backend", 60_000)
    assert isinstance(second, Taken)
    assert second.fence > first.fence


@pytest.mark.fault("F19")
async def test_a_clock_that_was_set_back_holds_nobody_up(make_store: MakeStore) -> None:
    """For longer than a lease: who has it may be alive, and goes on."""
    clock = Clock()
    store = make_store(clock)
    first = await store.webhooks.take("blog", "backend", 15_000)
    assert isinstance(first, Taken)
    clock.advance(-3_600_000)
    before = NOW - 3_600_000
    for _ in range(2):
        busy = await store.webhooks.take("blog", "backend", 15_000)
        assert busy == Busy(before, before + 15_000)
    assert await store.webhooks.renew("blog", "backend", first.fence, 15_000, {}) is not None
    clock.advance(15_000)
    second = await store.webhooks.take("blog", "backend", 15_000)
    assert isinstance(second, Taken)
    assert second.fence > first.fence


async def test_it_ends_for_its_holder_first(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the one clock or the other has stood still."""
    lease = Lease(make_store().webhooks, "blog", "backend", 10.0)
    assert lease.left_s == 0
    await lease.take()
    assert 9 < lease.left_s <= 10
    for clock in ("time", "monotonic"):
        with monkeypatch.context() as patched:
            ahead = getattr(time, clock)() + 11
            patched.setattr(f"service.webhooks.lease.time.{clock}", lambda ahead=ahead: ahead)
            assert lease.left_s < 0
    await lease.give_back()
    assert lease.left_s == 0
    with pytest.raises(LeaseLost):
        await lease.renew()


# Copies


class Copy:
    """A process that sends, or waits for its turn."""

    def __init__(self, *args: str) -> None:
        self.args = args
        self.process = start(
            [sys.executable, "-m", "tests.webhooks.copy", *args], cwd=Path(__file__).parents[2]
        )

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def end(self, number: int = signal.SIGKILL) -> None:
        """Ends it with a signal, and waits until it has."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        self.process.wait(30)


@pytest.fixture
def copies(valkey: Server, key_prefix: str, receiver: Receiver) -> Iterator["list[Copy]"]:
    """Two copies."""
    made = [Copy(valkey.url, key_prefix, receiver.url) for _ in range(2)]
    yield made
    for copy in made:
        copy.end()


async def come_and_go(store: PresenceStore, numbers: range) -> None:
    """A user after the other comes, with one session for all of them, and goes."""
    for n in numbers:
        session = f"session-{n:010d}"
        await store.heartbeat("blog", Heartbeat(session, "/", "", "", "", f"user-{n}"))
        await store.end("blog", session)
        await asyncio.sleep(0.01)


def check_order(receiver: Receiver, count: int) -> None:
    """All of it came, in order; what came twice came again from where it was, in order."""
    taken = [(event["seq"], event["userId"], event["type"]) for event in receiver.taken]
    expected = [
        (2 * n + which + 1, f"user-{n}", kind)
        for n in range(count)
        for which, kind in enumerate(("user.online", "user.offline"))
    ]
    assert sorted(set(taken)) == sorted(expected)
    firsts = list(dict.fromkeys(taken))
    assert firsts == expected
    # A message comes again only before anything that follows it.
    highest = 0
    for one in receiver.received:
        if one.answer[0] == "2":
            seqs = [event["seq"] for event in one.events]
            assert seqs == [*range(seqs[0], seqs[-1] + 1)]
            assert highest <= seqs[-1], "what was sent before came again after a later one"
            highest = seqs[-1]


COUNT = 60


async def all_taken(receiver: Receiver, count: int, seconds: float = 60.0) -> None:
    """Waits until the last user was told as gone."""
    await until(lambda: 2 * count in [event["seq"] for event in receiver.taken], seconds)


async def test_a_copy_that_is_killed_is_followed_by_another(
    make_store: MakeStore, copies: list[Copy], receiver: Receiver
) -> None:
    store = make_store(has_users=True)
    await until_served(store)
    coming = asyncio.create_task(come_and_go(store, range(COUNT)))
    await until(lambda: len(receiver.taken) >= 10)
    copies[0].end()
    await coming
    await all_taken(receiver, COUNT)
    # The other one, whichever had it.
    third = Copy(*copies[1].args)
    copies.append(third)
    copies[1].end()
    await come_and_go(store, range(COUNT, 2 * COUNT))
    await all_taken(receiver, 2 * COUNT)
    check_order(receiver, 2 * COUNT)


async def until_served(store: PresenceStore) -> None:
    """Waits until a copy follows the log."""
    deadline = time.monotonic() + 30
    while "cursor" not in await store.webhooks.kept("blog", "backend"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("answers", [[], ["500", "500"]], ids=["taken", "in a pause"])
async def test_a_copy_that_is_frozen_and_thawed_sends_nothing(
    make_store: MakeStore, copies: list[Copy], receiver: Receiver, answers: list[str]
) -> None:
    """Each is frozen for longer than a lease while the other goes on, and thawed again."""
    store = make_store(has_users=True)
    await until_served(store)
    users = 0
    for round_ in range(4):
        coming = asyncio.create_task(come_and_go(store, range(users, users + COUNT)))
        users += COUNT
        await until(lambda users=users: len(receiver.taken) >= 2 * users - 2 * COUNT + 10)  # type: ignore[misc]
        receiver.answers.extend(answers)
        frozen = copies[round_ % 2]
        frozen.freeze()
        await coming
        await all_taken(receiver, users)
        frozen.thaw()
    await come_and_go(store, range(users, users + COUNT))
    await all_taken(receiver, users + COUNT)
    check_order(receiver, users + COUNT)


async def test_a_copy_that_is_stopped_hands_over_at_once(
    make_store: MakeStore, copies: list[Copy], receiver: Receiver
) -> None:
    store = make_store(has_users=True)
    await until_served(store)
    await come_and_go(store, range(COUNT))
    await all_taken(receiver, COUNT)
    fence = (await store.webhooks.kept("blog", "backend"))["fence"]
    copies[0].end(signal.SIGTERM)
    copies[1].end(signal.SIGTERM)
    kept = await store.webhooks.kept("blog", "backend")
    assert int(kept["until"]) <= store.webhooks.about_now_ms()
    assert int(kept["fence"]) - int(fence) <= 1
    check_order(receiver, COUNT)
