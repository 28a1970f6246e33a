"""Unique visitors as `presence stats` writes them."""

import msgspec
import pytest

from service.cli.estimates import unique_visitors
from service.cli.glyphs import ASCII, UNICODE
from tests.cli.test_watching import EMPTY


# estimate, of today, here now -> what is written
@pytest.mark.parametrize(
    "estimate, today, here, written",
    [
        (0, 0, 0, "0"),
        (99, 40, 3, "99"),
        (100, 40, 3, "≈ 100"),
        (19_812, 40, 3, "≈ 19800"),
        (19_850, 40, 3, "≈ 19900"),
        (999_999, 0, 0, "≈ 1000000"),
        (7, 7, 8, "8"),  # never fewer than are here now
        (98, 98, 101, "≈ 101"),
        (19_812, 300, 19_820, "≈ 19900"),  # and not by rounding either
        (5_000, 5_040, 3, "≈ 5040"),  # nor than today
    ],
)
def test_unique_visitors(estimate: int, today: int, here: int, written: str) -> None:
    numbers = {"uniqueVisitors": estimate, "uniqueVisitorsToday": today, "activeVisitors": here}
    stats = msgspec.structs.replace(EMPTY, **numbers)
    assert unique_visitors(stats, UNICODE) == written
    assert unique_visitors(stats, ASCII) == written.replace("≈", "~")
