"""Page views as CSV: no cell is a formula, whatever separates the cells."""

import csv
import re

import pytest

from service.api.export import csv_row
from service.models import View

_FORMULA = re.compile('["\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]')


@pytest.mark.fault("B24")
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
@pytest.mark.parametrize(
    "path",
    [
        "/x;=cmd|' /C calc'!A0",
        "/x; =1+1",
        '/x;"=1+1"',
        '/x;""=1+1',
        "/x;;@SUM(A1)",
        "/x;-1,2",
        "/x|+1",
        "/x\t=1",
        "/x;\uff1d1+1",
        '/a,b;"-1',
    ],
)
def test_no_cell_is_a_formula(path: str, separator: str, quoting: int) -> None:
    view = View("1-0", 1, "0" * 16, path, None, None, None)
    if quoting == csv.QUOTE_NONE and separator == ",":
        return  # no spreadsheet reads commas so
    line = csv_row(view)
    (row,) = csv.reader([line], delimiter=separator, quoting=quoting)  # type: ignore[arg-type]
    assert not [cell for cell in row if _FORMULA.match(cell)]


def test_what_cannot_begin_a_formula_stays_as_it_is() -> None:
    path = "/a-b;c=d/e+f@g"
    assert path in csv_row(View("1-0", 1, "0" * 16, path, None, None, None))
