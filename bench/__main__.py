"""`python -m bench`: runs the measures, prints the table and writes docs/benchmarks.md."""

import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine, plots, report
from bench.measures import IDS, run_all
from bench.result import Context

DOCS = Path(__file__).parent.parent / "docs"


class Bars:
    """Progress as bars on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar = progress.add_task("", visible=False)
        self._what = ""
        self._is_begun = False

    def start(self, what: str, steps: int) -> None:
        """A new bar."""
        self._finish()
        self._what, self._is_begun = what, False
        self._bar = self._progress.add_task(what, total=steps)

    def step(self, what: str = "") -> None:
        """Called as a step begins."""
        self._progress.update(
            self._bar, advance=int(self._is_begun), description=f"{self._what}: {what}"
        )
        self._is_begun = True

    def _finish(self) -> None:
        if self._what:
            total = self._progress.tasks[self._bar].total
            self._progress.update(self._bar, completed=total, description=self._what)


def _ids(context: click.Context, parameter: click.Parameter, value: str) -> frozenset[str]:
    ids = frozenset(part.strip().upper() for part in value.split(",") if part.strip())
    if unknown := ids - set(IDS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(IDS)}")
    return ids


@click.command()
@click.option("--quick", is_flag=True, help="One short round: a minute or two, and noisy.")
@click.option("--only", callback=_ids, default="", help="Rows to measure, such as P2 or P2,P3.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Also write JSON there.")
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 1 if a bar is missed or not measured.",
)
@click.option(
    "--write/--no-write",
    "is_written",
    default=None,
    help="Write docs/benchmarks.md and its plots; by default when everything was measured.",
)
def main(
    quick: bool, only: frozenset[str], file: Path | None, check: bool, is_written: bool | None
) -> None:
    """Measure what the service costs, beside what the same costs written otherwise."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    described = machine.describe()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        tempfile.TemporaryDirectory(prefix="presence-bench-") as folder,
        Progress(*columns, console=console) as progress,
    ):
        Path(folder).chmod(0o755)  # nginx's workers are another user
        context = Context(quick, Bars(progress), Path(folder), only)
        results = run_all(context)
    console.print(report.table(results))
    for line in report.notes(results):
        console.print(line, soft_wrap=True)
    if file is not None:
        file.write_text(report.as_json(results, described) + "\n")
    if is_written if is_written is not None else not (only or quick):
        drawn = plots.draw(results, DOCS)
        (DOCS / "benchmarks.md").write_text(report.markdown(results, described, drawn, quick))
        console.print("written: docs/benchmarks.md, " + ", ".join(plot.light for plot in drawn))
    if check and (missed := report.misses(results)):
        console.print("missed: " + ", ".join(result.id for result in missed), style="red")
        sys.exit(1)


if __name__ == "__main__":
    main()
