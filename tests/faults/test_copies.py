"""Faults of the service itself: copies are killed, or told to stop."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.conftest import patient_store
from tests.faults.background import Background
from tests.faults.copies import balanced, copies
from tests.faults.load import BROKEN, HOST, Client, Load
from tests.faults.proxy import Proxy
from tests.faults.requests import operator
from tests.faults.verdict import ALLOWANCE_S, judge
from tests.servers import Server, wait_until

BATCH = 100
STREAMS = 200
STOP_S = 5.0
SEEDED_MS = range(1_500, 4_000, 500)
LEASE_S = 7.0  # of a site that a copy has taken to sweep


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("valkey") as server:
        yield server


class Batches(threading.Thread):
    """Sends batches to one copy, of sessions that were never there before, until it is gone."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.sent: dict[str, bool] = {}  # the name of a batch -> whether it was acknowledged

    def run(self) -> None:
        """Four clients at a time."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        await asyncio.gather(*(self._send(number) for number in range(4)))

    async def _send(self, number: int) -> None:
        client = Client(self.port)
        with contextlib.suppress(OSError, EOFError):
            for step in range(100_000):
                name = f"batch-{number:03d}-{step:06d}"
                self.sent[name] = False
                beats = [{"sessionId": f"{name}-{n:06d}", "currentPath": "/"} for n in range(BATCH)]
                reply = await client.ask(
                    "POST",
                    "/v1/sites/batches/heartbeats",
                    json.dumps({"heartbeats": beats}).encode(),
                    operator(),
                )
                self.sent[name] = reply.status == 200


def seed(url: str, timeouts_ms: range, sites_each: int) -> list[str]:
    """Sites with sessions that expire by and by, so that each copy has some to sweep."""

    async def write() -> list[str]:
        names = []
        for timeout_ms in timeouts_ms:
            rules = StoreConfig(session_timeout_ms=timeout_ms)
            store = patient_store(url, Keys("presence"), rules)
            for n in range(sites_each):
                names.append(f"seeded-{timeout_ms}-{n}")
                beat = Heartbeat("seeded-0123456789", "/", "", "", "")
                assert await store.heartbeat(names[-1], beat) == "created"
            await store.close()
        return names

    return asyncio.run(write())


@pytest.mark.fault("F21")
def test_a_copy_is_killed(server: Server, measured: dict[str, Any]) -> None:
    with copies(3, server.url) as made, balanced(made) as port, Load([port]) as load:
        names = seed(server.url, SEEDED_MS, 10)
        wait_until(lambda: not all(is_here(server, name) for name in names), what="a sweep")
        batches = Batches(made[0].port)
        batches.start()
        wait_until(lambda: sum(batches.sent.values()) > 8, what="batches")
        killed = time.monotonic()
        made[0].kill()
        batches.join()
        load.more(300)
        # Sites that the dead one had taken fall due again when its lease ends.
        wait_until(lambda: not any(is_here(server, name) for name in names), 30, "the sweep")
        takeover_s = time.monotonic() - killed
        present = server.client.zrange("presence:{batches}:active", 0, -1)
        whole = dict.fromkeys(batches.sent, 0)
        for member in present:
            whole[member.partition(" ")[0].rpartition("-")[0]] += 1
        assert set(whole.values()) <= {0, BATCH}, "a batch is half there"
        assert all(whole[name] == BATCH for name, is_acked in batches.sent.items() if is_acked)
        # nginx asks another copy; whether the dead one had written it, the outcome says.
        assert not load.failed()
        figures = judge(load, server.url, made[1:])
    assert takeover_s < SEEDED_MS.stop / 1000 + LEASE_S + ALLOWANCE_S + load.lag_s
    measured |= figures.as_dict() | {"takeover_s": takeover_s, "batches": len(batches.sent)}


def is_here(server: Server, site: str) -> bool:
    """Whether a site's index still has anybody."""
    return bool(server.client.exists(f"presence:{{{site}}}:active"))


@pytest.mark.fault("F22")
def test_graceful_stop(server: Server, measured: dict[str, Any]) -> None:
    with (
        Proxy(server.port) as proxy,
        copies(1, f"redis://{HOST}:{proxy.port}") as (copy,),
        Background() as background,
        Load([copy.port]) as load,
    ):

        async def open_stream() -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection(HOST, copy.port)
            writer.write(b"GET /v1/sites/blog/live HTTP/1.1\r\nHost: t\r\n\r\n")
            await reader.readuntil(b"event: snapshot")
            kept.append(writer)
            return reader

        async def open_all() -> list[asyncio.StreamReader]:
            return await asyncio.gather(*(open_stream() for _ in range(STREAMS)))

        async def read_to_their_ends(readers: list[asyncio.StreamReader]) -> None:
            await asyncio.gather(*(reader.read() for reader in readers))
            for writer in kept:
                writer.close()

        kept: list[asyncio.StreamWriter] = []
        readers = background.run(open_all())
        proxy.delay_s = 0.1  # so that heartbeats are under way at any moment
        load.more(3 * load.clients)
        stop_s = copy.stop()
        background.run(read_to_their_ends(readers))
        load.fail()
        load.stop()
        proxy.delay_s = 0.0
        # What was written was accepted; and what was accepted was answered.
        views = server.client.xrange("presence:{blog}:views")
        written = {(view["session"], view["path"]) for _, view in views}
        broken = [ack for ack in load.acks if ack.status == BROKEN]
        unanswered = [ack for ack in broken if (ack.session, ack.path) in written]
        repeated = {(ack.session, ack.path) for ack in load.acks if ack.is_written}
        assert not [ack for ack in unanswered if (ack.session, ack.path) not in repeated]
        assert stop_s < STOP_S + ALLOWANCE_S + load.lag_s
        figures = judge(load, server.url, [copy], may_break=True)
    measured |= figures.as_dict() | {"stop_s": stop_s, "streams": STREAMS}
