"""How commands print: tables for people, lines with tabs for programs."""

import time
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stdout() -> Console:
    """A console on stdout as it is now."""
    console = _Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width; lines are not broken for it
    return console


def stderr() -> Console:
    """A console on stderr as it is now."""
    return Console(stderr=True, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A plain table; columns whose name ends in `#` hold numbers, in `!` what is not to be broken.
    Nothing in a cell is markup."""
    result = Table(title=title or None, title_justify="left", title_style="bold", box=None)
    for name in columns:
        is_number = name.endswith("#")
        result.add_column(
            name.rstrip("#!"),
            justify="right" if is_number else "left",
            header_style="dim",
            overflow="fold",
            no_wrap=is_number or name.endswith("!"),
        )
    for row in rows:
        result.add_row(
            *(Text(cell.short if isinstance(cell, Moment) else shown(cell)) for cell in row)
        )
    return result


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal; else one line a row, tabs between cells, and no header."""
    console = stdout()
    if console.is_terminal:
        console.print(table(columns, rows))
        return
    for row in rows:
        click.echo("\t".join(shown(cell) for cell in row))


def shown(cell: object) -> str:
    """A cell as text; an absent value is empty."""
    return "" if cell is None else str(cell)


class Moment(str):
    """A time by ISO 8601, UTC; `short` is what a person needs of it, in a table."""

    __slots__ = ("short",)
    short: str


def moment(ms: int) -> Moment:
    """A time in ms since the epoch."""
    seconds, rest = divmod(ms, 1000)
    at = time.gmtime(seconds)
    result = Moment(time.strftime("%Y-%m-%dT%H:%M:%S", at) + f".{rest:03d}Z")
    is_today = time.strftime("%j%Y", at) == time.strftime("%j%Y", time.gmtime())
    result.short = time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", at)
    return result
