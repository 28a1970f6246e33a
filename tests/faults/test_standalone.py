"""Faults of one Redis: it dies, freezes, pauses, is slow, busy, or full."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.conftest import patient_store
from tests.faults.copies import Copy, copies
from tests.faults.load import Load
from tests.faults.verdict import ALLOWANCE_S, Loss, judge
from tests.servers import Server, wait_until

LOOKS = ("/livez", "/readyz", "/v1/sites/blog/stats", "/v1/sites/blog/active")
STREAMS = ("presence:{blog}:views", "presence:{blog}:events")


@pytest.fixture(scope="module", params=["valkey", "redis7"])
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Copy]]:
    """A Redis and a copy of the service that outlive all faults of this file."""
    with (
        Server(request.param, "--appendonly", "yes", "--appendfsync", "everysec") as server,
        copies(1, server.url) as (copy,),
    ):
        yield server, copy


@pytest.fixture
def server(shared: tuple[Server, Copy]) -> Server:
    server, _ = shared
    server.client.flushall()
    return server


@pytest.fixture
def copy(shared: tuple[Server, Copy]) -> Copy:
    return shared[1]


@pytest.fixture
def load(server: Server, copy: Copy) -> Iterator[Load]:
    with Load([copy.port], looks=LOOKS) as load:
        yield load


only_valkey = pytest.mark.parametrize("shared", ["valkey"], indirect=True, scope="module")


@contextlib.contextmanager
def meanwhile(server: Server, *command: str | int) -> Iterator[None]:
    """A command on a connection of its own, for as long as Redis takes over it."""

    def run() -> None:
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis(port=server.port, socket_timeout=60) as client,
        ):
            client.execute_command(*command)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def readyz_said_503(load: Load, since: float, until: float) -> None:
    """For what was asked and answered in between, and at least once."""
    looks = [look for look in load.looks_at("/readyz") if since < look.begun + look.took < until]
    assert {look.status for look in looks if look.begun > since} <= {503}
    assert 503 in {look.status for look in looks}


def readyz_says_200(load: Load) -> None:
    """From now on."""
    now = time.monotonic()
    load.until(lambda: load.looks_at("/readyz", now))
    assert load.looks_at("/readyz", now)[0].status == 200


@pytest.mark.fault("F1")
def test_killed_and_started_empty(
    server: Server, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    killed = time.monotonic()
    server.kill()
    load.fail()
    server.forget()
    server.start()
    started = time.monotonic()
    recovery = load.recovers(since=started)
    first = min(ack.ended for ack in load.acks if ack.is_written and ack.begun > killed)
    load.more(300)
    # A dead connection is found before it is used, or another is used at once.
    assert not load.failed(first)
    readyz_says_200(load)
    livez_s = load.livez_was_well(ALLOWANCE_S)
    figures = judge(load, server.url, [copy], losses=[Loss(0.0, killed, started)])
    measured |= figures.as_dict() | {"recovery_s": recovery, "livez_s": livez_s}


@pytest.mark.fault("F2")
def test_killed_with_everysec(
    server: Server, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    killed = time.monotonic()
    server.kill()
    load.fail()
    server.start()
    started = time.monotonic()
    recovery = load.recovers(since=started)
    load.more()
    figures = judge(load, server.url, [copy], losses=[Loss(killed - 1.0, killed, started)])
    measured |= figures.as_dict() | {"recovery_s": recovery}


@pytest.mark.fault("F3")
@only_valkey
def test_frozen(server: Server, copy: Copy, load: Load, measured: dict[str, Any]) -> None:
    server.freeze()
    frozen = time.monotonic()
    try:
        load.fail(4)
        load.until(lambda: load.looks_at("/readyz", frozen))  # and has answered
    finally:
        server.thaw()
    thawed = time.monotonic()
    recovery = load.recovers(since=thawed)
    readyz_said_503(load, frozen, thawed)
    readyz_says_200(load)
    livez_s = load.livez_was_well(ALLOWANCE_S)
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"recovery_s": recovery, "livez_s": livez_s}


@pytest.mark.fault("F4")
@only_valkey
@pytest.mark.parametrize("what", ["WRITE", "ALL"])
def test_paused(
    server: Server, copy: Copy, load: Load, what: str, measured: dict[str, Any]
) -> None:
    paused = time.monotonic()
    server.client.execute_command("CLIENT", "PAUSE", 3000, what)
    load.fail(1)
    ends = paused + 3.0
    recovery = load.recovers(since=ends)
    readyz_said_503(load, paused, ends)
    readyz_says_200(load)
    livez_s = load.livez_was_well(ALLOWANCE_S)
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"recovery_s": recovery, "livez_s": livez_s}


@pytest.mark.fault("F5")
@only_valkey
def test_slow_once(server: Server, copy: Copy, load: Load, measured: dict[str, Any]) -> None:
    with meanwhile(server, "DEBUG", "SLEEP", 3):
        load.fail(1)
    over = time.monotonic()
    recovery = load.recovers(since=over)
    # What was given up is carried out now, and what was sent in its place as well.
    load.more()
    livez_s = load.livez_was_well(ALLOWANCE_S)
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"recovery_s": recovery, "livez_s": livez_s}


@pytest.mark.fault("F9")
def test_scripts_vanish(server: Server, copy: Copy, load: Load, measured: dict[str, Any]) -> None:
    begun = time.monotonic()
    for _ in range(40):
        server.client.script_flush()
        time.sleep(0.05)
    load.more()
    for path in LOOKS:
        assert {look.status for look in load.looks_at(path, begun)} == {200}, path
    figures = judge(load, server.url, [copy], may_repeat=False)
    assert not figures.failures
    measured |= figures.as_dict()


@pytest.mark.fault("F10")
def test_busy_in_a_script(server: Server, copy: Copy, load: Load, measured: dict[str, Any]) -> None:
    server.client.config_set("busy-reply-threshold", 100)
    begun = time.monotonic()
    with meanwhile(server, "EVAL", "while true do end", 0):
        load.until(
            lambda: any(b"busy in a script" in ack.body for ack in load.failed(begun)),
        )
        load.fail()
        server.client.script_kill()
    over = time.monotonic()
    recovery = load.recovers(since=over)
    livez_s = load.livez_was_well(ALLOWANCE_S)
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"recovery_s": recovery, "livez_s": livez_s}


def seed(url: str, site: str, count: int, timeout_ms: int) -> None:
    """Sessions that expire soon; the copies sweep them."""

    async def write() -> None:
        store = patient_store(url, Keys("presence"), StoreConfig(session_timeout_ms=timeout_ms))
        beats = [Heartbeat(f"seeded-{n:016d}", f"/{n % 5}", "", "", "") for n in range(count)]
        assert await store.heartbeats(site, beats) == ["created"] * count
        await store.close()

    asyncio.run(write())


@pytest.mark.fault("F11")
def test_out_of_memory(server: Server, copy: Copy, load: Load, measured: dict[str, Any]) -> None:
    seed(server.url, "leaving", 50, timeout_ms=1_000)
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", "1mb")
    full = time.monotonic()
    load.until(lambda: any(b"out of memory" in ack.body for ack in load.failed(full)))
    load.fail()
    entries = [server.client.xlen(name) for name in STREAMS]
    wait_until(lambda: server.client.zcard("presence:{leaving}:active") == 0, 20, "the sweep")
    load.fail(1)
    # Nothing was half written: not one entry since.
    assert entries == [server.client.xlen(name) for name in STREAMS]
    for path in LOOKS[2:]:
        assert {look.status for look in load.looks_at(path, full)} == {200}, path
    server.client.config_set("maxmemory", "0")
    over = time.monotonic()
    recovery = load.recovers(since=over)
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"recovery_s": recovery}
