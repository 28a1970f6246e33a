"""Faults of what Redis holds, and of whom it lets in."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.conftest import Clock, patient_store
from tests.faults.copies import Copy, copies
from tests.faults.load import Load
from tests.faults.requests import beat, beat_many, read, refuses_properly
from tests.faults.verdict import Loss, doctor, doctor_finds_nothing, judge
from tests.servers import Server, wait_until

S = "5f1c0a53-7d7b-4f3e-9d57-{:012d}"


@pytest.fixture(scope="module", params=["valkey", "redis7"])
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Copy]]:
    """A Redis and a copy of the service that outlive all faults of this file."""
    with Server(request.param) as server, copies(1, server.url) as (copy,):
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
def lone_server() -> Iterator[Server]:
    """One that no copy with other rules sweeps."""
    with Server("valkey") as server:
        yield server


only_valkey = pytest.mark.parametrize("shared", ["valkey"], indirect=True, scope="module")


@pytest.mark.fault("F17")
@only_valkey
def test_wrong_password_and_no_permission(server: Server, measured: dict[str, Any]) -> None:
    first, second = "open-sesame-one", "open-sesame-two"
    acl = server.client.acl_setuser
    acl("app", enabled=True, passwords=[f"+{first}"], keys=["*"], commands=["+@all"])
    url = f"redis://app:{first}@127.0.0.1:{server.port}"
    with copies(1, url) as (copy,), Load([copy.port], looks=("/livez",)) as load:
        acl("app", enabled=True, reset_passwords=True, passwords=[f"+{second}"])
        server.client.client_kill_filter(user="app")
        load.until(lambda: any(b"credentials" in ack.body for ack in load.failed()))
        load.fail()
        acl("app", enabled=True, reset_passwords=True, passwords=[f"+{first}"])
        back = time.monotonic()
        recovery = load.recovers(since=back)
        for forbidden in ("-evalsha", "-eval"):
            acl("app", enabled=True, commands=[forbidden])
        load.until(lambda: any(b"permit" in ack.body for ack in load.failed(back)))
        load.fail()
        acl("app", enabled=True, commands=["+@all"])
        recovery = max(recovery, load.recovers())
        said = copy.log + "".join(str(ack.body) + str(ack.headers) for ack in load.acks)
        assert first not in said
        assert second not in said
        figures = judge(load, url, [copy])
    measured |= figures.as_dict() | {"recovery_s": recovery}


@pytest.mark.fault("F18")
def test_keys_of_a_wrong_type(server: Server, copy: Copy, measured: dict[str, Any]) -> None:
    poisoned, index = f"presence:{{a}}:session:{S.format(1)}", "presence:{c}:active"
    with Load([copy.port], sites=("a", "b")) as load:
        since = time.monotonic()
        server.client.set(poisoned, "x", ex=600)
        assert "wrong type" in refuses_properly(beat(copy, "a", S.format(1)))
        answer = beat_many(copy, "a", [S.format(n) for n in range(3)])
        assert answer.json()["results"] == ["created", "failed", "created"]
        server.client.set(index, "x", ex=600)
        assert "wrong type" in refuses_properly(beat(copy, "c", S.format(1)))
        load.more(200)
        assert not load.failed(since)
        found = doctor(server.url)
        assert found.exit_code == 1
        assert f"{poisoned} is a string" in found.output
        assert f"{index} is a string" in found.output
        server.client.delete(poisoned, index)
        assert beat(copy, "c", S.format(1)).status_code == 204
        assert beat(copy, "a", S.format(1)).status_code == 204

        # A heartbeat that meets the key after it has written others.
        counters = "presence:{c}:countries"
        server.client.delete(counters)
        server.client.set(counters, "x", ex=600)
        for _ in range(2):
            assert "wrong type" in refuses_properly(beat(copy, "c", S.format(2)))
        assert beat(copy, "c", S.format(1)).headers["presence-status"] == "duplicate"
        assert f"{counters} is a string" in doctor(server.url).output
        server.client.delete(counters)
        assert doctor(server.url).exit_code == 1
        doctor(server.url, "--repair")
        doctor_finds_nothing(server.url)
        assert beat(copy, "c", S.format(2)).headers["presence-status"] == "created"
        doctor_finds_nothing(server.url)
        figures = judge(load, server.url, [copy], may_repeat=False, beside=S[:16])
    measured |= figures.as_dict()


AHEAD_MS = {"minute-ahead": 60_000, "hour-behind": -3_600_000, "day-ahead": 86_400_000}


@pytest.mark.fault("F19")
def test_the_clock_jumps(lone_server: Server, measured: dict[str, Any]) -> None:
    settings = {"HEARTBEAT_INTERVAL": "30", "HEARTBEAT_DEDUP": "10", "SESSION_TIMEOUT": "120"}

    async def seed() -> None:
        """What a Redis has written whose clock stood elsewhere."""
        for site, ahead_ms in AHEAD_MS.items():
            store = patient_store(lone_server.url, Keys("presence"), StoreConfig())
            store.clock = Clock(int(time.time() * 1000) + ahead_ms)
            sessions = [Heartbeat(S.format(n), "/old", "", "", "") for n in range(2)]
            assert await store.heartbeats(site, sessions) == ["created"] * 2
            await store.close()

    asyncio.run(seed())
    with copies(1, lone_server.url, **settings) as (copy,):

        def listed(site: str) -> list[dict[str, Any]]:
            answer = read(copy, f"/v1/sites/{site}/sessions")
            for row in answer["sessions"]:
                row["age"] = answer["asOf"] - row["lastSeen"]
                row["left"] = row["expiresAt"] - answer["asOf"]
                assert row["age"] >= 0
                assert row["lastSeen"] >= row["since"]
            rows: list[dict[str, Any]] = answer["sessions"]
            return rows

        assert not listed("hour-behind")
        # Nobody is active for longer than a timeout from now, even if he never beats again; one
        # whose moment lay less than a sweep's period ahead, for that much longer.
        assert all(0 < row["left"] <= 180_000 for row in listed("minute-ahead"))
        wait_until(lambda: all(0 < row["left"] <= 120_000 for row in listed("day-ahead")))
        assert [len(listed(site)) for site in ("minute-ahead", "day-ahead")] == [2, 2]
        for site in AHEAD_MS:
            assert beat(copy, site, S.format(0), "/new").status_code == 204
            (own,) = [row for row in listed(site) if row["sessionId"] == S.format(0)]
            assert own["currentPath"] == "/new"
            assert own["left"] > 60_000
        doctor_finds_nothing(lone_server.url, **settings)
    measured |= {"sites": len(AHEAD_MS)}


@pytest.mark.fault("F20")
@only_valkey
def test_flushall(server: Server, copy: Copy, measured: dict[str, Any]) -> None:
    with (
        Load([copy.port]) as load,
        httpx.stream("GET", f"{copy.url}/v1/sites/blog/live", timeout=30) as stream,
    ):
        lines = stream.iter_lines()
        before = next_snapshot(lines)
        load.more(200)
        flushed = time.monotonic()
        server.client.flushall()
        over = time.monotonic()
        after = next_snapshot(lines)
        told = time.monotonic() - flushed
        assert after["totalPageViews"] < before["totalPageViews"] + 200
        assert load.recovers(since=flushed) == 0.0
        figures = judge(
            load, server.url, [copy], losses=[Loss(0.0, flushed, over)], may_repeat=False
        )
    assert not figures.failures
    measured |= figures.as_dict() | {"told_after_s": told}


def next_snapshot(lines: Iterator[str]) -> Any:
    """The next snapshot of a live stream."""
    for line in lines:
        if line == "event: snapshot":
            return json.loads(next(line for line in lines if line.startswith("data:"))[5:])
    raise AssertionError("the stream has ended")


@pytest.mark.fault("F23")
def test_expiry_lags(lone_server: Server, measured: dict[str, Any]) -> None:
    settings = {
        "HEARTBEAT_INTERVAL": "1",
        "HEARTBEAT_DEDUP": "0.2",
        "SESSION_TIMEOUT": "2.5",
        "VIEW_DEDUP": "2",
    }
    lone_server.client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    with copies(1, lone_server.url, **settings) as (copy,):
        sessions = [S.format(n) for n in range(60)]
        results = beat_many(copy, "blog", sessions).json()["results"]
        seen = read(copy, "/v1/sites/blog/stats")
        oldest = lone_server.client.zrange("presence:{blog}:active", 0, 0, withscores=True)
        if oldest and oldest[0][1] > seen["asOf"]:
            assert results == ["created"] * 60
            assert seen["activeVisitors"] == 60
        # Long before Redis lets go of their keys.
        wait_until(lambda: read(copy, "/v1/sites/blog/active")["activeVisitors"] == 0)
        dead = lone_server.client.dbsize()
        assert dead >= 120
        stats = read(copy, "/v1/sites/blog/stats")
        assert (stats["activeVisitors"], stats["activeByPath"], stats["totalPageViews"]) == (
            0,
            [],
            60,
        )
        # Somebody whose dead keys are still there begins anew.
        assert beat(copy, "blog", sessions[0]).headers["presence-status"] == "created"
        assert read(copy, "/v1/sites/blog/stats")["totalPageViews"] == 61
        doctor_finds_nothing(lone_server.url, **settings)
    measured |= {"dead_keys": dead}
