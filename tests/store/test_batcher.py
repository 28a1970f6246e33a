"""The batcher: one call in flight, what arrives meanwhile goes with the next, and no result ever
reaches another caller."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import StoreBusy, StoreError
from service.store.batching.batch import Answer, Batch, Requeue
from service.store.batching.batcher import Batcher
from service.store.batching.lane import PAUSE_S, Lane

Batches = list[Batch[str, Any, Any]]


class Server:
    """Answers each item with itself, when told to: `gate` holds every call up."""

    def __init__(self, answer: Callable[[Any], Any] = lambda item: item) -> None:
        self.calls: list[list[tuple[str, str, list[Any]]]] = []
        self.in_flight: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self._answer = answer

    async def send(self, batches: Batches) -> list[Answer[Any]]:
        self.calls.append([(batch.key, batch.kind, list(batch.items)) for batch in batches])
        await self.gate.wait()
        return [[self._answer(item) for item in batch.items] for batch in batches]

    @property
    def sent(self) -> list[list[Any]]:
        """The items of each call."""
        return [[item for _, _, items in call for item in items] for call in self.calls]


def batcher_of(server: Any, **options: Any) -> Batcher[str, Any, Any]:
    """All keys in one lane."""
    return Batcher(server.send, lambda key: "", **options)


def is_idle(batcher: Batcher[Any, Any, Any]) -> bool:
    """Whether nothing is kept of what has come and gone."""
    lanes = batcher._lanes.values()
    return not any(
        lane.task or lane.batches or lane._open or lane._chains or lane._indexes for lane in lanes
    )


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_arrives_while_a_call_is_in_flight_goes_with_the_next() -> None:
    server = Server()
    batcher = batcher_of(server)
    server.gate.clear()
    first = batcher.result_of("a", "beat", 1)
    await settle()
    rest = [batcher.result_of("a", "beat", n) for n in (2, 3, 4)]
    await settle()
    assert server.sent == [[1]]  # one call, and only one, is in flight
    server.gate.set()
    assert await asyncio.gather(first, *rest) == [1, 2, 3, 4]
    assert server.sent == [[1], [2, 3, 4]]


async def test_an_idle_batcher_sends_at_once() -> None:
    server = Server()
    batcher = batcher_of(server)
    for n in range(3):
        assert await batcher.result_of("a", "beat", n) == n
    assert server.sent == [[0], [1], [2]]


FOR_EVER_S = 3600.0


@pytest.mark.parametrize(
    ("first", "later", "sent"),
    [
        (1, 1, [1, 1]),  # who was alone makes nobody wait
        (2, 1, [2]),
        (2, 2, [2, 2]),  # all are here again
        (4, 2, [4]),
        (4, 3, [4, 3]),  # enough do not wait
        (4, 4, [4, 4]),
    ],
)
async def test_calls_with_company_are_paced(first: int, later: int, sent: list[int]) -> None:
    server = Server()
    batcher = batcher_of(server, pace_s=FOR_EVER_S, enough=3)
    await asyncio.gather(*(batcher.result_of("a", "beat", n) for n in range(first)))
    rest = [batcher.result_of("a", "beat", n) for n in range(later)]
    await settle()
    assert [len(items) for items in server.sent] == sent
    await batcher.close()  # makes nobody wait any more
    assert await asyncio.gather(*rest) == list(range(later))
    assert [len(items) for items in server.sent] == [first, later]


async def test_whoever_waited_during_a_call_is_expected_too() -> None:
    server = Server()
    batcher = batcher_of(server, pace_s=FOR_EVER_S)
    server.gate.clear()
    first = [batcher.result_of("a", "beat", n) for n in range(2)]
    await settle()
    second = [batcher.result_of("a", "beat", n) for n in range(3)]
    server.gate.set()
    await asyncio.gather(*first)
    assert len(server.sent) == 1  # those two may come again
    again = [batcher.result_of("a", "beat", n + 3) for n in range(2)]
    await asyncio.gather(*second, *again)
    assert [len(items) for items in server.sent] == [2, 5]


async def test_whoever_is_gone_is_expected_no_more() -> None:
    server = Server()
    batcher = batcher_of(server, pace_s=0.000_1)
    await asyncio.gather(*(batcher.result_of("a", "beat", n) for n in range(8)))
    (lane,) = batcher._lanes.values()
    calls = 0
    while lane._enough > 2:
        await asyncio.gather(*(batcher.result_of("a", "beat", n) for n in range(2)))
        calls += 1
    assert calls < 150  # less than a second, 5 ms apart


async def test_a_batch_of_many_at_once_counts_as_many() -> None:
    server = Server()
    batcher = batcher_of(server, pace_s=FOR_EVER_S, enough=3)
    for _ in range(2):
        results: list[asyncio.Future[int]] = [asyncio.Future() for _ in range(3)]
        batcher.submit_all(["a"] * 3, "beat", [1, 2, 3], results)
        assert await asyncio.gather(*results) == [1, 2, 3]
    await batcher.close()


async def test_a_pause_ends_by_itself() -> None:
    server = Server()
    batcher = batcher_of(server, pace_s=0.01)
    for many in (4, 3, 2):
        await asyncio.gather(*(batcher.result_of("a", "beat", n) for n in range(many)))
    assert [len(items) for items in server.sent] == [4, 3, 2]


async def test_lanes_do_not_wait_for_each_other() -> None:
    server = Server()
    batcher: Batcher[str, Any, Any] = Batcher(server.send, lambda key: key)
    server.gate.clear()
    futures = [batcher.result_of(key, "beat", key) for key in ("a", "b", "a")]
    await settle()
    assert server.sent == [["a", "a"], ["b"]]
    server.gate.set()
    assert await asyncio.gather(*futures) == ["a", "b", "a"]


async def test_keys_and_kinds_travel_together_but_apart_and_in_order() -> None:
    server = Server()
    batcher = batcher_of(server, max_batch=2)
    submitted = [
        ("a", "beat", 1), ("b", "beat", 2), ("a", "beat", 3), ("a", "leave", 4), ("a", "beat", 5),
        ("b", "beat", 6), ("b", "beat", 7),
    ]  # fmt: skip
    await asyncio.gather(*(batcher.result_of(*one) for one in submitted))
    assert server.calls == [
        [
            ("a", "beat", [1, 3]),
            ("b", "beat", [2, 6]),
            ("a", "leave", [4]),
            ("a", "beat", [5]),
            ("b", "beat", [7]),
        ]
    ]


async def test_an_error_reaches_every_caller_of_its_batch_and_no_other() -> None:
    class Failing(Server):
        async def send(self, batches: Batches) -> list[Answer[Any]]:
            answers = await super().send(batches)
            return [
                StoreError("down") if batch.key == "bad" else answer
                for batch, answer in zip(batches, answers, strict=True)
            ]

    server = Failing()
    batcher = batcher_of(server)
    keys = ["good", "bad", "good", "bad"]
    results = await asyncio.gather(
        *(batcher.result_of(key, "beat", n) for n, key in enumerate(keys)), return_exceptions=True
    )
    assert results[0::2] == [0, 2]
    assert [str(error) for error in results[1::2]] == ["down", "down"]
    assert await batcher.result_of("good", "beat", 9) == 9


async def test_a_call_that_fails_fails_all_it_carried_and_nothing_after() -> None:
    class Failing(Server):
        async def send(self, batches: Batches) -> list[Answer[Any]]:
            answers = await super().send(batches)
            if len(self.calls) == 1:
                raise OSError("gone")
            return answers

    server = Failing()
    batcher = batcher_of(server)
    server.gate.clear()
    lost = [batcher.result_of(key, "beat", key) for key in ("a", "b")]
    await settle()
    kept = batcher.result_of("a", "beat", "later")
    server.gate.set()
    results = await asyncio.gather(*lost, kept, return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError, str]


async def test_an_item_may_fail_alone() -> None:
    server = Server(lambda item: StoreError("poisoned") if item == 2 else item)
    batcher = batcher_of(server)
    results = await asyncio.gather(
        *(batcher.result_of("a", "beat", n) for n in (1, 2, 3)), return_exceptions=True
    )
    assert (results[0], str(results[1]), results[2]) == (1, "poisoned", 3)


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [["one", "two", "three"]],
        [["one"]],
        [["one", "two"], ["three"]],
    ],
)
async def test_answers_that_do_not_fit_are_given_to_nobody(answers: list[Answer[str]]) -> None:
    class Muddled:
        async def send(self, batches: Batches) -> list[Answer[str]]:
            return answers

    batcher = batcher_of(Muddled())
    results = await asyncio.gather(
        *(batcher.result_of("a", "beat", n) for n in range(2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreError, StoreError]


async def test_cancelled_callers_leak_nothing() -> None:
    server = Server()
    batcher = batcher_of(server)
    before = asyncio.all_tasks()
    server.gate.clear()
    on_its_way = asyncio.ensure_future(_caller(batcher, "on its way"))
    await settle()
    waiting = [asyncio.ensure_future(_caller(batcher, n)) for n in range(3)]
    await settle()
    assert batcher.waiting == 3
    for task in (on_its_way, waiting[0], waiting[2]):
        task.cancel()
    await settle()
    server.gate.set()
    assert await waiting[1] == 1
    await settle()
    assert server.sent == [["on its way"], [1]]  # what was not sent yet is not sent
    assert batcher.waiting == 0
    assert is_idle(batcher)
    assert asyncio.all_tasks() == before


async def test_a_batch_of_cancelled_callers_is_not_sent() -> None:
    server = Server()
    batcher = batcher_of(server)
    task = asyncio.ensure_future(_caller(batcher, 1))
    await asyncio.sleep(0)
    task.cancel()
    await settle()
    assert (server.sent, batcher.waiting) == ([], 0)


async def _caller(batcher: Batcher[str, Any, Any], item: Any) -> Any:
    return await batcher.result_of("a", "beat", item)


async def test_closing_answers_what_was_accepted_and_refuses_the_rest() -> None:
    server = Server()
    batcher = batcher_of(server)
    server.gate.clear()
    accepted = [batcher.result_of("a", "beat", 1)]
    await settle()
    accepted += [batcher.result_of(key, "beat", 2) for key in "abc"]
    closing = asyncio.ensure_future(batcher.close())
    await settle()
    with pytest.raises(StoreBusy):
        batcher.result_of("a", "beat", 3)
    assert not closing.done()
    server.gate.set()
    await closing
    assert [future.result() for future in accepted] == [1, 2, 2, 2]


async def test_a_loop_that_ends_leaves_nobody_waiting() -> None:
    server = Server()
    batcher = batcher_of(server)
    server.gate.clear()
    before = asyncio.all_tasks()
    future = batcher.result_of("a", "beat", 1)
    await settle()
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await settle()
    assert future.cancelled()


@pytest.mark.parametrize(
    ("items", "told", "sent"),
    [
        ("a1 a1 a1", "a1 again again", ["a1"]),
        ("a1 b1 a1 b1", "a1 b1 again again", ["a1", "b1"]),
        ("a1 a2 a1", "a1 a2 a1", ["a1", "a2", "a1"]),  # it was elsewhere meanwhile
        ("a1 a2 a2 b1", "a1 a2 again b1", ["a1", "b1", "a2"]),
    ],
)
async def test_an_item_that_waits_already_is_sent_once(
    items: str, told: str, sent: list[str]
) -> None:
    server = Server()
    batcher = batcher_of(server, id_of=itemgetter(0), again={"beat": lambda result: "again"})
    server.gate.clear()
    futures = [batcher.result_of("site", "beat", item) for item in items.split()]
    assert batcher.waiting == len(futures)
    server.gate.set()
    assert await asyncio.gather(*futures) == told.split()
    assert (server.sent, batcher.waiting) == ([sent], 0)


async def test_of_equal_items_the_first_that_still_waits_is_told_the_result() -> None:
    server = Server()
    batcher = batcher_of(server, id_of=itemgetter(0), again={"beat": lambda result: "again"})
    gone, first, second = (batcher.result_of("site", "beat", "a1") for _ in range(3))
    gone.cancel()
    assert [await first, await second] == ["a1", "again"]


async def test_equal_items_fail_together_and_are_not_sent_when_all_have_gone() -> None:
    def fail(item: str) -> None:
        raise StoreError(item)

    server = Server(fail)
    batcher = batcher_of(server, id_of=itemgetter(0), again={"beat": lambda result: "again"})
    equal = [batcher.result_of("site", "beat", "a1") for _ in range(2)]
    results = await asyncio.gather(*equal, return_exceptions=True)
    assert [str(result) for result in results] == ["a1", "a1"]
    for shared in [batcher.result_of("site", "beat", "b1") for _ in range(2)]:
        shared.cancel()
    await settle()
    assert (server.sent, batcher.waiting) == ([["a1"]], 0)


async def test_a_thousand_equal_items_are_told() -> None:
    batcher = batcher_of(Server(), id_of=itemgetter(0), again={"beat": lambda result: "again"})
    futures = [batcher.result_of("site", "beat", "a1") for _ in range(5_000)]
    assert Counter(await asyncio.gather(*futures)) == {"a1": 1, "again": 4_999}


async def test_more_than_can_wait_is_refused() -> None:
    server = Server()
    batcher = batcher_of(server, max_waiting=2)
    server.gate.clear()
    futures = [batcher.result_of("a", "beat", 0)]
    await settle()  # it is on its way, and waits no more
    futures += [batcher.result_of("a", "beat", n) for n in (1, 2)]
    with pytest.raises(StoreBusy):
        batcher.result_of("b", "beat", 3)
    server.gate.set()
    assert await asyncio.gather(*futures) == [0, 1, 2]
    assert await batcher.result_of("b", "beat", 4) == 4


async def test_thousands_of_keys_travel_in_few_calls() -> None:
    server = Server()
    batcher = batcher_of(server, max_call=4_000)
    futures = [batcher.result_of(f"site-{n % 5_000}", "beat", n) for n in range(10_000)]
    assert await asyncio.gather(*futures) == list(range(10_000))
    assert [len(call) for call in server.calls] == [2_000, 2_000, 1_000]


async def test_a_call_has_no_more_than_it_can_answer_in_time() -> None:
    server = Server()
    batcher = batcher_of(server, max_batch=4, max_call=10)
    futures = [batcher.result_of("a", "beat", n) for n in range(30)]
    assert await asyncio.gather(*futures) == list(range(30))
    assert server.sent == [list(range(12)), list(range(12, 24)), list(range(24, 30))]


async def test_what_came_while_a_call_was_cut_up_joins_what_still_waits() -> None:
    server = Server()
    batcher = batcher_of(server, max_batch=4, max_call=2)
    server.gate.clear()
    futures = [batcher.result_of(key, "beat", n) for n, key in enumerate("aabb")]
    await settle()
    futures += [batcher.result_of(key, "beat", n) for n, key in enumerate("ab", 4)]
    server.gate.set()
    assert await asyncio.gather(*futures) == list(range(6))
    # What is on its way is never added to; what waits is.
    assert server.sent == [[0, 1], [2, 3, 5], [4]]


async def test_after_a_failure_what_has_waited_too_long_is_refused() -> None:
    class Failing(Server):
        async def send(self, batches: Batches) -> list[Answer[Any]]:
            await super().send(batches)
            raise StoreError("down")

    server = Failing()
    batcher = batcher_of(server, max_batch=2, max_call=2, max_wait_s=0.0)
    futures = [batcher.result_of("a", "beat", n) for n in range(7)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert len(server.calls) == 1, "nobody waits for another call to fail"
    assert [str(error) for error in results[:2]] == ["down"] * 2
    assert [type(error) for error in results[2:]] == [StoreBusy] * 5


async def test_while_calls_succeed_nothing_is_too_late() -> None:
    batcher = batcher_of(Server(), max_batch=2, max_call=2, max_wait_s=0.0)
    futures = [batcher.result_of("a", "beat", n) for n in range(7)]
    assert await asyncio.gather(*futures) == list(range(7))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), lanes=st.integers(1, 4), max_batch=st.integers(1, 9))
def test_results_are_never_mixed_up(seed: int, lanes: int, max_batch: int) -> None:
    asyncio.run(_race(random.Random(seed), lanes, max_batch))


async def _race(chance: random.Random, lanes: int, max_batch: int) -> None:
    """300 callers with random delays, cancellations, failures and keys that change their lanes:
    each is told of its own item."""
    in_flight: Counter[int] = Counter()
    lane_of = {key: key % lanes for key in range(6)}
    submitted: dict[int, list[int]] = {}
    seen: dict[int, list[int]] = {}

    def done_of(batch: Batch[int, int, tuple[int, int]], count: int) -> list[Any]:
        done, seen_so_far = batch.items[:count], seen.setdefault(batch.key, [])
        seen_so_far += done
        return [(batch.key, item) if item % 11 else StoreError("poisoned") for item in done]

    def answer(batch: Batch[int, int, tuple[int, int]], moved: set[int]) -> Answer[Any]:
        if batch.key in moved or chance.random() < 0.1:
            count = 0 if batch.key in moved else chance.randrange(len(batch.items))
            moved.add(batch.key)
            lane_of[batch.key] = chance.randrange(lanes)
            left = [None] * (len(batch.items) - count)
            return Requeue(lambda: StoreError("down"), [*done_of(batch, count), *left])
        done = done_of(batch, len(batch.items))
        return StoreError("down") if chance.random() < 0.1 else done

    async def send(batches: list[Batch[int, int, tuple[int, int]]]) -> list[Answer[Any]]:
        lane = lane_of[batches[0].key]
        in_flight[lane] += 1
        assert in_flight[lane] == 1
        assert all(lane_of[batch.key] == lane for batch in batches)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        in_flight[lane] -= 1
        if chance.random() < 0.1:
            for batch in batches:
                done_of(batch, len(batch.items))
            raise StoreError("down")
        moved: set[int] = set()
        return [answer(batch, moved) for batch in batches]

    batcher: Batcher[int, int, tuple[int, int]] = Batcher(
        send, lane_of.__getitem__, max_batch=max_batch, max_wait_s=600, patience_s=600
    )

    async def caller(n: int) -> None:
        for _ in range(chance.randrange(9)):
            await asyncio.sleep(0)
        key = chance.randrange(6)
        submitted.setdefault(key, []).append(n)
        try:
            assert await batcher.result_of(key, chance.choice(["beat", "leave"]), n) == (key, n)
        except StoreError as error:
            assert str(error) == "down" or n % 11 == 0  # noqa: PT017

    callers = [asyncio.ensure_future(caller(n)) for n in range(300)]
    for _ in range(12):
        await asyncio.sleep(0)
        chance.choice(callers).cancel()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    await batcher.close()
    assert batcher.waiting == 0
    assert is_idle(batcher)
    for key, items in seen.items():
        sent = set(items)
        assert items == [n for n in submitted[key] if n in sent]  # in order, and each once


async def test_what_is_to_be_sent_later_waits_alone_on_the_lane_that_it_has_by_then() -> None:
    lane_of = {"blog": "node", "shop": "node"}
    server, is_moving = Server(), True

    async def send(batches: Batches) -> list[Answer[Any]]:
        answers = await server.send(batches)
        if batches[0].key == "blog" and is_moving:
            lane_of["blog"] = "moving"
            return [Requeue(lambda: StoreError("never")) for _ in batches]
        return answers

    batcher: Batcher[str, Any, Any] = Batcher(send, lane_of.__getitem__, patience_s=60)
    waits = [batcher.result_of("blog", "beat", 1)]
    await settle()
    waits += [batcher.result_of("blog", kind, n) for n, kind in ((2, "beat"), (3, "leave"))]
    assert await batcher.result_of("shop", "beat", 4) == 4, "nobody else waits"
    while len(server.calls) < 6:  # noqa: ASYNC110  # a turn of the loop at a time
        await asyncio.sleep(0)
    assert not any(waiting.done() for waiting in waits)
    assert batcher.waiting in (2, 3)  # one may be in flight
    assert server.sent[-1] == [1], "one batch is enough to find out"
    is_moving = False
    assert await asyncio.gather(*waits) == [1, 2, 3]
    assert server.sent[-1] == [2, 3]
    await batcher.close()
    assert batcher.waiting == 0
    assert is_idle(batcher)


@pytest.mark.parametrize(
    ("is_stalled", "open_s", "batches"),
    [(False, 0.0, [[1, 2, 3]]), (True, 60.0, [[1, 2, 3]]), (True, 0.0, [[1], [2], [3]])],
)
async def test_a_batch_that_waits_takes_in_no_latecomers(
    is_stalled: bool, open_s: float, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be given up with those who have waited for long."""
    monkeypatch.setattr("service.store.batching.lane.OPEN_S", open_s)
    lane: Lane[str, int, int] = Lane(id, {}, max_batch=8, enough=8)
    lane.is_stalled = is_stalled
    for item in (1, 2, 3):
        lane.add("blog", "beat", item, asyncio.get_running_loop().create_future())
    assert [batch.items for batch in lane.take(8)] == batches


async def test_a_lane_that_goes_on_is_not_stalled_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    answers = iter([1, 2, None, 3, None])  # 1, 2 and 3: not yet

    async def send(batches: Batches) -> list[Answer[Any]]:
        if next(answers):
            return [Requeue(lambda: StoreError("moving")) for _ in batches]
        return [list(batch.items) for batch in batches]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("service.store.batching.batcher.asyncio.sleep", sleep)
    batcher: Batcher[str, Any, Any] = Batcher(send, lambda key: key)
    for item in (1, 2):
        assert await batcher.result_of("a", "beat", item) == item
        assert not batcher._lanes["a"].is_stalled
    assert pauses == [PAUSE_S, 2 * PAUSE_S, PAUSE_S]


@pytest.mark.parametrize("hangs", [False, True])
async def test_nobody_waits_for_later_for_ever(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.batching.batcher.LAST_CALL_S", 0.0)
    calls = 0

    async def send(batches: Batches) -> list[Answer[Any]]:
        nonlocal calls
        calls += 1
        if hangs and calls == 2:
            await asyncio.Event().wait()
        return [Requeue(lambda: StoreError("moving")) for _ in batches]

    batcher: Batcher[str, Any, Any] = Batcher(send, lambda key: "", patience_s=0.05)
    with pytest.raises(StoreBusy if hangs else StoreError, match="too long" if hangs else "moving"):
        await batcher.result_of("blog", "beat", 1)
    assert calls >= 2
    await batcher.close()
    assert batcher.waiting == 0


async def test_of_what_is_done_in_part_only_the_rest_is_sent_later() -> None:
    sent: list[list[int]] = []

    async def send(batches: Batches) -> list[Answer[Any]]:
        sent.append(list(batches[0].items))
        if len(sent) == 1:
            return [Requeue(lambda: StoreError("never"), ["one", None, "three"])]
        return [["two"]]

    batcher: Batcher[str, Any, Any] = Batcher(send, lambda key: "")
    futures = [batcher.result_of("blog", "leave", n) for n in (1, 2, 3)]
    assert await asyncio.gather(*futures) == ["one", "two", "three"]
    assert sent == [[1, 2, 3], [2]]
    assert batcher.waiting == 0
    await batcher.close()
