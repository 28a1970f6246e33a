"""How sessions came: the names they are counted by, now and by day.

A name is `<kind> <text>`, such as `source example.org` or `device phone`. The text is `--` where
somebody came directly, or has a device that is not known.
"""

from collections.abc import Mapping
from typing import Any

from service import models

KINDS = ("source", "medium", "campaign", "device")
OTHER = "__other__"
_ROWS: dict[str, tuple[str, type[Any]]] = {
    "activeBySource": ("source", models.SourceCount),
    "activeByMedium": ("medium", models.MediumCount),
    "activeByCampaign": ("campaign", models.CampaignCount),
    "activeByDevice": ("device", models.DeviceCount),
}

CAME = _ROWS.keys()  # the names of those rows


def split_sources(flat: list[str]) -> tuple[list[str], list[str]]:
    """Splits a flat list of places and names of sources, with their counts: a place begins with
    its latitude."""
    if not any(name[:1].isalpha() for name in flat[::2]):
        return flat, []
    places: list[str] = []
    sources: list[str] = []
    for n in range(0, len(flat), 2):
        (sources if flat[n][:1].isalpha() else places).extend(flat[n : n + 2])
    return places, sources


def counts_of_kinds(sums: Mapping[str, int], limit: int) -> dict[str, Any]:
    """Rows of each kind by their names in `models.Stats`; none where nobody has said how they
    came."""
    return rows_of_kinds(sums, limit) if sums else {}


def rows_of_kinds(sums: Mapping[str, int], limit: int) -> dict[str, Any]:
    """The same, empty rows where nobody has."""
    return {name: rows(sums, kind, limit) for name, (kind, _) in _ROWS.items()}


def names_in(numbers: models.Stats) -> set[str]:
    """The names that these numbers have rows of."""
    return {
        f"{kind} {getattr(row, kind) or '--'}"
        for name, (kind, _) in _ROWS.items()
        for row in getattr(numbers, name) or ()
    }


def rows(sums: Mapping[str, int], kind: str, limit: int) -> list[Any]:
    """The counts of one kind, most first, equal ones by name: `limit` at most, and all others in
    the row of those that have no name."""
    row_of = next(row for of, row in _ROWS.values() if of == kind)
    start = f"{kind} "
    counts = {name.removeprefix(start): n for name, n in sums.items() if name.startswith(start)}
    others = counts.pop(OTHER, 0)
    ranked = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    others += sum(count for _, count in ranked[limit:])
    shown = [*ranked[:limit], *([(OTHER, others)] if others else [])]
    return [row_of(None if text == "--" else text, count) for text, count in shown]
