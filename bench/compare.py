"""Two checkouts of the service side by side: CPU per heartbeat, the service's and Redis's.

    uv run --group bench python -m bench.compare ../another-checkout [--rounds 10] [--check]

Each round runs both under every load, one after the other and in turn, on the same Redis filled
anew. The other checkout runs in its own environment: `uv sync` there first. Figures are the least
over the rounds, for whatever else the machine does only ever adds to what a heartbeat costs; only
ratios of one run mean anything.
"""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import trial
from bench.load import Load
from bench.processes import SERVICE_CORE, Program, free_port
from bench.programs import ROOT, service_environ
from bench.server import Valkey, valkey
from bench.trial import Cost

MOST_SERVICE = 1.0  # what the service may cost, of the other's


class Case(NamedTuple):
    """A load: connections, over how many sites; and what Redis may cost, of the other's."""

    connections: int
    sites: int
    most_redis: float


CASES = (Case(1, 1, 0.9), Case(8, 1, 0.85), Case(64, 1, 1.0), Case(64, 1_000, 0.85))


def measure(checkout: Path, redis: Valkey, folder: Path, case: Case, seconds: float) -> Cost:
    """One run of a checkout's service under one load."""
    trial.fill(redis, case.sites)
    load = Load(trial.records(folder, seconds, case.sites), connections=case.connections)
    port = free_port()
    python = checkout / ".venv" / "bin" / "python"
    command = [str(python), "-m", "service", "serve", "--port", str(port)]
    environ = service_environ(redis, folder, case.sites) | {"VIRTUAL_ENV": str(checkout / ".venv")}
    log = folder / f"{checkout.name}.log"
    with Program(checkout.name, command, SERVICE_CORE, log, environ, checkout) as program:
        program.wait_for(port)
        return trial.measure([program], [], port, redis, load, seconds, 1)


def row(case: Case, was: list[Cost], now: list[Cost]) -> tuple[list[str], bool]:
    """The cells of a load, and whether both its bars are met."""
    cells, are_met = [f"{case.connections} connections, {case.sites:,} sites"], True
    for name, most in (("redis_us", case.most_redis), ("program_us", MOST_SERVICE)):
        before, after = (min(getattr(cost, name) for cost in costs) for costs in (was, now))
        is_met = after / before <= most
        verdict = "met" if is_met else "missed"
        cells += [f"{before:.1f} → {after:.1f}", f"{after / before:.2f}", f"≤ {most:g} {verdict}"]
        are_met &= is_met
    rates = (max(cost.per_second for cost in costs) for costs in (was, now))
    return [*cells, " → ".join(f"{rate:,.0f}" for rate in rates)], are_met


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    options.add_argument("other", type=Path, help="the checkout to compare this one with")
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seconds", type=float, default=2.0, help="of each run")
    options.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    given = options.parse_args()
    checkouts = [given.other.resolve(), ROOT.resolve()]
    for checkout in checkouts:
        if not (checkout / ".venv" / "bin" / "python").exists():
            sys.exit(f"{checkout} has no environment: run uv sync there")
    costs: defaultdict[tuple[Case, Path], list[Cost]] = defaultdict(list)
    plan = [
        (case, checkout)
        for number in range(given.rounds)
        for case in CASES
        for checkout in (checkouts if number % 2 else checkouts[::-1])
    ]
    with tempfile.TemporaryDirectory() as name, valkey(Path(name)) as redis:
        for case, checkout in track(plan, "Comparing", console=Console(stderr=True)):
            cost = measure(checkout, redis, Path(name), case, given.seconds)
            costs[case, checkout].append(cost)
    table = Table(title=f"µs of CPU per heartbeat, {os.cpu_count()} cores: other → this")
    for column in ("load", "Redis", "ratio", "bar", "service", "ratio", "bar", "heartbeats/s"):
        table.add_column(column, justify="left" if column == "load" else "right")
    rows = [row(case, *(costs[case, checkout] for checkout in checkouts)) for case in CASES]
    for cells, _ in rows:
        table.add_row(*cells)
    Console().print(table)
    if given.check and not all(are_met for _, are_met in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
