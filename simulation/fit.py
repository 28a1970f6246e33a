"""What each part costs, so that the simulation uses the CPU that was seen; and how near it comes
where nothing was fitted."""

import json
import random
from collections import defaultdict
from dataclasses import asdict, astuple, replace
from math import exp
from statistics import median
from typing import Any

from bench.result import Context
from simulation.costs import FILE, Costs, faded
from simulation.model import Outcome, Plan, Simulation
from simulation.observed import FULL, Observed, Setting, observe
from simulation.tables import figures_of

BALANCER_US = 25.0  # of nginx, which shares a core with who sends
FITTED: dict[Setting, tuple[float, ...]] = {  # and at which rates
    Setting(1): (1_500, 3_000, 6_000, FULL),
    Setting(1, 1, 12): (1_500, 3_000, 5_000, FULL),
    Setting(4): (1_000, 3_000),
    Setting(2, 1, 12): (400, 1_000),
}
CHECKED: dict[Setting, tuple[float, ...]] = {
    Setting(1): (2_500, 4_000),
    Setting(2): (2_500, 4_000),
    Setting(4): (1_500, 2_000, 4_000),
    Setting(1, 3, 12): (1_500, 2_500),
    Setting(2, 3, 12): (1_500, 2_500),
    Setting(4, 3, 12): (1_000, 1_500),
}
LOOPBACK_S = 70e-6  # from a copy to a node on one machine
TRIES = 900
PARTS = ("heartbeat", "call", "script", "cluster", "wake", "cold", "warm", "cool", "evict")
FOUND = [f"{who}_{name}" for who in ("copy", "redis") for name in PARTS]
BEGUN_WITH = Costs(
    copy_heartbeat=9.33, copy_call=50.0, copy_script=19.63, copy_cluster=35.57, copy_wake=30.0,
    copy_cold=2.32, copy_warm=252.38, copy_cool=2834.78, copy_evict=0.32, redis_heartbeat=7.88,
    redis_call=19.53, redis_script=9.18, redis_cluster=8.37, redis_wake=4.46, redis_cold=1.81,
    redis_warm=148.81, redis_cool=1861.79, redis_evict=1.03,
)  # fmt: skip

Seen = dict[Setting, list[Observed]]


def see(context: Context, rounds: int, seconds: float) -> tuple[Seen, Seen]:
    """What is seen in each setting at each rate that is fitted, and that is checked: the medians of
    some rounds. All in each round, for how fast a machine is changes."""
    runs: defaultdict[Setting, list[list[Observed]]] = defaultdict(list)
    for _ in range(rounds):
        for setting in FITTED | CHECKED:
            rates = FITTED.get(setting, ()) + CHECKED.get(setting, ())
            runs[setting].append(observe(context, setting, rates, seconds))
    fitted, checked = {}, {}
    for setting, all_runs in runs.items():
        seen = [
            Observed(*map(median, zip(*map(astuple, same), strict=True)))
            for same in zip(*all_runs, strict=True)
        ]
        many = len(FITTED.get(setting, ()))
        fitted[setting], checked[setting] = seen[:many], seen[many:]
    return fitted, checked


def simulated(setting: Setting, one: Observed, costs: Costs, seconds: float = 12.0) -> Outcome:
    """The same, simulated."""
    plan = Plan(
        one.rate,
        setting.copies,
        setting.nodes,
        shards=max(setting.shards, 1),
        is_cluster=setting.shards > 0,
        is_shared=True,
        gone_share=0.0,  # nobody's session times out while it is observed
        network_s=LOOPBACK_S,
        seconds=seconds,
    )
    others_us = one.generator_us + BALANCER_US * (setting.copies > 1)
    return Simulation(plan, replace(costs, generator=others_us)).run()


def fitted(seen: Seen, costs: Costs, tries: int = TRIES) -> Costs:
    """The costs of a copy and of Redis with which simulated loads are nearest to those that were
    seen: found by trying, for what a heartbeat finds cold depends on all of them. The same for
    the same."""
    rows = [(setting, one) for setting, all_seen in seen.items() for one in all_seen]
    best = replace(
        BEGUN_WITH,
        sweep=costs.sweep,
        session_bytes=costs.session_bytes,
        redis_tick=median(one.idle_us / one.idle_wakes for _, one in rows),
        redis_hz=median(one.idle_wakes for _, one in rows),
    )
    numbers, least = random.Random(1), _missed(rows, best)
    for number in range(tries):
        step = max(0.5 * 0.8 ** (number // 80), 0.08)
        names = numbers.sample(FOUND, numbers.choice([1, 1, 2, 3]))
        tried = {name: getattr(best, name) * exp(numbers.gauss(0, step)) for name in names}
        missed = _missed(rows, replace(best, **tried))
        if missed < least:
            best, least = replace(best, **tried), missed
    return best


def _missed(rows: list[tuple[Setting, Observed]], costs: Costs) -> float:
    """The mean of relative errors: of their squares, one load that is now paced and now not would
    outweigh all others."""
    errors: list[float] = []
    for setting, one in rows:
        if one.generator_us:
            figures = figures_of(simulated(setting, one, costs, 3.0))
            del figures["scripts"], figures["p99_ms"]
        else:
            figures = _at_full_load(setting, one, costs)
        errors += [abs(value / getattr(one, name) - 1) for name, value in figures.items()]
    return sum(errors) / len(errors)


def _at_full_load(setting: Setting, one: Observed, costs: Costs) -> dict[str, float]:
    """µs of CPU where wrk waits for each answer: of the calls and wakes that were seen."""
    found = {}
    for who, wakes in (("copy", one.copy_wakes), ("redis", one.redis_wakes)):
        us, figures = f"{who}_us", {name: getattr(costs, f"{who}_{name}") for name in PARTS}
        in_cluster = figures["cluster"] * (setting.shards > 0)
        work = figures["heartbeat"] + one.calls * figures["call"] + one.scripts * figures["script"]
        work += in_cluster * (one.calls if who == "copy" else one.scripts)
        idle = (1e6 / one.rate - getattr(one, us)) / wakes
        idle *= 1 + figures["evict"] * (who == "redis")  # wrk works meanwhile
        cold = figures["cold"] * figures["warm"] * faded(idle, figures["cool"])
        found[us] = work + wakes * (figures["wake"] + cold * faded(work / wakes, figures["warm"]))
    return found


def compared(seen: Seen, costs: Costs) -> list[dict[str, Any]]:
    """What was seen beside what is simulated."""
    rows = []
    for setting, all_seen in seen.items():
        for one in all_seen:
            figures = figures_of(simulated(setting, one, costs))
            rows.append({
                "setting": str(setting),
                "rate": one.rate,
                "seen": {name: round(getattr(one, name), 3) for name in figures},
                "simulated": {name: round(value, 3) for name, value in figures.items()},
            })  # fmt: skip
    return rows


def write(costs: Costs, rows: list[dict[str, Any]], described: dict[str, str]) -> None:
    """A row a line, so that a change can be read."""
    kept = {name: described[name] for name in ("date", "service", "cpu", "load")}
    lines = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    FILE.write_text(
        f'{{\n  "machine": {json.dumps(kept)},\n  "costs": {json.dumps(asdict(costs))},\n'
        f'  "checked": [\n    {lines}\n  ]\n}}\n'
    )
