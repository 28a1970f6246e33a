"""Faults of one Redis: it dies, freezes, pauses, fills up, forgets."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.copies import Copy, copies
from tests.faults.load import Load
from tests.faults.verdict import ALLOWANCE_S, ANSWER_WITHIN_S, Loss, judge
from tests.servers import Server

LOOKS = ("/livez", "/readyz")
KINDS = ("valkey", "redis7")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with Server(kind) as server:
        yield server


@pytest.fixture
def copy(server: Server) -> Iterator[Copy]:
    with copies(1, server.url) as (copy,):
        yield copy


@pytest.fixture
def load(copy: Copy) -> Iterator[Load]:
    with Load([copy.port], looks=LOOKS) as load:
        yield load


def livez_was_well(load: Load) -> float:
    """Whatever Redis does; the longest answer in seconds."""
    looks = [look for look in load.looked if look.path == "/livez"]
    assert {look.status for look in looks} == {200}
    longest = max(look.took for look in looks)
    assert longest < ALLOWANCE_S + load.lag_s
    return round(longest, 3)


@pytest.mark.fault("F1")
def test_killed_and_started_empty(
    server: Server, copy: Copy, load: Load, measured: dict[str, Any]
) -> None:
    server.kill()
    killed = time.monotonic()
    load.until(lambda: len(load.failed(killed)) >= 3 * load.clients)
    server.start()
    started = time.monotonic()
    recovery = load.recovers(since=started)
    first = min(ack.ended for ack in load.acks if ack.is_written and ack.begun > killed)
    load.more(300)
    # Dead connections are found before they are used, or used again at once.
    assert not load.failed(first)
    longest_livez = livez_was_well(load)
    figures = judge(load, server.url, [copy], losses=[Loss(0.0, started)])
    assert figures.longest_s < ANSWER_WITHIN_S + ALLOWANCE_S
    measured |= figures.as_dict() | {"recovery_s": round(recovery, 3), "livez_s": longest_livez}


@pytest.mark.fault("F3")
def test_frozen(server: Server, copy: Copy, load: Load, measured: dict[str, Any]) -> None:
    server.freeze()
    frozen = time.monotonic()
    try:
        load.until(lambda: len(load.failed(frozen)) >= 3 * load.clients)
    finally:
        server.thaw()
    thawed = time.monotonic()
    recovery = load.recovers(since=thawed)
    ready = {
        look.status
        for look in load.looked
        if look.path == "/readyz" and frozen < look.begun and look.begun + look.took < thawed
    }
    assert ready == {503}
    load.until(lambda: load.looked[-1].begun > thawed + 2.0)
    assert [look.status for look in load.looked if look.path == "/readyz"][-1] == 200
    longest_livez = livez_was_well(load)
    figures = judge(load, server.url, [copy])
    measured |= figures.as_dict() | {"recovery_s": round(recovery, 3), "livez_s": longest_livez}
