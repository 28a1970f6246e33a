"""Unique visitors, which are estimated, as numbers that one believes; client/pages/estimate.js says
the same on the stats page."""

from service.cli.glyphs import Glyphs
from service.models import Stats

_LEAST = 100  # below it an estimate is right, or one or two off
_DIGITS = 3  # what the error, 0.81 %, leaves of it


def unique_visitors(stats: Stats, glyphs: Glyphs) -> str:
    """How many were ever here: never fewer than today, or than are here now."""
    at_least = max(stats.uniqueVisitorsToday, stats.activeVisitors)
    best = max(stats.uniqueVisitors, at_least)
    if best < _LEAST:
        return str(best)
    step = 10 ** (len(str(best)) - _DIGITS)
    rounded = (best + step // 2) // step * step
    return f"{glyphs.about} {rounded + step if rounded < at_least else rounded}"
