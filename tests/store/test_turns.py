"""What is of one session stays in order where some of it is sent again; nothing waits for ever."""

import asyncio

import pytest

from service.store.batching.batch import Batch, deliver, without_cancelled
from service.store.batching.waiters import SharedWaiter, Waiter
from service.store.keys import Keys
from service.store.resharding.turns import Held, ShardBatch, Turns
from service.store.writer import Heartbeat

(SHARD,) = Keys("p").of_site("blog")
BEAT = Heartbeat("session-0000000001", "/a", "", "", "")
SESSION = ("blog", BEAT.session_id)


def batch_of(waiter: Waiter[str]) -> ShardBatch:
    return Batch(SHARD, "heartbeat", 0.0, [BEAT], [waiter])


def held_by(turns: Turns, waiter: Waiter[str]) -> Held:
    """What waits in the place of this waiter."""
    batch = batch_of(waiter)
    turns.hold(batch, [0])
    held = turns.last_held(SESSION)
    assert held is not None
    assert batch.waiting == [held]
    return held


async def future() -> "asyncio.Future[str]":
    return asyncio.get_running_loop().create_future()


async def test_what_follows_waits_until_what_came_before_is_told() -> None:
    turns, first, second = Turns(), await future(), await future()
    held = held_by(turns, first)
    assert turns.is_to_wait(batch_of(second), 0)
    following = held_by(turns, second)
    assert following.before is held
    assert not turns.is_to_wait(batch_of(following), 0)  # it does already
    deliver(batch_of(held), ["moved"])
    await following.its_turn()
    deliver(batch_of(following), ["duplicate"])
    assert (first.result(), second.result()) == ("moved", "duplicate")
    assert not turns.is_to_wait(batch_of(await future()), 0)


@pytest.mark.parametrize("is_held_first", [False, True])
async def test_who_shares_a_result_does_not_wait_for_it(is_held_first: bool) -> None:
    """An equal heartbeat, which came meanwhile, was queued for the new shard first."""
    turns, first, equal = Turns(), await future(), await future()
    waiters: list[Waiter[str]] = [equal, held_by(turns, first)]
    if is_held_first:
        waiters.reverse()
    shared: SharedWaiter[str] = SharedWaiter(waiters[0], lambda outcome: "duplicate")
    shared.waiters.append(waiters[1])
    batch = batch_of(shared)
    assert not turns.is_to_wait(batch, 0)
    turns.hold(batch, [0])  # it is to be carried over
    deliver(batch, ["moved"])
    told = [first.result(), equal.result()]
    assert sorted(told, key=lambda outcome: outcome == "moved") == ["duplicate", "moved"]
    assert turns.last_held(SESSION) is None


async def test_what_nobody_needs_any_more_is_over_all_the_same() -> None:
    turns, gone = Turns(), await future()
    held = held_by(turns, gone)
    following = held_by(turns, await future())
    gone.cancel()
    batches = [batch_of(held)]
    assert without_cancelled(batches) == batches
    deliver(batches[0], ["moved"])
    async with asyncio.timeout(1):
        await following.its_turn()
