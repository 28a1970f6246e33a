"""Into how many shards a site is split, and was before.

A layout is never changed: who wants another number begins another one, to whose shards the sessions
go with their next heartbeat. What the shards of earlier layouts have counted stays there.
"""

from typing import NamedTuple


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


class SiteLayouts(NamedTuple):
    """The layouts of a site, oldest first. `announced`: the next one, which is not written to yet,
    for shards of the one before may still be."""

    in_force: tuple[Layout, ...]
    announced: Layout | None = None

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
        return SiteLayouts((*self.in_force, self.announced))

    def __str__(self) -> str:
        """As the registry has it: the newest first, and `!` before one that is announced."""
        newest = [f"!{self.announced}"] if self.announced else []
        return " ".join([*newest, *map(str, reversed(self.in_force))])

    @classmethod
    def parse(cls, text: str) -> "SiteLayouts":
        """Reads what `str` has made of them."""
        *rest, oldest = text.split()
        announced = Layout.parse(rest.pop(0)[1:]) if rest and rest[0][0] == "!" else None
        return cls(tuple(map(Layout.parse, [oldest, *reversed(rest)])), announced)
