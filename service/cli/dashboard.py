"""The numbers of a site as bars, on one screen: in lists that share the height there is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import UnsetType
from rich.cells import cell_len
from rich.text import Text

from service.cli.cells import moment, shown
from service.cli.columns import Space, cropped, isolated
from service.cli.estimates import unique_visitors
from service.cli.glyphs import encodable
from service.models import Stats
from service.store.merge import TOP_LIMIT

_WIDE = 100  # columns from which on lists are side by side
_WIDEST_BAR = 40
_GAP = 4


@dataclass(frozen=True, slots=True)
class Ranking:
    """Names with their counts, the highest first, below a heading; `total`: how many
    names there are, those that are not in `rows` too. A count or total of None is not known."""

    heading: str
    rows: Sequence[tuple[int | None, str]]
    total: int | None
    style: str = "green"

    @property
    def height(self) -> int:
        """The lines that all of it takes."""
        return len(self.rows) + 1


def dashboard(site: str, stats: Stats, top: int, space: Space) -> list[Text]:
    """As many lines as there is room for."""
    head = _head(site, stats, space)
    paths = [(row.count, row.path) for row in stats.activeByPath]
    lands = [(row.count, row.country or "unknown") for row in stats.activeByCountry]
    came = [
        Ranking(f"active by {kind}", [(n, name) for name, n in names[:top]], _total(names, stats))
        for kind, names in sources_of(stats).items()
    ]
    viewed = [(row.views, row.path) for row in stats.pageStats]
    rankings = [
        Ranking("active by page", paths[:top], _total([(path, n) for n, path in paths], stats)),
        Ranking("active by country", lands[:top], len(lands)),
        *came,
        Ranking("page views", viewed[:top], max(len(viewed), stats.totalPaths), "blue"),
    ]
    beside = 2 if space.width >= _WIDE else 1
    *active, views = rankings
    bands = [[*active[n : n + beside]] for n in range(0, len(active), beside)] + [[views]]
    bands = [known for band in bands if (known := [r for r in band if r.rows])]
    lines = list(head)
    for band, height in zip(bands, _heights(bands, len(head), space.height), strict=False):
        lines += [Text(), *_side_by_side(band, height, space)]
    return space.fitted(lines)


def _total(names: Sequence[tuple[str, int]], stats: Stats) -> int | None:
    """How many names there are, of which the first were read; None: more."""
    is_all = len(names) < TOP_LIMIT or sum(n for _, n in names) >= stats.activeVisitors
    return len(names) if is_all else None


def sources_of(stats: Stats) -> dict[str, list[tuple[str, int]]]:
    """How those came who are here, by kind; nothing where no page says it."""
    lists: dict[str, Sequence[Any] | UnsetType] = {
        "source": stats.activeBySource,
        "medium": stats.activeByMedium,
        "campaign": stats.activeByCampaign,
        "device": stats.activeByDevice,
    }
    nameless = {"source": "direct", "device": "unknown"}
    return {
        kind: [(getattr(row, kind) or nameless[kind], row.count) for row in rows]
        for kind, rows in lists.items()
        if rows
    }


def _head(site: str, stats: Stats, space: Space) -> list[Text]:
    uniques = unique_visitors(stats, space.glyphs)
    known = f"{stats.totalPageViews} page views, {uniques} unique visitors"
    if stats.trackingSince:
        known += f" since {moment(stats.trackingSince).short} UTC"
    lines = [
        space.line(
            (str(stats.activeVisitors), "bold green"),
            (f" active on {site}{active_users(stats)} ", "bold"),
            (f" at {moment(stats.asOf).short} UTC", "dim"),
        ),
        space.line(known),
    ]
    if stats.sweepBacklog:
        waiting = f"{stats.sweepBacklog} expired sessions wait to be swept"
        lines.append(space.line((waiting, "yellow")))
    return lines


def active_users(stats: Stats) -> str:
    """How many users these are, to go on after the site; empty where it knows of none."""
    count = stats.activeUsers
    if isinstance(count, UnsetType):
        return ""
    return f", {count} user" if count == 1 else f", {count} users"


def _heights(bands: Sequence[Sequence[Ranking]], taken: int, height: int | None) -> list[int]:
    """The lines for each band: what it wants, or else an equal share. The last are given up where
    a share would not be a heading and a row."""
    wanted = [max(ranking.height for ranking in band) for band in bands]
    if height is None:
        return wanted
    while wanted and (height - taken) // len(wanted) < 3:
        wanted.pop()
    left = height - taken - len(wanted)  # but for the blank line above each
    shares = dict.fromkeys(range(len(wanted)), 0)
    for done, index in enumerate(sorted(shares, key=lambda index: wanted[index])):
        shares[index] = min(wanted[index], left // (len(wanted) - done))
        left -= shares[index]
    return list(shares.values())


def _side_by_side(band: Sequence[Ranking], height: int, space: Space) -> list[Text]:
    width = (space.width - _GAP * (len(band) - 1)) // len(band)
    columns = [bars(ranking, replace(space, width=width, height=height)) for ranking in band]
    lines = []
    for index in range(max(map(len, columns))):
        line = Text(no_wrap=True, overflow="ignore")
        for number, column in enumerate(columns):
            line.append(" " * (number * (width + _GAP) - line.cell_len))
            if index < len(column):
                line.append_text(column[index])
        line.rstrip()
        lines.append(line)
    return lines


def bars(ranking: Ranking, space: Space) -> list[Text]:
    """A heading, and of each row its count, a bar and its name, the name last: it may be of any
    length and direction."""
    rows = ranking.rows if space.height is None else ranking.rows[: max(0, space.height - 1)]
    more = "" if ranking.total is None else f"{ranking.total - len(rows)} "
    rest = "" if more == "0 " else f", and {more}more"
    heading = space.line((ranking.heading, "dim"), (rest, "dim"))
    digits = max((len(str(count or 0)) for count, _ in rows), default=1)
    most = max((count or 0 for count, _ in rows), default=0) or 1
    width = max(4, min(_WIDEST_BAR, (space.width - digits) // 3))
    lines = [heading]
    for count, name in rows:
        name = encodable(shown(name), space.encoding)
        name = cropped(name, max(0, space.width - digits - width - 2), space.glyphs)
        bar = bar_of(count / most, width, space) if count else ""
        line = Text(
            f"{'?' if count is None else count:>{digits}} ", no_wrap=True, overflow="ignore"
        )
        line.append(bar, ranking.style)
        line.append(" " * (width - cell_len(bar) + 1) + isolated(name, space.glyphs))
        line.truncate(space.width, overflow="crop")
        lines.append(line)
    return lines


def bar_of(share: float, width: int, space: Space) -> str:
    """A bar of a share of the width, from 0 to 1; never empty, and exact to an eighth of a cell
    where there are characters for it."""
    glyphs = space.glyphs
    parts = len(glyphs.part_bars) + 1
    eighths = max(1, round(share * width * parts))
    whole, rest = divmod(eighths, parts)
    return glyphs.bar * whole + (glyphs.part_bars[rest - 1] if rest else "")
