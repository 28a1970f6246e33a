"""One answer for all who ask the same at the same time, and never one from before they asked."""

import asyncio

import pytest

from service.api.coalescer import Coalescer
from service.errors import StoreUnreachable
from tests.conftest import MakeService
from tests.server.test_fast_path import until
from tests.servers import Server


class Slow:
    """Answers how often it was asked, when it is let go on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, key: str) -> int:
        self.asked.append(key)
        number = len(self.asked)
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return number


async def begun(shared: Coalescer[str, int], count: int, key: str = "a") -> list[asyncio.Task[int]]:
    """So many who wait."""
    tasks = [asyncio.create_task(shared.get(key)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_who_comes_later_shares_the_next_answer() -> None:
    ask = Slow()
    shared = Coalescer(ask)
    first = await begun(shared, 1)
    later = await begun(shared, 50)
    assert ask.asked == ["a"]
    ask.may_answer.set()
    assert await asyncio.gather(*first, *later) == [1] + [2] * 50
    assert await shared.get("a") == 3
    assert not shared._going
    assert not shared._next


async def test_keys_do_not_wait_for_one_another() -> None:
    ask = Slow()
    shared = Coalescer(ask)
    tasks = [*await begun(shared, 3), *await begun(shared, 1, "b")]
    assert ask.asked == ["a", "b"]
    ask.may_answer.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3, 3]


async def test_a_failure_is_everybodys() -> None:
    """Nobody waits for a second one."""
    ask = Slow()
    ask.error = StoreUnreachable("away")
    shared = Coalescer(ask)
    tasks = [*await begun(shared, 1), *await begun(shared, 5)]
    ask.may_answer.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [ask.error] * 6
    assert ask.asked == ["a"]
    ask.error = None
    assert await shared.get("a") == 2


async def test_who_has_waited_long_enough_asks_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.coalescer.PATIENCE_S", 0.0)
    ask = Slow()
    shared = Coalescer(ask)
    first = await begun(shared, 1)
    second = await begun(shared, 3)
    async with asyncio.timeout(20):
        await until(lambda: len(ask.asked) == 2)
    third = await begun(shared, 3)  # the second was asked before they came
    settling = asyncio.create_task(shared.settled())
    ask.may_answer.set()
    assert await asyncio.gather(*first, *second, *third) == [1, 2, 2, 2, 3, 3, 3]
    await settling
    assert not shared._going
    assert not shared._next


async def test_who_goes_away_takes_nothing_from_the_others() -> None:
    ask = Slow()
    shared = Coalescer(ask)
    (gone,) = await begun(shared, 1)
    staying = await begun(shared, 2)
    gone.cancel()
    staying.pop().cancel()
    ask.may_answer.set()
    assert await staying[0] == 2
    with pytest.raises(asyncio.CancelledError):
        await gone


@pytest.mark.parametrize("shards", ["1", "3"])
async def test_stats_are_shared(
    make_service: MakeService, valkey: Server, shards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred at once cost Redis two answers, and each knows its own heartbeat."""
    service = await make_service(valkey.url, SHARDS=shards)
    calls = []
    ask = service.store.stats_and_positions

    async def counted(*args: object) -> object:
        calls.append(args)
        return await ask(*args)

    monkeypatch.setattr(service.store, "stats_and_positions", counted)

    async def seen(number: int) -> int:
        body = {"sessionId": f"session-{number:010d}", "currentPath": f"/{number}"}
        assert (await service.client.post("/v1/sites/blog/heartbeat", json=body)).is_success
        stats = (await service.client.get("/v1/sites/blog/stats?limit=1000")).json()
        counts: dict[str, int] = {row["path"]: row["count"] for row in stats["activeByPath"]}
        return counts[f"/{number}"]

    assert await asyncio.gather(*(seen(n) for n in range(100))) == [1] * 100
    assert len(calls) < 50
