"""Faults of the way between the service and Redis."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.copies import Copy, copies
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.faults.verdict import judge
from tests.servers import Server

SCRIPT_CALLS = ("evalsha", "eval")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("valkey") as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def copy(proxy: Proxy) -> Iterator[Copy]:
    with copies(1, f"redis://127.0.0.1:{proxy.port}") as (copy,):
        yield copy


@pytest.fixture
def load(copy: Copy) -> Iterator[Load]:
    with Load([copy.port]) as load:
        yield load


def heartbeats_seen(server: Server) -> int:
    """Script calls that the server has carried out."""
    stats = server.client.info("commandstats")
    return sum(
        int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("evalsha", "eval")
    )


@pytest.mark.fault("F6")
def test_reply_lost_after_the_write(
    server: Server, proxy: Proxy, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    duplicates = sum(ack.outcome == "duplicate" for ack in load.acks)
    for _ in range(5):
        before = heartbeats_seen(server)
        proxy.dropped = {"down"}
        load.until(lambda before=before: heartbeats_seen(server) > before)  # type: ignore[misc]
        proxy.dropped = set()
        proxy.reset()
        load.recovers()
    assert sum(ack.outcome == "duplicate" for ack in load.acks) > duplicates
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"connects_per_s": proxy.connects_per_second()}
