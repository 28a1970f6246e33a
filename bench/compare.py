"""Two checkouts of the service side by side: CPU per heartbeat, the service's and Redis's.

    uv run --group bench python -m bench.compare ../another-checkout [--rounds 3] [--seconds 3]

Each round runs both under every load, one after the other and in turn, on the same Redis filled
anew. The other checkout runs in its own environment: `uv sync` there first. Figures are medians
over the rounds; only ratios of one run mean anything.
"""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import trial
from bench.load import Load, Wrk
from bench.processes import SERVICE_CORE, Program, free_port
from bench.programs import ROOT, service_environ
from bench.server import Valkey, valkey

WARM_UP_S = 1.0
MANY_SITES = 1_000


class Case(NamedTuple):
    """A load: how many connections, over how many sites."""

    connections: int
    sites: int

    @property
    def title(self) -> str:
        """In words."""
        site = "1 site" if self.sites == 1 else f"{self.sites:,} sites"
        return f"{self.connections} connection{'s' * (self.connections > 1)}, {site}"


CASES = (Case(1, 1), Case(8, 1), Case(64, 1), Case(64, MANY_SITES))


class Cost(NamedTuple):
    """CPU per heartbeat in µs, and heartbeats per second."""

    redis_us: float
    service_us: float
    per_second: float


def measure(checkout: Path, redis: Valkey, folder: Path, case: Case, seconds: float) -> Cost:
    """One run of a checkout's service under one load.

    Raises:
        RuntimeError: it did not start, or refused heartbeats.
    """
    trial.fill(redis, case.sites)
    records = trial.records(folder, seconds + WARM_UP_S, case.sites)
    port = free_port()
    python = checkout / ".venv" / "bin" / "python"
    command = [str(python), "-m", "service", "serve", "--port", str(port)]
    environ = service_environ(redis, folder, case.sites) | {"VIRTUAL_ENV": str(checkout / ".venv")}
    log = folder / f"{checkout.name}.log"
    with Program(checkout.name, command, SERVICE_CORE, log, environ, checkout) as program:
        program.wait_for(port)
        wrk = Wrk(port, Load(records, connections=case.connections))
        wrk.run(WARM_UP_S)
        redis_s, service_s = redis.program.cpu_s(), program.cpu_s()
        replies = wrk.run(seconds)
        redis_s, service_s = redis.program.cpu_s() - redis_s, program.cpu_s() - service_s
    if not replies.is_valid:
        raise RuntimeError(f"{checkout}: {replies.bad_status} heartbeats were refused")
    each = 1e6 / replies.requests
    return Cost(redis_s * each, service_s * each, replies.per_second)


def main() -> None:
    """Measures, and prints a table."""
    options = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    options.add_argument("other", type=Path, help="the checkout to compare this one with")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3.0, help="of each run")
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
    for column in ("load", "Redis", "ratio", "service", "ratio", "heartbeats/s"):
        table.add_column(column, justify="left" if column == "load" else "right")
    for case in CASES:
        pairs = zip(
            *(map(median, zip(*costs[case, one], strict=True)) for one in checkouts), strict=True
        )
        (redis_was, redis_is), (was, now), (rate_was, rate_is) = pairs
        table.add_row(
            case.title,
            f"{redis_was:.1f} → {redis_is:.1f}",
            f"{redis_is / redis_was:.2f}",
            f"{was:.1f} → {now:.1f}",
            f"{now / was:.2f}",
            f"{rate_was:,.0f} → {rate_is:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
