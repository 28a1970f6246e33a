"""Two checkouts of the service side by side: CPU per heartbeat, the service's and Redis's.

    uv run --group bench python -m bench.compare ../another-checkout [--rounds 20]

Each runs on a Redis of its own, and both are sent the same heartbeats, a second in turn: how fast
a machine is changes within seconds, above all a virtual one, and so it changes for both. The other
checkout runs in its own environment: `uv sync` there first. Only ratios of one run mean anything.
"""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import trial
from bench.load import Load, Wrk
from bench.processes import SERVICE_CORE, Program, free_port
from bench.programs import ROOT, service_environ
from bench.server import valkey

MOST_SERVICE = 1.0  # what the service may cost, of the other's
Used = Mapping[str, float]


class Case(NamedTuple):
    """A load: connections, over how many sites; and what Redis may cost, of the other's."""

    connections: int
    sites: int
    most_redis: float


CASES = (Case(1, 1, 0.9), Case(8, 1, 0.85), Case(64, 1, 1.0), Case(64, 1_000, 0.85))


class Side:
    """A checkout's service on a Redis of its own, and the CPU seconds that both have used."""

    def __init__(self, stack: ExitStack, checkout: Path, folder: Path, case: Case) -> None:
        self.redis = stack.enter_context(valkey(folder))
        trial.fill(self.redis, case.sites)
        self.load = Load(trial.records(folder, 1, case.sites), connections=case.connections)
        port, venv = free_port(), checkout / ".venv"
        command = [str(venv / "bin" / "python"), "-m", "service", "serve", "--port", str(port)]
        environ = service_environ(self.redis, folder, case.sites) | {"VIRTUAL_ENV": str(venv)}
        log = folder / f"{checkout.name}.log"
        self.program = stack.enter_context(
            Program(checkout.name, command, SERVICE_CORE, log, environ, checkout)
        )
        self.program.wait_for(port)
        self.wrk = Wrk(port, self.load)
        self.used: defaultdict[str, float] = defaultdict(float)

    def run(self, seconds: float) -> None:
        """Sends heartbeats for so long, and adds up what they cost."""
        redis_s, program_s = self.redis.program.cpu_s(), self.program.cpu_s()
        replies = self.wrk.run(seconds)
        if not replies.is_valid:
            raise RuntimeError(f"{replies.bad_status} refusals, {replies.socket_errors} errors")
        self.used["redis"] += self.redis.program.cpu_s() - redis_s
        self.used["program"] += self.program.cpu_s() - program_s
        self.used["heartbeats"] += replies.requests
        self.used["seconds"] += replies.seconds
        trial.lengthen(self.load.records, self.wrk.next_record + 4 * replies.requests)


def measure(checkouts: list[Path], folder: Path, case: Case, rounds: int) -> list[Used]:
    """Both sides under one load, a second each in turn."""
    with ExitStack() as stack:
        sides = []
        for number, checkout in enumerate(checkouts):
            own = folder / str(number)
            own.mkdir(exist_ok=True)
            sides.append(Side(stack, checkout, own, case))
        for side in sides:
            side.run(1)
            side.used.clear()
        for number in range(rounds):
            for side in sides if number % 2 else sides[::-1]:
                side.run(1)
    return [side.used for side in sides]


def row(case: Case, was: Used, now: Used) -> list[str]:
    """The cells of a load."""
    cells = [f"{case.connections} connections, {case.sites:,} sites"]
    for name, most in (("redis", case.most_redis), ("program", MOST_SERVICE)):
        before, after = (used[name] / used["heartbeats"] * 1e6 for used in (was, now))
        verdict = "met" if after / before <= most else "missed"
        cells += [f"{before:.1f} → {after:.1f}", f"{after / before:.2f}", f"≤ {most:g} {verdict}"]
    rates = (used["heartbeats"] / used["seconds"] for used in (was, now))
    return [*cells, " → ".join(f"{rate:,.0f}" for rate in rates)]


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    options.add_argument("other", type=Path, help="the checkout to compare this one with")
    options.add_argument("--rounds", type=int, default=20, help="seconds of each side and load")
    given = options.parse_args()
    checkouts = [given.other.resolve(), ROOT.resolve()]
    if missing := [one for one in checkouts if not (one / ".venv" / "bin" / "python").exists()]:
        sys.exit(f"{missing[0]} has no environment: run uv sync there")
    table = Table(title=f"µs of CPU per heartbeat, {os.cpu_count()} cores: other → this")
    for column in ("load", "Redis", "ratio", "bar", "service", "ratio", "bar", "heartbeats/s"):
        table.add_column(column, justify="left" if column == "load" else "right")
    with tempfile.TemporaryDirectory() as name:
        for case in track(CASES, "Comparing", console=Console(stderr=True)):
            table.add_row(*row(case, *measure(checkouts, Path(name), case, given.rounds)))
    Console().print(table)


if __name__ == "__main__":
    main()
