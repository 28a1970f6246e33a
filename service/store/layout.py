"""Into how many shards a site is split, and was before.

A layout is never changed: who wants another number begins another one, to whose shards the sessions
go with their next heartbeat. What the shards of earlier layouts have counted stays there until it
is folded away into one shard that nobody writes to, the archive.
"""

from itertools import pairwise
from typing import NamedTuple

_FOLDED = "folded="


class Layout(NamedTuple):
    """One layout of a site. `since_ms`: from when on it was written to, 0 of the first."""

    generation: int
    shards: int
    since_ms: int

    def __str__(self) -> str:
        return f"{self.generation}:{self.shards}:{self.since_ms}"

    @classmethod
    def parse(cls, text: str) -> "Layout":
        """Reads what `str` has made of one."""
        generation, shards, since_ms = map(int, text.split(":"))
        return cls(generation, shards, since_ms)


class Archive(NamedTuple):
    """Where the numbers of the oldest layouts are. `layouts`: of how many; `since_ms`: from when
    on, after everything that these shards have logged."""

    layouts: int
    since_ms: int

    def __str__(self) -> str:
        return f"{_FOLDED}{self.layouts}@{self.since_ms}"

    @classmethod
    def parse(cls, text: str) -> "Archive":
        """Reads what `str` has made of one."""
        layouts, since_ms = map(int, text.removeprefix(_FOLDED).split("@"))
        return cls(layouts, since_ms)


class SiteLayouts(NamedTuple):
    """The layouts of a site, oldest first. `announced`: the next one, which is not written to yet,
    for shards of the one before may still be. `archive`: where numbers of the oldest are."""

    in_force: tuple[Layout, ...]
    announced: Layout | None = None
    archive: Archive | None = None

    @property
    def current(self) -> Layout:
        """The layout that is written to."""
        return self.in_force[-1]

    @property
    def shards(self) -> int:
        """Into how many shards the site is split now."""
        return self.in_force[-1].shards

    def with_announced(self, shards: int, now_ms: int) -> "SiteLayouts":
        """These layouts, and another one that is to follow."""
        return self._replace(announced=Layout(self.current.generation + 1, shards, now_ms))

    def switched(self, *, is_new: bool = False) -> "SiteLayouts":
        """These layouts where the one that was announced is in force; of a site that is new, whose
        shards so far hold nothing, that one alone, from the beginning."""
        assert self.announced is not None
        if is_new:
            return SiteLayouts((self.announced._replace(since_ms=0),))
        return self._replace(in_force=(*self.in_force, self.announced), announced=None)

    @property
    def folded(self) -> tuple[Layout, ...]:
        """The layouts whose shards have their logs alone."""
        return self.in_force[: self.archive.layouts] if self.archive else ()

    def foldable(self, since_ms: int) -> tuple[Layout, ...]:
        """The layouts that may be folded where nothing can be left of a session in one that was
        followed by another before this moment."""
        former = self.in_force[len(self.folded) :]
        return tuple(layout for layout, after in pairwise(former) if after.since_ms <= since_ms)

    @property
    def folded_shards(self) -> int:
        """How many shards these have."""
        return sum(layout.shards for layout in self.folded)

    def __str__(self) -> str:
        """As the registry has it: the newest first, `!` before one that is announced, and at the
        end how many are folded, and since when."""
        newest = [f"!{self.announced}"] if self.announced else []
        folded = [str(self.archive)] if self.archive else []
        return " ".join([*newest, *map(str, reversed(self.in_force)), *folded])

    @classmethod
    def parse(cls, text: str) -> "SiteLayouts":
        """Reads what `str` has made of them."""
        words = text.split()
        archive = Archive.parse(words.pop()) if words[-1].startswith(_FOLDED) else None
        announced = Layout.parse(words.pop(0)[1:]) if words[0].startswith("!") else None
        return cls(tuple(map(Layout.parse, reversed(words))), announced, archive)
