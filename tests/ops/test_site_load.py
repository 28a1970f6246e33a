"""How much of a core of Redis a site uses."""

from collections import Counter

import pytest

from service.cli.doctor import load_line
from service.ops.doctor import Doctor
from service.ops.site_load import SiteLoad, recent_outcomes, site_loads
from service.store.config import StoreConfig
from service.store.redis_cost import OUTCOME_S, cost_of, shards_for
from service.store.writer import OUTCOMES, Heartbeat
from tests.conftest import MakeStore

NOW_MS, TIMEOUT_MS, WINDOW_MS = 1_000_000, 120_000, 10_000


def event(ago_ms: int, kind: str) -> tuple[str, dict[str, str]]:
    return f"{NOW_MS - ago_ms}-0", {"type": kind}


@pytest.mark.parametrize(
    "ages, events, wanted",
    [
        ([], [], {"refreshed": 0}),
        ([0, 9_999, 10_000], [], {"refreshed": 3}),
        ([10_001, 60_000], [], {"refreshed": 0}),
        ([0, 0], [event(0, "joined")], {"created": 1, "refreshed": 1}),
        ([0], [event(9_000, "joined"), event(0, "moved")],
         {"created": 1, "moved": 1, "refreshed": 0}),
        ([0], [event(10_001, "joined"), event(10_001, "moved")], {"refreshed": 1}),
        ([0], [event(0, "left"), event(0, "nonsense")], {"refreshed": 1}),
    ],
)  # fmt: skip
def test_what_was_written_of_late(
    ages: list[int], events: list[tuple[str, dict[str, str]]], wanted: dict[str, int]
) -> None:
    active = {str(n): float(NOW_MS - age + TIMEOUT_MS) for n, age in enumerate(ages)}
    found = recent_outcomes(active, events, since_ms=NOW_MS - WINDOW_MS, timeout_ms=TIMEOUT_MS)
    assert found == wanted


def test_every_outcome_has_a_cost() -> None:
    assert set(OUTCOME_S) == OUTCOMES
    assert cost_of({"created": 2, "duplicate": 4}) == pytest.approx(70e-6)


@pytest.mark.parametrize(
    "cores, nodes, wanted",
    [
        (0, 3, 1), (0.25, 3, 1), (0.26, 1, 2), (0.26, 3, 3), (0.8, 3, 6), (0.8, 4, 4),
        (2, 5, 10), (1_000, 3, 1_023), (1_000, 1, 1_024),
    ],
)  # fmt: skip
def test_how_many_shards_would_do(cores: float, nodes: int, wanted: int) -> None:
    assert shards_for(cores, nodes) == wanted


def test_only_busy_sites_are_told_the_dearest_first() -> None:
    recent = {
        "quiet": Counter(refreshed=100),
        "busy": Counter(refreshed=30_000),
        "busier": Counter(created=30_000),
    }
    (first, second) = site_loads(recent, 10.0, 3, {"busy": 2, "busier": 6}.__getitem__)
    assert (first.site, first.per_second) == ("busier", 3_000)
    assert (first.has_shards, first.shards) == (6, 1)
    assert (second.site, round(second.cores, 3)) == ("busy", 0.021)


@pytest.mark.parametrize("shards", [1, 3])
async def test_the_doctor_tells_of_busy_sites(
    make_store: MakeStore, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a window that no machine is too slow for, any site being busy enough."""
    monkeypatch.setattr("service.ops.site_load.LOADED_CORES", 1e-9)
    store = make_store(shards=shards)
    beats = [Heartbeat(f"session-{n:09d}", "/", "", "", "") for n in range(60)]
    assert set(await store.heartbeats("busy", beats)) == {"created"}
    moved = [beat._replace(path="/b") for beat in beats[:20]]
    assert set(await store.heartbeats("busy", moved)) == {"moved"}
    await store.heartbeat("quiet", beats[0])
    doctor = Doctor(store.connection, store.keys, StoreConfig(heartbeat_dedup_ms=600_000))
    checkup = await doctor.check()
    assert [(load.site, load.has_shards) for load in checkup.loads] == [
        ("busy", shards), ("quiet", shards),
    ]  # fmt: skip
    busy = checkup.loads[0]
    assert busy.per_second == pytest.approx(80 / 600)
    assert busy.cores == pytest.approx((60 * OUTCOME_S["created"] + 20 * OUTCOME_S["moved"]) / 600)
    assert (await doctor.check("quiet")).loads[0].site == "quiet"


@pytest.mark.parametrize(
    "has, needed, nodes, said",
    [
        (1, 1, 1, ""),
        (6, 6, 3, ""),
        (1, 2, 1, "; a cluster would spread it, in 2 shards"),
        (1, 3, 3, "; `presence shards blog 3` would spread it"),
    ],
)
def test_what_the_command_says(has: int, needed: int, nodes: int, said: str) -> None:
    load = SiteLoad("blog", 41_234.5, 0.421, has, needed)
    first = "blog: 41,234 heartbeats a second are written, about 0.42 of a core of Redis"
    assert load_line(load, nodes) == first + said
