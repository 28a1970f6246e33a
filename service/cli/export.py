"""`presence export`."""

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.api.export import CSV_HEADER, csv_row, ndjson_row
from service.cli.group import Failure
from service.cli.printing import stderr
from service.cli.reading import hint_at_sites, open_store, reachable, run, site_argument
from service.models import View
from service.settings import Settings
from service.store.paging import stream_position

_PAGE = 1000
_FORMATS: dict[str, tuple[str, Callable[[View], str]]] = {
    "csv": (CSV_HEADER, csv_row),
    "ndjson": ("", ndjson_row),
}


@click.command(short_help="Write all page views of a site, as CSV or NDJSON.")
@site_argument
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(_FORMATS)),
    required=True,
    help="CSV with a header, or a JSON object a line.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write instead of stdout. It appears only once it is complete.",
)
def export(site: str, kind: str, output: Path | None) -> None:
    """Write every page view of SITE that is kept, oldest first, as CSV or NDJSON.

    A progress bar is shown on stderr, but only when the rows go to a file: on a terminal the two
    would overlap, and so they would with whatever a piped program prints there.
    """
    settings = Settings.from_env()
    with reachable(settings):
        count = run(_export(settings, site, kind, output))
    if output is not None:
        stderr().print(f"{count} page views in {output}", markup=False, soft_wrap=True)


async def _export(settings: Settings, site: str, kind: str, output: Path | None) -> int:
    header, row_of = _FORMATS[kind]
    count = 0
    async with open_store(settings) as store:
        # The bar follows the time of the views: that needs no counting beforehand.
        last_ms = _latest(await store.last_views_position(site))
        page = await store.views(site, after="", limit=_PAGE)
        first_ms = stream_position(page.views[0].id)[0] if page.views else last_ms
        with _opened(output) as file, _progress(to_file=_is_file(output)) as bar:
            task = bar.add_task(site, total=max(last_ms - first_ms, 1), count=0)
            file.write(header.encode())
            while page.views:
                file.write("".join(map(row_of, page.views)).encode())
                count += len(page.views)
                done_ms = stream_position(page.views[-1].id)[0] - first_ms
                bar.update(task, completed=max(done_ms, 1), count=count)
                page = await store.views(site, after=page.next, limit=_PAGE)
            file.flush()
        if not count:
            await hint_at_sites(store, site)
    return count


def _latest(positions: str) -> int:
    return max(stream_position(position)[0] for position in positions.split(","))


def _is_file(output: Path | None) -> bool:
    if output is not None or sys.stdout is None:
        return output is not None
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except OSError:
        return False  # what stands for stdout has no descriptor


def _progress(*, to_file: bool) -> Progress:
    console = stderr()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]} page views"),
        TimeElapsedColumn(),
        console=console,
        disable=not (console.is_terminal and to_file),
    )


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[IO[bytes]]:
    """stdout, or a file that takes its name only when all of it is written."""
    if output is None:
        if sys.stdout is None:
            raise Failure("stdout is closed; name a file with --output")
        yield sys.stdout.buffer
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, output)
    except OSError as error:
        raise Failure(f"cannot write {output}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
