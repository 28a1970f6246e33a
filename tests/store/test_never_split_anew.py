"""A site whose number of shards was never changed pays nothing for those that were: these are all
calls, arguments and keys of its heartbeats, beside a site that is split anew or not."""

from typing import NamedTuple

import pytest

from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests.conftest import NOW, Clock
from tests.servers import Server

S = "session-0000000000"
SETTINGS = "10000 120000 1800000 86400000 10000 100000 10000 0"
SHARD = (
    "active", "pages", "countries", "events", "located", "places", "newcomers", "views", "totals",
    "top", "types", "top_order", "uniques", "uniques:20300317", "minutes:2030031717",
    "hours:20300317",
)  # fmt: skip
VIEWED = (
    "XADD views, HINCRBY totals, ZCARD top, ZINCRBY top, DEL top_order, HINCRBY hours:20300317, "
    "HINCRBY minutes:2030031717, PEXPIRE minutes:2030031717, PEXPIRE hours:20300317, "
    "PEXPIRE views, PEXPIRE types"
)
FIRST_VIEWED = VIEWED.replace("HINCRBY totals", "HINCRBY totals, HSETNX totals")
RENEWED = (
    "PTTL active, PEXPIRE active, PEXPIRE pages, PEXPIRE countries, PEXPIRE events, "
    "PEXPIRE located, PEXPIRE places"
)


class Step(NamedTuple):
    """`path` empty: a goodbye; of a view `view`. `calls`: what the script does, and to which key
    of the shard."""

    outcome: str
    path: str
    after_ms: int
    calls: str
    view: bool = False


STEPS = (
    Step(
        "created", "/a", 0,
        f"ZSCORE active, HMGET session:{S}, PFADD uniques, SET viewed:{S}:/a, "
        f"HSET session:{S}, PEXPIREAT session:{S}, PFADD uniques:20300317, "
        f"PTTL uniques:20300317, PEXPIRE uniques:20300317, {FIRST_VIEWED}, ZINCRBY pages, "
        "ZINCRBY countries, XADD events, ZADD active, ZCOUNT active, HGET minutes:2030031717, "
        "HSET minutes:2030031717, PEXPIRE minutes:2030031717, HGET hours:20300317, "
        f"HSET hours:20300317, PEXPIRE hours:20300317, {RENEWED}",
    ),
    Step("duplicate", "/a", 1_000, "ZSCORE active"),
    Step(
        "refreshed", "/a", 30_000,
        f"ZSCORE active, HSET session:{S}, PEXPIREAT session:{S}, ZADD active",
    ),
    Step(
        "moved", "/b", 30_000,
        f"ZSCORE active, HMGET session:{S}, SET viewed:{S}:/b, HSET session:{S}, ZREM active, "
        f"PEXPIREAT session:{S}, {VIEWED}, ZINCRBY pages, ZREM pages, ZINCRBY pages, XADD events, "
        f"ZADD active, {RENEWED}",
    ),
    Step(
        "recorded", "/c", 60_000,
        f"HEXISTS session:{S}, PFADD uniques, PFADD uniques:20300317, SET viewed:{S}:/c, "
        f"EXISTS totals, HGET session:{S}, {VIEWED}",
        view=True,
    ),
    Step(
        "leaving", "", 1_000,
        f"HMGET session:{S}, ZSCORE active, HSET session:{S}, PEXPIREAT session:{S}, ZADD active",
    ),
)  # fmt: skip


@pytest.mark.parametrize("beside", [1, 4])
async def test_its_heartbeats_are_what_they_were(valkey: Server, beside: int) -> None:
    """`beside`: into how many shards another site is split anew."""
    valkey.client.flushall()
    clock = Clock(NOW + 12_000)
    store = PresenceStore(connect(valkey.url), Keys("p"), StoreConfig())
    store.clock = clock
    try:
        await store.layouts.change("other", beside)
        assert set(store.keys.layouts) == ({"other"} if beside > 1 else set())
        await warm_up(store)
        for key in valkey.client.scan_iter("p:{blog}:*"):
            valkey.client.delete(key)
        for step in STEPS:
            clock.advance(step.after_ms)
            assert await calls_of(valkey, store, step) == expected(step, int(clock()))
        names = {key[len("p:{blog}:") :] for key in valkey.client.scan_iter("p:{blog}:*")}
        views = {f"viewed:{S}:/{page}" for page in "abc"}
        absent = {"located", "places", "newcomers", "types", "top_order"}
        assert names == {*SHARD, f"session:{S}", *views} - absent
    finally:
        await store.close()


async def warm_up(store: PresenceStore) -> None:
    """So that Redis knows the scripts."""
    await store.heartbeat("blog", Heartbeat(S, "/", "", "", ""))
    await store.view("blog", PageView(S, "/x"))
    await store.leave("blog", S, "/")


async def calls_of(server: Server, store: PresenceStore, step: Step) -> list[str]:
    """All that Redis is told of the site, without the hash of a script, and all that scripts do
    there."""
    with server.client.monitor() as monitor:
        if step.view:
            outcome = await store.view("blog", PageView(S, step.path))
        elif step.path:
            outcome = await store.heartbeat("blog", Heartbeat(S, step.path, "", "", ""))
        else:
            outcome = await store.leave("blog", S, "/b")
        assert outcome == step.outcome
        await store.connection.client.execute_command("TIME")
        seen = []
        for row in monitor.listen():
            command, is_inner = row["command"], row["client_type"] == "lua"
            if command == "TIME" and not is_inner:
                break
            name, first, *rest = command.split(" ")
            if is_inner:
                seen.append(f"{name} {first.removeprefix('p:{blog}:')}")
            elif "p:{blog}:" in command:
                seen.append(" ".join((name, *rest)).rstrip())
        return seen


def expected(step: Step, now_ms: int) -> list[str]:
    own = [f"session:{S}"]
    if step.view:
        own, args = [*own, f"viewed:{S}:{step.path}"], step.path
    elif step.path:
        own, args = [*own, f"viewed:{S}:{step.path}"], f"1 {S} -- {step.path}"
    else:
        args = "3000 /b"
    keys = [f"p:{{blog}}:{name}" for name in (*SHARD, *own)]
    head = f"EVALSHA {len(keys)} {' '.join(keys)} {now_ms} {now_ms // 3_600_000} {SETTINGS} {args}"
    return [head, *step.calls.split(", ")]
