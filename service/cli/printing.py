"""How commands print: columns for people, lines with tabs for programs."""

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.cells import Cell, shown
from service.cli.columns import Column, Columns, Space

_PIPE = 2_000  # columns: more than any line needs, so that none is broken


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stdout() -> Console:
    """A console on stdout as it is now."""
    # By itself rich takes a pipe for a terminal where FORCE_COLOR is set, as it is in many a CI.
    console = _Console(highlight=False, force_terminal=is_terminal())
    if not console.is_terminal:
        console.width = _PIPE  # it has no width
    return console


def is_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def stderr() -> Console:
    """A console on stderr as it is now."""
    return Console(stderr=True, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A plain table; columns whose name ends in `#` hold numbers, in `!` what is not to be broken.
    Nothing in a cell is markup, and only a terminal has cells that are short."""
    is_short = is_terminal()
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
            *(
                Text(cell.short if is_short and isinstance(cell, Cell) else shown(cell))
                for cell in row
            )
        )
    return result


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal, which folds what is long; else as `print_tsv`."""
    console = stdout()
    if console.is_terminal:
        console.print(table(columns, rows))
    else:
        print_tsv(rows)


def print_tsv(rows: Iterable[Sequence[object]]) -> None:
    """One line a row, tabs between cells, and no header."""
    for row in rows:
        click.echo("\t".join(shown(cell) for cell in row))


def space_on(console: Console) -> Space:
    """What there is of a terminal now, which scrolls."""
    return Space(console.width, None, console.encoding)


def print_list(
    columns: Sequence[Column], rows: Sequence[Sequence[object]], nothing: str = ""
) -> None:
    """Aligned columns below a header on a terminal, or `nothing` where there are no rows; else as
    `print_tsv`."""
    console = stdout()
    if not console.is_terminal:
        print_tsv(rows)
    elif rows:
        print_lines(console, Columns(columns, space_on(console), rows).lines())
    else:
        console.print(Text(nothing, "dim"))


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Lines that fit already."""
    for line in lines:
        console.print(line, soft_wrap=True)
