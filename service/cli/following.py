"""Prints rows as they come, one below the other: on a terminal in columns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.cli.cells import Cell
from service.cli.columns import Column, Columns
from service.cli.printing import print_lines, print_tsv, space_on, stdout


class RowPrinter:
    """Prints rows as they come. Their columns cannot be measured, so the terminal's width alone
    decides; below a new header when that changes.

    Args:
        columns: of the rows.
        measured: columns that the first rows decide, by index, with the width where there are
            none.
    """

    def __init__(self, columns: Sequence[Column], measured: Mapping[int, int]) -> None:
        self._names = columns
        self._measured = measured
        self._console = stdout()
        self._columns: Columns | None = None

    def print(self, rows: Sequence[Sequence[object]]) -> None:
        """Prints these behind those before."""
        if not self._console.is_terminal:
            print_tsv(rows)
            return
        space = space_on(self._console)
        if self._columns is None or self._columns.width != space.width:
            self._columns = Columns(self._widths(rows), space)
            print_lines(self._console, [self._columns.header()])
        print_lines(self._console, map(self._columns.line, rows))

    def _widths(self, rows: Sequence[Sequence[object]]) -> list[Column]:
        columns = list(self._names)
        for index, width in self._measured.items():
            cells = (row[index] for row in rows)
            widest = max((len(c.short) for c in cells if isinstance(c, Cell)), default=width)
            columns[index] = replace(columns[index], usual=widest)
        return columns
