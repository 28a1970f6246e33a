"""The simulation against closed formulas, and the tables of docs/scaling.md against the costs that
they were worked out of. Nothing is measured here."""

import json
import math
import random
from collections import deque
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from click.testing import CliRunner

from service.store.writer import CALL_PACE_S
from simulation import tables
from simulation.__main__ import SITE_SESSIONS, main
from simulation.costs import FILE, Costs
from simulation.fit import BEGUN_WITH, fitted, simulated
from simulation.model import ENOUGH, MAX_WAITING, Cache, Core, Node, Plan, Process, Simulation
from simulation.observed import Observed, Setting
from simulation.scale import size

ROOT = Path(__file__).parents[2]
LIGHT = Costs(copy_heartbeat=1.0, copy_call=1.0, redis_call=1.0)  # so that nothing has to wait
SOME = Costs(
    copy_heartbeat=30.0, copy_call=200.0, copy_script=50.0, copy_wake=50.0, redis_heartbeat=30.0,
    redis_call=40.0, redis_script=70.0, redis_wake=30.0, redis_hz=500.0, sweep=10.0, generator=20.0
)  # fmt: skip


def run(plan: Plan, costs: Costs = SOME, seed: int = 1) -> Any:
    return Simulation(plan, costs, seed).run()


# Queues


def wait_of(busy: float, service_s: float, varies: bool) -> float:
    """The mean wait in an M/D/1 or M/M/1 queue, by Pollaczek and Khinchine."""
    return busy * service_s * (1 + varies) / (2 * (1 - busy))


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("busy", [0.2, 0.5, 0.7, 0.85])
def test_a_core_is_a_queue(busy: float, varies: bool) -> None:
    numbers, service_s = random.Random(1), 100e-6
    process = Process(Core(), 0.0, None, numbers if varies else None)
    now, waits = 0.0, []
    for _ in range(200_000):
        now += numbers.expovariate(busy / service_s)
        waits.append(max(process.free_s - now, 0.0))
        process.work(now, service_s)
    assert mean(waits) == pytest.approx(wait_of(busy, service_s, varies), rel=0.05)


@pytest.mark.parametrize("busy", [0.2, 0.5, 0.7, 0.85])
def test_the_calls_of_copies_that_are_not_simulated_are_waited_for(busy: float) -> None:
    node, service_s = Node(Core(), Costs(), random.Random(1), Cache()), 100e-6
    node.others = busy / service_s
    waits = []
    for n in range(1, 40_000):  # looked at from outside, at fixed moments
        node.catch_up(n * 1e-3, deque([(service_s, 1)]))
        waits.append(max(node.free_s - n * 1e-3, 0.0))
    assert mean(waits) == pytest.approx(wait_of(busy, service_s, varies=True), rel=0.05)
    assert node.busy_s / 40 == pytest.approx(busy, rel=0.02)


def test_two_processes_share_a_core() -> None:
    core = Core()
    first, second = Process(core, 0.0), Process(core, 0.0)
    assert first.work(1.0, 0.5) == 1.5
    assert second.work(1.2, 0.5) == 2.0
    assert first.work(5.0, 0.1) == 5.1


def test_who_waits_for_nothing_is_woken_first() -> None:
    process = Process(Core(), 50.0)
    assert process.work(1.0, 100e-6) == pytest.approx(1.000150)
    assert process.work(1.000_1, 100e-6) == pytest.approx(1.000250)  # still at work
    assert process.work(2.0, 0.0) == pytest.approx(2.000050)
    assert process.wakes == 2


# Batches


@pytest.mark.parametrize(
    "rate, each",
    [
        (10, 1),
        (2_000, 2_000 * CALL_PACE_S),
        (3_000, 3_000 * CALL_PACE_S),
        (4_000, 4_000 * CALL_PACE_S),
        (10_000, ENOUGH),
        (40_000, ENOUGH),
    ],
)
def test_heartbeats_of_a_call_are_rate_times_pace_or_enough(rate: float, each: float) -> None:
    plan = Plan(rate, network_s=2e-4, seconds=max(4.0, 1_000 / rate), is_cluster=False)
    outcome = run(plan, LIGHT)
    assert outcome.sent / outcome.calls == pytest.approx(each, rel=0.1)
    assert outcome.scripts == outcome.calls


@pytest.mark.parametrize("shards", [1, 4, 12, 48])
def test_a_cluster_is_sent_a_script_for_each_shard(shards: int) -> None:
    plan = Plan(10_000, shards=shards, network_s=2e-4)
    outcome = run(plan, LIGHT)
    each = shards * (1 - (1 - 1 / shards) ** ENOUGH)  # of ENOUGH heartbeats, on random shards
    assert outcome.scripts / outcome.calls == pytest.approx(each, rel=0.1)


@pytest.mark.parametrize("copies, nodes, calls", [(1, 1, 0.04), (4, 4, 0.95), (20, 10, 1.0)])
def test_many_copies_and_nodes_leave_a_call_one_heartbeat(
    copies: int, nodes: int, calls: float
) -> None:
    outcome = run(Plan(6_000, copies, nodes, shards=nodes), LIGHT)
    assert outcome.calls / outcome.sent == pytest.approx(calls, rel=0.1)


def test_a_full_lane_waits_for_the_call_that_is_on_its_way() -> None:
    """Never two at once: what comes meanwhile goes together."""
    slow = replace(LIGHT, redis_call=20_000.0)
    outcome = run(Plan(10_000), slow)
    assert outcome.sent / outcome.calls == pytest.approx(10_000 * 0.0202, rel=0.05)


# Work


@pytest.mark.parametrize("copies", [2, 6])
def test_cores_are_as_busy_as_what_they_do_costs(copies: int) -> None:
    costs = replace(SOME, copy_wake=0.0, redis_wake=0.0, redis_hz=0.0)
    outcome = run(Plan(8_000, copies, 3, sites=300, gone_share=0.0), costs)
    calls, scripts = outcome.calls / outcome.sent, outcome.scripts / outcome.sent
    copy_us, redis_us = 30 + 200 * calls + 50 * scripts, 30 + 40 * calls + 70 * scripts
    assert outcome.copy_us == pytest.approx(copy_us, rel=0.02)
    assert outcome.redis_us == pytest.approx(redis_us, rel=0.02)
    assert outcome.copies_busy == pytest.approx(8_000 * copy_us / copies / 1e6, rel=0.05)
    assert outcome.nodes_busy == pytest.approx(8_000 * redis_us / 3 / 1e6, rel=0.05)


def test_sweeps_cost_as_much_as_sessions_go() -> None:
    costs = Costs(sweep=100.0)
    outcome = run(Plan(10_000, sites=1_000, gone_share=0.05, seconds=8.0), costs)
    assert outcome.nodes_busy == pytest.approx(0.05 * 10_000 * 100e-6, rel=0.2)


PLANS = {
    "one copy": Plan(3_000),
    "copies and nodes": Plan(9_000, 4, 3, sites=90),
    "a part": Plan(30_000, 20, 9, sites=900, part=3),
    "by the site": Plan(9_000, 4, 3, sites=90, is_by_site=True),
    "one machine": Plan(3_000, 2, 3, shards=12, is_shared=True),
    "too much": Plan(30_000, 1, 1),
    "everybody at once": Plan(3_000, burst=(0.5, 30.0)),
    "a node that is away": Plan(6_000, 2, 3, sites=60, away=(0.2, 1.0)),
}


@pytest.mark.parametrize("name", PLANS)
def test_no_heartbeat_is_lost(name: str) -> None:
    """Each is answered, refused, waiting in a copy, or about to be read by one."""
    simulation = Simulation(replace(PLANS[name], warm_up_s=0.0), SOME)
    outcome = simulation.run()
    unread = sum(what == simulation._submit for _, _, what, _ in simulation._events)
    waiting = sum(copy.waiting for copy in simulation.copies) + unread
    assert outcome.waiting == waiting
    assert outcome.sent == outcome.answered + outcome.refused + waiting
    assert len(outcome.latencies) == outcome.answered > 0
    assert (outcome.refused > 0) == (name in {"everybody at once", "a node that is away"})


@pytest.mark.parametrize("name", PLANS)
def test_the_same_seed_gives_the_same(name: str) -> None:
    plan = replace(PLANS[name], seconds=0.5)
    first = run(plan)
    assert run(plan) == first
    assert run(plan, seed=2) != first


def test_a_part_of_the_copies_stands_for_all() -> None:
    plan = Plan(30_000, 24, 6, sites=600, seconds=1.5)
    whole, part = run(plan), run(replace(plan, part=6))
    assert part.sent == pytest.approx(whole.sent / 4, rel=0.05)
    for name in ("copies_busy", "nodes_busy", "copy_us", "redis_us"):
        assert getattr(part, name) == pytest.approx(getattr(whole, name), rel=0.05), name
    assert part.percentile_ms(50) == pytest.approx(whole.percentile_ms(50), rel=0.1)
    # The others' calls come by chance, also two of one copy at once.
    assert 1 < part.percentile_ms(99) / whole.percentile_ms(99) < 1.3


def test_a_copy_refuses_what_it_cannot_hold() -> None:
    stuck = replace(LIGHT, redis_call=30e6)
    simulation = Simulation(Plan(50_000, warm_up_s=0.0, seconds=1.0), stuck)
    assert simulation.run().refused > 0
    assert simulation.copies[0].waiting == MAX_WAITING


def test_a_node_that_is_away_holds_up_no_other() -> None:
    plan = Plan(3_000, 1, 3, sites=300, warm_up_s=0.0, seconds=4.0)
    well, away = run(plan), run(replace(plan, away=(0.0, 4.0)))
    assert (away.refused + away.waiting) / away.sent == pytest.approx(1 / 3, rel=0.2)
    assert away.percentile_ms(99) < 2 * well.percentile_ms(99)


# Costs


ONES = [(Setting(1), 2_000.0), (Setting(2, 1, 12), 1_000.0)]


def seen_with(costs: Costs) -> dict[Setting, list[Observed]]:
    """What would be seen, did these costs hold."""
    found = {}
    for setting, rate in ONES:
        one = Observed(rate, 1, 1, 1, 1, 1, 1, 30.0, 500.0, 500 * costs.redis_tick, 1, 1)
        run = simulated(setting, one, replace(costs, redis_hz=500.0), 3.0)
        calls, scripts = run.calls / run.sent, run.scripts / run.sent
        cpu = {"copy_us": run.copy_us, "redis_us": run.redis_us, "p50_ms": run.percentile_ms(50)}
        found[setting] = [replace(one, calls=calls, scripts=scripts, **cpu)]
    return found


def test_costs_are_found_by_trying() -> None:
    """Not the same ones, for several give the same loads: those loads."""
    held = replace(BEGUN_WITH, copy_heartbeat=25.0, redis_heartbeat=18.0, redis_tick=20.0)
    seen = seen_with(held)
    found = fitted(seen, Costs(sweep=5.0), tries=40)
    assert (found.sweep, found.redis_tick, found.redis_hz) == (5.0, 20.0, 500.0)
    for setting, (one,) in seen.items():
        run = simulated(setting, one, found, 3.0)
        assert run.copy_us == pytest.approx(one.copy_us, rel=0.15), setting
        assert run.redis_us == pytest.approx(one.redis_us, rel=0.15), setting


@pytest.mark.parametrize(
    "idle_s, work_s, more",
    [
        (0.0, 1.0, 0.0),  # it never rested
        (1.0, 1e-6, 2.0),  # of the first moment each part costs that much more
        (1.0, 1.0, 2.0 * 0.01),  # in the end as much more as it takes to be warm
        (0.5, 1e-6, 2.0 * (1 - math.exp(-0.5 / 0.1))),
    ],
)
def test_who_has_rested_finds_things_cold(idle_s: float, work_s: float, more: float) -> None:
    cache = Cache(2.0, 0.01e6, 0.1e6)
    cache.rest(10.0)
    cold_s = cache.cold_s(10.0 + idle_s, work_s)
    assert cold_s == pytest.approx(more * work_s if work_s < 1 else more, rel=1e-3)


def test_what_others_do_meanwhile_is_a_longer_rest() -> None:
    alone, beside = Cache(2.0, 100.0, 1e6, 3.0), Cache(2.0, 100.0, 1e6, 3.0)
    alone.rest(10.0, 5.0)
    beside.rest(10.0, 5.0)
    assert beside.cold_s(10.1, 1e-6, 5.2) == pytest.approx(alone.cold_s(10.7, 1e-6, 5.0))


def test_work_in_two_pieces_costs_as_much_as_in_one() -> None:
    one, two = Cache(2.0, 100.0, 100.0), Cache(2.0, 100.0, 100.0)
    whole_s = one.cold_s(1.0, 300e-6)
    first_s = two.cold_s(1.0, 100e-6)
    two.rest(1.0001)
    assert first_s + two.cold_s(1.0001, 200e-6) == pytest.approx(whole_s)


# Documents


def document() -> str:
    return tables.DOCUMENT.read_text()


@pytest.mark.parametrize("name", ["sizes", "breaks", "shocks", "checked"])
def test_the_tables_are_of_the_costs_that_are_kept(name: str) -> None:
    """If this fails: uv run --group bench python -m bench.simulate tables"""
    assert tables.block(name, "").split("\n")[0] in document()


def test_what_was_checked_is_in_the_docs() -> None:
    assert tables.block("checked", tables.checked()) in document()


@pytest.mark.parametrize("way", ["any", "site", "slot", "one"])
def test_the_tables_come_out_the_same(way: str) -> None:
    """The quickest rows; the others are made in the same way."""
    costs = Costs.load()
    row = tables.row_of(size(1_000_000, way, costs, SITE_SESSIONS), costs)
    assert "| " + " | ".join(row) + " |" in document()


def test_the_costs_are_whole() -> None:
    assert all(value > 0 for name, value in vars(Costs.load()).items() if name != "generator")
    assert json.loads(FILE.read_text())["machine"]["cpu"]


# Of each figure, how near it comes; and how many of the rows come within 15 %.
BOUNDS = {
    "calls": (0.30, 11),
    "scripts": (0.30, 11),
    "copy_us": (0.20, 12),
    "redis_us": (0.09, 13),
    "p50_ms": (0.35, 11),
    "p99_ms": (0.42, 12),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_simulation_comes_as_near_as_the_docs_say(name: str) -> None:
    most, wanted = BOUNDS[name]
    rows = json.loads(FILE.read_text())["checked"]
    errors = [abs(row["simulated"][name] / row["seen"][name] - 1) for row in rows]
    assert max(errors) <= most
    assert sum(error <= 0.15 for error in errors) >= wanted


def test_a_table_needs_its_place() -> None:
    with pytest.raises(ValueError, match="no place for the table other"):
        tables.written("text", "other", "| |")


@pytest.mark.parametrize(
    "command, words",
    [
        ([], ["size", "tables", "measure"]),
        (["size"], ["SESSIONS", "--site-sessions"]),
        (["tables"], ["docs/scaling.md"]),
        (["measure"], ["--rounds", "--seconds"]),
    ],
)
def test_help(command: list[str], words: list[str]) -> None:
    shown = CliRunner().invoke(main, [*command, "--help"])
    assert shown.exit_code == 0
    assert all(word in shown.output for word in words)


def test_numbers_of_ones_own() -> None:
    shown = CliRunner().invoke(main, ["size", "50000", "--site-sessions", "1000"])
    assert shown.exit_code == 0, shown.output
    assert "50,000" in shown.output
    assert CliRunner().invoke(main, ["size", "none"]).exit_code == 2


def test_the_simulation_is_short() -> None:
    files = [*(ROOT / "simulation").glob("*.py"), FILE]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 1_230
