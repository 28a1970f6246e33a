"""`python -m bench`: runs the measures, prints the table and writes docs/benchmarks.md."""

import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from bench import machine, plots, report
from bench.measures import IDS, run_all
from bench.result import Context

DOCS = Path(__file__).parent.parent / "docs"


def _ids(context: click.Context, parameter: click.Parameter, value: str) -> frozenset[str]:
    named = {id.upper(): id for id in IDS}
    words = [part.strip().upper() for part in value.split(",") if part.strip()]
    ids = frozenset(named.get(word, word) for word in words)
    if unknown := ids - set(IDS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(IDS)}")
    return ids


@click.command()
@click.option("--quick", is_flag=True, help="One short round, and noisy.")
@click.option("--only", callback=_ids, default="", help="Rows to measure, such as P2 or P2,P3.")
@click.option("--check", is_flag=True, help="Exit with 1 if a bar is missed or not measured.")
@click.option("--no-write", is_flag=True, help="Leave docs/benchmarks.md as it is.")
def main(quick: bool, only: frozenset[str], check: bool, no_write: bool) -> None:
    """Measure what the service costs, beside what the same costs written otherwise."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    described = machine.describe()
    with (
        tempfile.TemporaryDirectory(prefix="presence-bench-") as folder,
        console.status("") as status,
    ):
        Path(folder).chmod(0o755)  # nginx's workers are another user

        def say(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                console.print(what)

        results = run_all(Context(quick, Path(folder), only, say))
    console.print(report.table(results))
    if not (only or quick or no_write):
        is_drawn = plots.draw(results, DOCS)
        (DOCS / "benchmarks.md").write_text(report.markdown(results, described, is_drawn, quick))
        console.print("written: docs/benchmarks.md")
    if check and (missed := report.misses(results)):
        console.print("missed: " + ", ".join(result.id for result in missed), style="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
