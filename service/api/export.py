"""Page views as lines of CSV or NDJSON, the same over HTTP and on the command line."""

import csv
import io

import msgspec

from service.models import View

_COLUMNS = ("id", "at", "sessionId", "path", "pageType", "referrer", "country")
CSV_HEADER = ",".join(_COLUMNS) + "\r\n"

# A spreadsheet takes a cell that begins so for a formula (OWASP: CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_row(view: View) -> str:
    """One line, by RFC 4180, in which no cell can be taken for a formula."""
    out = io.StringIO()
    cells = ["" if cell is None else str(cell) for cell in msgspec.structs.astuple(view)]
    csv.writer(out).writerow(
        ["'" + cell if cell.startswith(_FORMULA_STARTS) else cell for cell in cells]
    )
    return out.getvalue()


def ndjson_row(view: View) -> str:
    """One JSON object and a line feed."""
    return msgspec.json.encode(view).decode() + "\n"
