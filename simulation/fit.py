"""What each part costs, so that the simulation uses the CPU that was seen; and how near it comes
where nothing was fitted."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from statistics import median
from typing import Any

import numpy as np

from bench.result import Context
from simulation.costs import FILE, Costs
from simulation.model import Outcome, Plan, Simulation
from simulation.observed import FULL, Observed, Setting, observe
from simulation.tables import figures_of

BALANCER_US = 25.0  # of nginx, which shares a core with who sends
FITTED: dict[Setting, tuple[float, ...]] = {  # and at which rates
    Setting(1): (1_500, 3_000, 6_000, FULL),
    Setting(1, 1, 12): (1_500, 3_000, 5_000, FULL),
    Setting(4): (1_000, 3_000),
}
CHECKED: dict[Setting, tuple[float, ...]] = {
    Setting(1): (2_500, 4_000),
    Setting(2): (2_500, 4_000),
    Setting(4): (1_500, 2_000, 4_000),
    Setting(1, 3, 12): (1_500, 2_500),
    Setting(2, 3, 12): (1_500, 2_500),
    Setting(4, 3, 12): (1_000, 1_500),
}
PASSES = 4

Seen = dict[Setting, list[Observed]]


def see(
    context: Context, wanted: dict[Setting, tuple[float, ...]], rounds: int, seconds: float
) -> Seen:
    """What is seen in each setting at each rate: the medians of some rounds."""
    runs: defaultdict[Setting, list[list[Observed]]] = defaultdict(list)
    for _ in range(rounds):
        for setting, rates in wanted.items():
            runs[setting].append(observe(context, setting, rates, seconds))
    return {
        setting: [_one(list(same)) for same in zip(*all_runs, strict=True)]
        for setting, all_runs in runs.items()
    }


def _one(same: list[Observed]) -> Observed:
    return Observed(*(median(figures) for figures in zip(*map(astuple, same), strict=True)))


def simulated(setting: Setting, one: Observed, costs: Costs) -> Outcome:
    """The same, simulated."""
    plan = Plan(
        one.rate,
        setting.copies,
        setting.nodes,
        shards=max(setting.shards, 1),
        is_cluster=setting.shards > 0,
        is_shared=True,
        gone_share=0.0,  # nobody's session times out while it is observed
        seconds=4.0,
    )
    others_us = one.generator_us + BALANCER_US * (setting.copies > 1)
    return Simulation(plan, replace(costs, generator=others_us)).run()


def fitted(seen: Seen, costs: Costs) -> Costs:
    """The costs of a copy and of Redis: least squares over calls, scripts and wakes as simulated,
    which depend on the costs in their turn."""
    rows = [(setting, one) for setting, all_seen in seen.items() for one in all_seen]
    ones = [one for _, one in rows]
    costs = replace(
        costs,
        redis_wake=median(one.idle_us / one.idle_wakes for one in ones),
        redis_hz=median(one.idle_wakes for one in ones),
    )
    for _ in range(PASSES):
        counts = [_counts(setting, one, costs) for setting, one in rows]
        us = [one.copy_us for one in ones]
        copy = least_squares([(1.0, *of_calls, woken) for *of_calls, woken, _ in counts], us)
        us = [
            one.redis_us - count[-1] * costs.redis_wake
            for one, count in zip(ones, counts, strict=True)
        ]
        redis = least_squares([(1.0, *of_calls) for *of_calls, _, _ in counts], us)
        names = ("heartbeat", "call", "script", "wake")
        figures = {f"copy_{name}": us for name, us in zip(names, copy, strict=True)}
        figures |= {f"redis_{name}": us for name, us in zip(names, redis, strict=False)}
        costs = replace(costs, **figures)
    return costs


def _counts(setting: Setting, one: Observed, costs: Costs) -> tuple[float, float, float, float]:
    """Calls, scripts and wakes, of copies and nodes, per heartbeat: as simulated, but where wrk
    waits for each answer, as seen."""
    if not one.generator_us:
        return one.calls, one.scripts, one.copy_wakes, one.redis_wakes
    run = simulated(setting, one, costs)
    calls, scripts, woken, nodes_woken = (
        count / run.sent for count in (run.calls, run.scripts, run.wakes, run.node_wakes)
    )
    return calls, scripts, woken, nodes_woken


def least_squares(rows: Sequence[tuple[float, ...]], values: Sequence[float]) -> list[float]:
    """The least squares of the relative errors. No part costs less than nothing: one that would
    is left out."""
    matrix = np.array(rows) / np.array(values)[:, None]
    used = list(range(len(rows[0])))
    while True:
        found = np.linalg.lstsq(matrix[:, used], np.ones(len(rows)), rcond=None)[0]
        if min(found) >= 0:
            break
        del used[int(np.argmin(found))]
    of = dict(zip(used, found, strict=True))
    return [float(of.get(column, 0.0)) for column in range(len(rows[0]))]


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
