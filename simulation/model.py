"""The simulation: events on cores. A copy does with a heartbeat what service/store/batching does:
one call in flight to each node, a pause after a call of several, until enough wait.

Where only a part of the copies is simulated, the others' calls reach each node as a Poisson process
of calls such as those of the part.
"""

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from inspect import signature
from itertools import count
from math import ceil, floor, log
from typing import Any

from service.redis.cluster import LOST_AFTER_S
from service.store.batching.batch_sender import CALL_LIMIT
from service.store.batching.batcher import Batcher
from service.store.batching.lane import PEAK_KEPT
from service.store.sweeper import POLL_S
from service.store.sweeps import SWEEP_LIMIT
from service.store.writer import CALL_PACE_S
from simulation.costs import Costs, faded

_DEFAULTS = signature(Batcher).parameters
ENOUGH, MAX_WAITING, MAX_CALL, MAX_WAIT_S = (
    _DEFAULTS[name].default for name in ("enough", "max_waiting", "max_call", "max_wait_s")
)
RETRY_S = 30  # Retry-After is from 1 s to the interval
BEFORE = 0.6  # of what a heartbeat costs a copy, the share before its call
KEPT = 512  # calls of which those of other copies are drawn


@dataclass(frozen=True)
class Plan:
    """What is simulated. `part`: how many of the copies, 0: all. `shards`: of each site, all of
    which are equal. `is_by_site`: the balancer chooses the copy by the site. `is_shared`: copies
    share a core, and nodes another with the balancer and who sends, as on the machine that is
    measured."""

    rate: float
    copies: int = 1
    nodes: int = 1
    sites: int = 1
    shards: int = 1
    part: int = 0
    is_cluster: bool = True
    is_by_site: bool = False
    is_shared: bool = False
    network_s: float = 0.000_1
    seconds: float = 2.0
    warm_up_s: float = 0.5
    gone_share: float = 0.05  # of the heartbeats that create a session: as many are swept
    burst: tuple[float, float] = (0.0, 1.0)  # until when the rate is so many times as high
    away: tuple[float, float] = (0.0, 0.0)  # from when to when the first node does not answer


@dataclass
class Outcome:
    """What came of it, of what was simulated. Seconds; CPU by process in µs."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    waiting: int = 0
    calls: int = 0
    scripts: int = 0
    wakes: int = 0  # of copies
    node_wakes: int = 0
    copy_us: float = 0.0  # per heartbeat
    redis_us: float = 0.0
    copies_busy: float = 0.0  # of a core, in the mean
    nodes_busy: float = 0.0
    busiest: float = 0.0  # of the nodes
    latencies: list[float] = field(default_factory=list)

    def percentile_ms(self, percent: float) -> float:
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class Core:
    """Does one thing after another."""

    free_s = busy_s = 0.0


class Cache:
    """What processes of one program find warm on their core."""

    def __init__(
        self, share: float = 0.0, warm_us: float = 1.0, cool_us: float = 1.0, evict: float = 0.0
    ) -> None:
        self._share, self._warm_s, self._cool_s = share, warm_us / 1e6, cool_us / 1e6
        self._evict = evict
        self._rests_s = self._busy_s = self._chill = self._worked_s = self._warmed = 0.0

    def cold_s(self, at: float, seconds: float, busy_s: float = 0.0) -> float:
        """How much longer so much work takes then; `busy_s`: what the core has done by then."""
        if at > self._rests_s + 1e-9:
            rest_s = at - self._rests_s + self._evict * (busy_s - self._busy_s)
            self._chill = faded(rest_s, self._cool_s)
            self._worked_s = self._warmed = 0.0
        self._worked_s += seconds
        before, self._warmed = self._warmed, faded(self._worked_s, self._warm_s)
        return self._share * self._chill * self._warm_s * (self._warmed - before)

    def rest(self, at: float, busy_s: float = 0.0) -> None:
        """From then on it cools, until there is work again."""
        self._rests_s, self._busy_s = at, busy_s


class Process:
    """A process on a core: what it is asked while it waits for nothing wakes it first. With numbers
    each piece of work takes exponentially distributed times: no two heartbeats are alike."""

    def __init__(
        self,
        core: Core,
        wake_us: float,
        cache: Cache | None = None,
        numbers: random.Random | None = None,
    ) -> None:
        self.core, self.wake_s = core, wake_us / 1e6
        self.free_s = self.busy_s = 0.0
        self.wakes = 0
        self._cache, self._numbers = cache, numbers

    def work(self, at: float, seconds: float, pieces: int = 1) -> float:
        """Does so much, in the mean, as soon as it can; returns when it is done."""
        if self._numbers is not None:
            draw = self._numbers
            # Of one piece the same, by a shorter way.
            seconds *= (
                draw.gammavariate(pieces, 1 / pieces) if pieces > 1 else -log(1.0 - draw.random())
            )
        cache = self._cache if seconds else None
        if cache:
            seconds += cache.cold_s(at, seconds, self.core.busy_s)
        self._occupy(at, seconds, self.wake_s)
        if cache:
            cache.rest(self.free_s, self.core.busy_s)
        return self.free_s

    def _occupy(self, at: float, seconds: float, wake_s: float) -> None:
        core = self.core
        if at > self.free_s + 1e-9:
            self.wakes += 1
            seconds += wake_s
        begins = core.free_s if core.free_s > at else at
        core.free_s = self.free_s = begins + seconds
        self.busy_s += seconds
        core.busy_s += seconds


class Node(Process):
    """A node, with what else it does: others' calls, sweeps, and a timer 500 times a second."""

    def __init__(self, core: Core, costs: Costs, numbers: random.Random, cache: Cache) -> None:
        super().__init__(core, costs.redis_wake, cache, numbers)
        self.others = self.sweeps = 0.0  # a second
        self.sweep_s, self.swept = 0.0, 1  # of a sweep, and how many sessions
        self.timer, self._tick_s = costs.redis_hz, costs.redis_tick / 1e6
        self._random = numbers.random
        self._next = 0.0

    def tick(self, at: float) -> None:
        """What its timer wakes it for."""
        self._occupy(at, self._tick_s, 0.0)

    def catch_up(self, now: float, like: deque[tuple[float, int]]) -> None:
        """Does what came before now."""
        draw, sure = self._random, self.sweeps + self.timer
        rate = (self.others if like else 0.0) + sure
        if not rate:
            self._next = now
        while self._next < now:
            which = draw() * rate
            if which >= sure:
                self.work(self._next, *like[int(draw() * len(like))])
            elif which < self.sweeps:
                self.work(self._next, self.sweep_s, self.swept)
            else:
                self.tick(self._next)
            self._next -= log(1.0 - draw()) / rate


class Lane:
    """What waits in a copy for a node."""

    def __init__(self, copy: "Copy", node: Node) -> None:
        self.copy, self.node = copy, node
        self.queue: deque[tuple[int, float]] = deque()  # shard, and when it was sent
        self.is_idle, self.pause = True, 0  # the number of the pause that it is in
        self.began_s = self.peak = 0.0


class Copy(Process):
    """A copy of the service, its lanes, and the shards whose heartbeats it is sent."""

    def __init__(
        self, core: Core, costs: Costs, pool: list[int], cache: Cache, numbers: random.Random
    ) -> None:
        super().__init__(core, costs.copy_wake, cache, numbers)
        self.pool = pool
        self.lanes: dict[int, Lane] = {}
        self.waiting = 0


class Simulation:
    """One run of a plan; the same for the same seed."""

    def __init__(self, plan: Plan, costs: Costs, seed: int = 1) -> None:
        self.plan, self.costs = plan, costs
        self._copy_cluster = costs.copy_cluster * plan.is_cluster
        self._redis_cluster = costs.redis_cluster * plan.is_cluster
        self.numbers = numbers = random.Random(seed)
        self.outcome = Outcome()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count, self._turn = count(), count()
        self._like: deque[tuple[float, int]] = deque(maxlen=KEPT)
        self._calls_in_all = 0
        first, second = Core(), Core()
        of_copies = costs.copy_cold, costs.copy_warm, costs.copy_cool, costs.copy_evict
        of_nodes = costs.redis_cold, costs.redis_warm, costs.redis_cool, costs.redis_evict
        # What nodes find warm is the program, which is one on a shared core; copies are Python,
        # which has a heap in each. Simulated otherwise, neither came near what was seen.
        cache = Cache(*of_nodes)
        self._others = Process(second, 0.0)  # the balancer and who sends, on a shared core
        shards = plan.sites * plan.shards
        # Evenly: slots are moved until they are. But no copy's sites are all on one node.
        self.node_of = [n % plan.nodes for n in range(shards)]
        numbers.shuffle(self.node_of)
        self.nodes = [
            Node(second, costs, numbers, cache)
            if plan.is_shared
            else Node(Core(), costs, numbers, Cache(*of_nodes))
            for _ in range(plan.nodes)
        ]
        self.here = Counter(self.node_of)
        self._of_part = (plan.part or plan.copies) / plan.copies
        for number, node in enumerate(self.nodes):
            gone = plan.gone_share * plan.rate * self.here[number] / shards
            each = min(max(gone / max(self.here[number], 1) * POLL_S, 1.0), SWEEP_LIMIT)
            node.sweeps, node.swept = gone / each if costs.sweep else 0.0, round(each)
            node.sweep_s = (
                costs.redis_call + costs.redis_script + self._redis_cluster + each * costs.sweep
            ) / 1e6
        self.copies = [
            Copy(
                first if plan.is_shared else Core(),
                costs,
                list(range(n, shards, plan.copies)) if plan.is_by_site else list(range(shards)),
                Cache(*of_copies),
                numbers,
            )
            for n in range(plan.part or plan.copies)
        ]

    def run(self) -> Outcome:
        plan, outcome, events = self.plan, self.outcome, self._events
        self._at(0.0, self._send)
        if plan.is_shared:  # a core to which more comes than these: each in its moment
            for node in self.nodes:
                node.timer = 0.0
                self._at(0.0, self._tick, node)
        ends, is_warm = plan.warm_up_s + plan.seconds, False
        used: list[tuple[float, int]] = []
        processes = [*self.copies, *self.nodes]
        while events and events[0][0] < ends:
            now, _, what, arguments = heappop(events)
            if not is_warm and now >= plan.warm_up_s:
                is_warm = True
                self._catch_up(now)
                used = [(process.busy_s, process.wakes) for process in processes]
                earlier = outcome
                outcome = self.outcome = Outcome(
                    waiting=earlier.sent - earlier.answered - earlier.refused
                )
            what(now, *arguments)
        self._catch_up(ends)
        outcome.waiting += outcome.sent - outcome.answered - outcome.refused
        many, sent_m = len(self.copies), max(outcome.sent, 1) / 1e6
        busy = [p.busy_s - was for p, (was, _) in zip(processes, used, strict=True)]
        copies, nodes = busy[:many], busy[many:]
        woken = [p.wakes - was for p, (_, was) in zip(processes, used, strict=True)]
        outcome.wakes, outcome.node_wakes = sum(woken[:many]), sum(woken[many:])
        outcome.copies_busy = sum(copies) / len(copies) / plan.seconds
        outcome.nodes_busy = sum(nodes) / len(nodes) / plan.seconds
        outcome.busiest = max(nodes) / plan.seconds
        outcome.copy_us = sum(copies) / sent_m
        outcome.redis_us = sum(nodes) / sent_m * self._of_part
        return outcome

    def _catch_up(self, now: float) -> None:
        for number, node in enumerate(self.nodes):
            node.others = self._of_others(number, now)
            node.catch_up(now, self._like)

    def _of_others(self, number: int, now: float) -> float:
        """Calls a second that copies make to a node which are not simulated."""
        share = self.here[number] / len(self.node_of)
        return self._calls_in_all / max(now, 0.01) * (1 / self._of_part - 1) * share

    def _at(self, when: float, what: Callable[..., None], *arguments: Any) -> None:
        heappush(self._events, (when, next(self._count), what, arguments))

    def _tick(self, now: float, node: Node) -> None:
        node.tick(now)
        if self.costs.redis_hz:
            self._at(now + 1 / self.costs.redis_hz, self._tick, node)

    def _send(self, now: float) -> None:
        """A heartbeat comes, and the next is due by a Poisson process."""
        until, times = self.plan.burst
        rate = self.plan.rate * self._of_part * (times if now < until else 1.0)
        self._at(now - log(1.0 - self.numbers.random()) / rate, self._send)
        copy = self.copies[next(self._turn) % len(self.copies)]
        if self.plan.is_shared:
            self._others.work(now, self.costs.generator / 1e6)
        self._arrive(now, copy, copy.pool[int(self.numbers.random() * len(copy.pool))])

    def _arrive(self, now: float, copy: Copy, shard: int) -> None:
        self.outcome.sent += 1
        done = copy.work(now, self.costs.copy_heartbeat * BEFORE / 1e6)
        self._at(done, self._submit, copy, shard, now)

    def _refuse(self, now: float, copy: Copy, shard: int) -> None:
        """It comes again when Retry-After says."""
        self.outcome.refused += 1
        self._at(now + 1 + self.numbers.random() * (RETRY_S - 1), self._arrive, copy, shard)

    def _submit(self, now: float, copy: Copy, shard: int, sent: float) -> None:
        if copy.waiting >= MAX_WAITING:
            self._refuse(now, copy, shard)
            return
        copy.waiting += 1
        number = self.node_of[shard]
        lane = copy.lanes.get(number)
        if lane is None:
            lane = copy.lanes[number] = Lane(copy, self.nodes[number])
        lane.queue.append((shard, sent))
        if lane.is_idle or (lane.pause and len(lane.queue) >= min(ENOUGH, lane.peak)):
            lane.is_idle, lane.pause = False, 0
            self._at(max(now, copy.free_s), self._take, lane)

    def _wake(self, now: float, lane: Lane, pause: int) -> None:
        if lane.pause == pause:
            lane.pause = 0
            self._at(lane.copy.work(now, 0.0), self._take, lane)

    def _take(self, now: float, lane: Lane) -> None:
        """Sends what waits, up to so much."""
        queue, costs = lane.queue, self.costs
        if not queue:
            lane.is_idle = True
            return
        items = [queue.popleft() for _ in range(min(len(queue), MAX_CALL))]
        if self.plan.is_cluster:
            scripts = sum(ceil(n / CALL_LIMIT) for n in Counter(s for s, _ in items).values())
        else:
            scripts = ceil(len(items) / CALL_LIMIT)
        lane.began_s = now
        self.outcome.calls += 1
        self.outcome.scripts += scripts
        us = costs.copy_call / 2 + self._copy_cluster + costs.copy_script * scripts
        done = lane.copy.work(now, us / 1e6)
        self._at(done + self.plan.network_s, self._reach, lane, items, scripts)

    def _reach(self, now: float, lane: Lane, items: list[tuple[int, float]], scripts: int) -> None:
        costs, node = self.costs, lane.node
        begins, ends = self.plan.away
        if begins <= now < ends and node is self.nodes[0]:
            self._at(now + LOST_AFTER_S, self._fail, lane, items)
            return
        self._calls_in_all += 1
        node.others = self._of_others(self.node_of[items[0][0]], now)
        node.catch_up(now, self._like)
        us = costs.redis_call + (costs.redis_script + self._redis_cluster) * scripts
        us += costs.redis_heartbeat * len(items)
        self._like.append((us / 1e6, len(items)))
        done = node.work(now, us / 1e6, len(items))
        self._at(done + self.plan.network_s, self._reply, lane, items)

    def _fail(self, now: float, lane: Lane, items: list[tuple[int, float]]) -> None:
        for shard, _ in items:
            self._refuse(now, lane.copy, shard)
        lane.copy.waiting -= len(items)
        while lane.queue and now - lane.queue[0][1] > MAX_WAIT_S:  # too late to be answered
            shard, _ = lane.queue.popleft()
            lane.copy.waiting -= 1
            self._refuse(now, lane.copy, shard)
        self._take(now, lane)

    def _reply(self, now: float, lane: Lane, items: list[tuple[int, float]]) -> None:
        copy, each_s = lane.copy, self.costs.copy_heartbeat * (1 - BEFORE) / 1e6
        done = copy.work(now, self.costs.copy_call / 2e6)
        for _, sent in items:
            answered = copy.work(done, each_s)
            self.outcome.latencies.append(answered - sent)
        self.outcome.answered += len(items)
        copy.waiting -= len(items)
        paced = lane.began_s + CALL_PACE_S
        if len(items) > 1:
            lane.peak = max(len(items) + len(lane.queue), PEAK_KEPT * lane.peak)
            if done < paced and len(lane.queue) < min(ENOUGH, lane.peak):
                lane.pause = next(self._count) + 1
                # uvloop counts in whole ms, and looks when something comes, or in a whole ms.
                comes_ms = -log(1.0 - self.numbers.random()) * 1000 * self.plan.copies
                late_ms = min(comes_ms / self.plan.rate, self.numbers.random())
                ends_ms = floor(done * 1000) + round((paced - done) * 1000) + late_ms
                self._at(max(ends_ms / 1000, done), self._wake, lane, lane.pause)
                return
        self._at(done, self._take, lane)
