"""The command: sizes for one's own numbers, the tables of the docs, and the costs behind them."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.markdown import Markdown

from bench import machine
from bench.result import Context
from simulation import tables
from simulation.costs import FILE, Costs
from simulation.scale import Size, shocks, size

SESSIONS = (1_000_000, 10_000_000, 100_000_000)
SITE_SESSIONS = 10_000
CONSOLE = Console()
of_sites = click.option(
    "--site-sessions", default=SITE_SESSIONS, show_default=True, help="Sessions of each site."
)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Whom to tell what is being done."""
    with CONSOLE.status("") as status:

        def say(what: str) -> None:
            status.update(what)
            if not CONSOLE.is_terminal:
                CONSOLE.print(what)

        yield say


@click.group()
def main() -> None:
    """Work out what many copies and nodes would do.

    Events on cores are simulated, with costs that `measure` has taken from this service on a real
    machine (simulation/costs.json). `size` answers for your numbers; `tables` writes those of
    docs/scaling.md; `measure` needs wrk and nginx and a machine that does nothing else.
    """


@main.command("size")
@click.argument("sessions", type=click.IntRange(1_000))
@of_sites
def size_command(sessions: int, site_sessions: int) -> None:
    """Copies, nodes and memory for so many SESSIONS, by how the balancer chooses a copy.

    One heartbeat per session every 30 s, cores at most 70 % busy.
    """
    costs = Costs.load()
    with _progress() as say:
        found = [size(sessions, way, costs, site_sessions, say) for way in ("slot", "any", "one")]
    CONSOLE.print(Markdown(tables.sizes(found, costs)))


@main.command("tables")
def tables_command() -> None:
    """Simulate 1, 10 and 100 million sessions and write the tables of docs/scaling.md.

    About a minute. The same costs give the same tables.
    """
    costs = Costs.load()
    found: dict[tuple[int, str], Size] = {}
    with _progress() as say:
        for sessions in SESSIONS:
            for way in ("any", "site", "slot", "one"):
                found[sessions, way] = size(sessions, way, costs, SITE_SESSIONS, say)
        say("what happens when everybody comes back, or a node is away")
        both = [
            shock for way in ("any", "slot") for shock in shocks(found[SESSIONS[0], way], costs)
        ]
        made = {
            "sizes": tables.sizes(list(found.values()), costs),
            "breaks": tables.breaks(SESSIONS, costs, SITE_SESSIONS),
            "shocks": tables.shocks(sorted(both, key=lambda shock: shock.what)),
            "checked": tables.checked(),
        }
    text = tables.DOCUMENT.read_text()
    for name, table in made.items():
        text = tables.written(text, name, table)
        CONSOLE.print(Markdown(table))
    tables.DOCUMENT.write_text(text)
    CONSOLE.print("written: docs/scaling.md")


@main.command()
@click.option("--rounds", default=5, show_default=True, help="Of which the medians are taken.")
@click.option("--seconds", default=2.0, show_default=True, help="Of each rate, in each round.")
def measure(rounds: int, seconds: float) -> None:
    """Measure the costs, compare simulated loads with real ones, and write both.

    Twenty minutes. Copies, nodes and load are given precedence over what else the machine does,
    where that is allowed.
    """
    from simulation import crowds, fit  # which need the group `bench`

    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # for all that is started, too
    with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder, _progress() as say:
        Path(folder).chmod(0o755)  # nginx's workers are another user
        context = Context(False, Path(folder), frozenset(), say)
        say("what a session costs Redis")
        session_bytes, sweep = asyncio.run(crowds.measured(context))
        seen, checked = fit.see(context, rounds, seconds)
        say("the costs, of what was seen: eight minutes")
        costs = fit.fitted(seen, Costs(sweep=sweep, session_bytes=session_bytes)).rounded()
        rows = fit.compared(checked, costs)
    fit.write(costs, rows, machine.describe())
    CONSOLE.print(Markdown(tables.checked()))
    CONSOLE.print(f"written: simulation/{FILE.name}")


if __name__ == "__main__":
    main()
