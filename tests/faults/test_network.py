"""Faults of the way to Redis, of the way of clients to the service, and of too many connections."""

import asyncio
import functools
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.faults.background import Background
from tests.faults.copies import Copy, copies
from tests.faults.load import Client, Load
from tests.faults.proxy import Proxy
from tests.faults.requests import operator
from tests.faults.verdict import ALLOWANCE_S, ANSWER_WITHIN_S, Loss, check_log, judge
from tests.servers import Server, wait_until

STORM_PER_S = 45  # two dozen connections, and then ten tries a second of two connects each
WRITES = ("created", "moved")
SCRIPT_CALLS = ("evalsha", "eval")


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Server, Proxy, Copy]]:
    """A Redis, a proxy before it, and a copy of the service that outlive all faults of this
    file."""
    with (
        Server("valkey") as server,
        Proxy(server.port) as proxy,
        copies(1, f"redis://127.0.0.1:{proxy.port}") as (copy,),
    ):
        yield server, proxy, copy


@pytest.fixture
def server(shared: tuple[Server, Proxy, Copy]) -> Server:
    shared[0].client.config_set("maxclients", 10_000)
    shared[0].client.flushall()
    return shared[0]


@pytest.fixture
def proxy(shared: tuple[Server, Proxy, Copy]) -> Iterator[Proxy]:
    _, proxy, _ = shared
    proxy.connected_at.clear()
    yield proxy
    proxy.dropped, proxy.delay_s = set(), 0.0


@pytest.fixture
def copy(shared: tuple[Server, Proxy, Copy]) -> Copy:
    return shared[2]


@pytest.fixture
def load(server: Server, proxy: Proxy, copy: Copy) -> Iterator[Load]:
    with Load([copy.port]) as load:
        yield load


def scripts_run(server: Server) -> int:
    """Script calls that the server has carried out."""
    stats = server.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in SCRIPT_CALLS)


def has_lost_a_reply(server: Server, load: Load, before: int, start: float) -> bool:
    """Where no reply is let through: that of a script which ran since, or of the one before, and
    then nothing more is sent."""
    return scripts_run(server) > before or bool(load.failed(start))


@pytest.mark.fault("F6")
def test_reply_lost_after_the_write(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    for _ in range(5):
        before, start = scripts_run(server), time.monotonic()
        proxy.dropped = {"down"}
        load.until(functools.partial(has_lost_a_reply, server, load, before, start))
        proxy.reset()
        proxy.dropped = set()
        load.recovers()
    figures = judge(load, server.url, [copy])
    assert figures.repeated, "no reply was lost after all"
    measured |= figures.as_dict() | {"connects_per_s": proxy.connects_per_second()}


@pytest.mark.fault("F7")
def test_reply_cut_inside_a_frame(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    for _ in range(5):
        connects = len(proxy.connected_at)
        proxy.cut_replies(3)
        load.until(lambda: proxy.cuts_made == 3)
        load.recovers()
        assert len(proxy.connected_at) > connects
    load.more()
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"connects_per_s": proxy.connects_per_second()}


@pytest.mark.fault("F8")
def test_clients_abort(server: Server, proxy: Proxy, copy: Copy, measured: dict[str, Any]) -> None:
    proxy.delay_s = 0.01  # so that there is something under way whenever a client goes
    aborted = asks = 0
    numbers = itertools.count()
    is_over = False

    async def abort() -> None:
        """Asks, and is gone before the answer is there, or while it comes."""
        nonlocal aborted
        chance = random.Random(aborted)
        client = Client(copy.port)
        while not is_over:
            number = next(numbers)
            task = asyncio.ensure_future(_ask(client, number, with_counts=number % 3 == 0))
            await asyncio.sleep(chance.random() * 0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            client.close()
            aborted += 1

    async def ask() -> None:
        """Each answer names what only its own request has named."""
        nonlocal asks
        client = Client(copy.port)
        while asks < 1000:
            asks += 2
            number = next(numbers)
            counted = json.loads((await _ask(client, number, with_counts=True)).body)
            assert (counted["status"], counted["activeOnPath"]) == ("created", 1)
            reply = await client.ask(
                "GET", f"/v1/sites/blog/sessions/{_session(number)}", headers=operator()
            )
            told = json.loads(reply.body)
            assert (told["sessionId"], told["currentPath"]) == (_session(number), f"/{number}")
        client.close()

    async def run() -> None:
        nonlocal is_over
        aborting = [asyncio.create_task(abort()) for _ in range(8)]
        await asyncio.gather(*(ask() for _ in range(16)))
        is_over = True
        await asyncio.gather(*aborting)

    with Background() as background:
        background.run(run(), 100)
    assert aborted > 50
    proxy.delay_s = 0.0
    with Load([copy.port], sites=("other",)) as load:
        figures = judge(load, server.url, [copy], may_repeat=False)
    assert not figures.failures
    measured |= figures.as_dict() | {"replies": asks, "aborted": aborted}


async def _ask(client: Client, number: int, *, with_counts: bool) -> Any:
    body = json.dumps({"sessionId": _session(number), "currentPath": f"/{number}"}).encode()
    query = "?counts=1" if with_counts else ""
    return await client.ask("POST", f"/v1/sites/blog/heartbeat{query}", body)


def _session(number: int) -> str:
    return f"aborting-{number:012d}"


@pytest.mark.fault("F12")
def test_primary_becomes_a_replica(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    """Behind one address, such as a load balancer's, which leaves open connections as they are."""
    server.client.config_set("repl-diskless-sync-delay", 0)
    with Server("valkey", "--replicaof", f"127.0.0.1 {server.port}") as replica:
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        try:
            # What was written up to here is on the replica when it is promoted, however slow it is.
            safe = time.monotonic()
            server.client.set("written", "by whom the next line waits for")
            wait_until(lambda: server.client.wait(1, 1000))
            begun = time.monotonic()
            replica.client.execute_command("REPLICAOF", "NO", "ONE")
            server.client.execute_command("REPLICAOF", "127.0.0.1", replica.port)
            demoted = time.monotonic()
            load.until(lambda: any(b"takes no writes" in ack.body for ack in load.failed(begun)))
            load.fail()
            proxy.target = replica.port
            moved = time.monotonic()
            recovery = load.recovers(since=moved)
            # A duplicate writes nothing, so a replica may have said so.
            first = min(
                ack.ended for ack in load.acks if ack.outcome in WRITES and ack.begun > moved
            )
            load.more(200)
            assert not load.failed(first)
            # Some were written by one that was a primary no more; and until its connections are
            # made anew, a demoted one still says `duplicate` of what it has and is to lose.
            loss = Loss(safe, begun, first)
            assert not [a for a in load.acks if a.outcome in WRITES and demoted < a.begun < moved]
            figures = judge(load, replica.url, [copy], losses=[loss])
            connects = proxy.connects_per_second()
            assert connects <= STORM_PER_S
        finally:  # back, for whoever comes next
            server.client.execute_command("REPLICAOF", "NO", "ONE")
            proxy.target = server.port
            proxy.reset()
    measured |= figures.as_dict() | {"recovery_s": recovery, "connects_per_s": connects}


@pytest.mark.fault("F16")
def test_too_many_clients(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    others = [redis.Redis(port=server.port) for _ in range(4)]
    for other in others:
        other.ping()
    server.client.config_set("maxclients", 5)
    proxy.reset()
    full = time.monotonic()
    proxy.connected_at.clear()
    load.fail(8)
    load.until(lambda: time.monotonic() > full + 3.0)  # the rate is counted over whole seconds
    mean = len(proxy.connected_at) / (time.monotonic() - full)
    for other in others:
        other.close()
    server.client.config_set("maxclients", 10_000)
    over = time.monotonic()
    recovery = load.recovers(since=over)
    connects = proxy.connects_per_second()
    assert connects <= STORM_PER_S, f"{connects} connects in one second"
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {
        "recovery_s": recovery,
        "connects_per_s": connects,
        "mean_connects_per_s": round(mean, 1),
    }


@pytest.mark.fault("F16")
def test_pool_exhausted(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    async def crowd(size: int) -> list[tuple[int, float]]:
        async def read() -> tuple[int, float]:
            client = Client(copy.port)
            begun = time.monotonic()
            reply = await client.ask("GET", "/v1/sites/blog/stats")
            client.close()
            return reply.status, time.monotonic() - begun

        return await asyncio.gather(*(read() for _ in range(size)))

    with Background() as background:
        server.freeze()
        try:
            answers = background.run(crowd(200))
        finally:
            server.thaw()
        over = time.monotonic()
        assert {status for status, _ in answers} == {503}
        longest = max(took for _, took in answers)
        assert longest < ANSWER_WITHIN_S + ALLOWANCE_S + load.lag_s
        recovery = load.recovers(since=over)
        wait_until(lambda: {status for status, _ in background.run(crowd(32))} == {200})
    assert proxy.connects_per_second() <= STORM_PER_S
    assert proxy.open <= 20
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {
        "recovery_s": recovery,
        "longest_s": round(max(longest, figures.longest_s), 3),
        "connects_per_s": proxy.connects_per_second(),
    }


@pytest.mark.fault("F24")
def test_slow_network(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    begun = time.monotonic()
    proxy.delay_s = 0.1  # each way
    load.until(lambda: sum(ack.begun > begun for ack in load.acks) > 200)
    took = [ack.took for ack in load.acks if ack.begun > begun]
    p99 = statistics.quantiles(took, n=100)[98]
    assert p99 < ANSWER_WITHIN_S + load.lag_s
    assert not load.failed(begun)
    proxy.delay_s = 0.0
    figures = judge(load, server.url, [copy], may_repeat=False)
    check_log(copy)
    measured |= figures.as_dict() | {"p99_s": round(p99, 3)}
