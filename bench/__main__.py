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
@click.option("--json", "file", type=click.Path(path_type=Path), help="Also write JSON there.")
@click.option("--check", is_flag=True, help="Exit with 1 if a bar is missed or not measured.")
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
