"""Aligned columns on a terminal: as wide as it is, whatever the cells hold."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, split_text
from rich.text import Text

from service.cli.cells import Cell, shown
from service.cli.glyphs import UNICODE, Glyphs, encodable, glyphs_of

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Space:
    """What there is of a terminal: its width and height in cells (None: it may scroll), and the
    characters that it has."""

    width: int
    height: int | None = None
    encoding: str = "utf-8"

    @property
    def glyphs(self) -> Glyphs:
        """The glyphs that its encoding has."""
        return glyphs_of(self.encoding)

    def with_height(self, height: int | None) -> "Space":
        """A part of it, as wide, and of another height."""
        return Space(self.width, height, self.encoding)

    def line(self, *parts: str | tuple[str, str]) -> Text:
        """A line of texts, with their styles, as much of it as fits."""
        known = (
            encodable(part, self.encoding)
            if isinstance(part, str)
            else (encodable(part[0], self.encoding), part[1])
            for part in parts
        )
        line = Text.assemble(*known, no_wrap=True, overflow="ignore")
        line.truncate(self.width, overflow="crop")
        return line

    def fitted(self, lines: list[Text]) -> list[Text]:
        """The lines that there is room for; the last says how many there is none for."""
        if self.height is None or len(lines) <= self.height:
            return lines
        shown = lines[: max(0, self.height - 1)]
        more = self.line((f"{self.glyphs.ellipsis} and {len(lines) - len(shown)} more", "dim"))
        return [*shown, more][: self.height]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list.

    Args:
        name: its header.
        usual: its width where cells come one by one, so that none can be measured.
        least: cells may be cropped, down to this width; 0: they are whole.
        rank: the higher, the earlier the column is left out of a narrow terminal; 0: never.
        is_number: aligned to the right.
    """

    name: str
    usual: int = 0
    least: int = 0
    rank: int = 0
    is_number: bool = False


class Columns:
    """The columns that a terminal has room for.

    Args:
        rows: what is to be shown; None: it is not known yet.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        space: Space,
        rows: Sequence[Sequence[object]] | None = None,
    ) -> None:
        self.width = space.width
        self._glyphs = space.glyphs
        self._encoding = space.encoding
        self._columns = columns
        self._texts = None if rows is None else [self._texts_of(row) for row in rows]
        self._widths = self._fitted()

    def lines(self) -> list[Text]:
        """The header and the rows that were given."""
        return [self.header(), *(self._line(texts) for texts in self._texts or ())]

    def header(self) -> Text:
        """The names of the columns."""
        line = self._line([column.name for column in self._columns])
        line.stylize("dim")
        return line

    def line(self, row: Sequence[object]) -> Text:
        """One row."""
        return self._line(self._texts_of(row))

    def _texts_of(self, row: Sequence[object]) -> list[str]:
        texts = (shown(cell.short if isinstance(cell, Cell) else cell) for cell in row)
        return [encodable(text, self._encoding) for text in texts]

    def _fitted(self) -> dict[int, int]:
        """Widths by the index of the column."""
        wanted = {}
        for index, column in enumerate(self._columns):
            if self._texts is None:
                wanted[index] = max(column.usual, len(column.name))
                continue
            most = max((cell_len(texts[index]) for texts in self._texts), default=0)
            if most or not column.rank:
                wanted[index] = max(most, len(column.name))
        widths = {
            index: min(width, max(self._columns[index].least, len(self._columns[index].name)))
            if self._columns[index].least
            else width
            for index, width in wanted.items()
        }
        while self._sum(widths) > self.width:
            rank, index = max((self._columns[index].rank, index) for index in widths)
            if not rank:
                break
            del widths[index]
        return self._widened(widths, wanted)

    def _widened(self, widths: dict[int, int], wanted: dict[int, int]) -> dict[int, int]:
        """Shares what is left among those that want it, a cell each in turn."""
        left = self.width - self._sum(widths)
        while left > 0 and (wanting := [i for i in widths if widths[i] < wanted[i]]):
            for index in wanting[:left]:
                widths[index] += 1
            left -= len(wanting[:left])
        return widths

    def _sum(self, widths: dict[int, int]) -> int:
        return sum(widths.values()) + len(_GAP) * (len(widths) - 1)

    def _line(self, texts: Sequence[str]) -> Text:
        parts = []
        last = max(self._widths, default=0)
        for index, width in self._widths.items():
            text = texts[index]
            if self._columns[index].least:
                text = cropped(text, width, self._glyphs)
            blank = " " * (width - cell_len(text))
            text = isolated(text, self._glyphs)
            if self._columns[index].is_number:
                text = blank + text
            elif index != last:
                text += blank
            parts.append(text)
        line = Text(_GAP.join(parts).rstrip(" "), no_wrap=True, overflow="ignore")
        line.truncate(self.width, overflow="crop")  # whole cells may be too wide for it
        return line


def cropped(text: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """A text of at most so many cells: of one that is longer, the beginning and the end, which of
    a path tells more than its middle."""
    length = cell_len(text)
    if length <= width:
        return text
    if width <= 1:
        return glyphs.ellipsis[:width]
    tail = (width - 1) // 3
    begin, end = split_text(text, width - 1 - tail)[0], split_text(text, length - tail)[1]
    return begin + glyphs.ellipsis + (end if tail else "")


def isolated(text: str, glyphs: Glyphs = UNICODE) -> str:
    """A text that does not move what stands beside it, if it runs from right to left."""
    if text.isascii() or not glyphs.has_isolates:
        return text
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        return f"\u2068{text}\u2069"
    return text
