"""Page views as lines of CSV or NDJSON, and events as NDJSON, the same over HTTP and on the command
line."""

import csv
import io
import re

import msgspec

from service.models import EventPage, View

_COLUMNS = ("id", "at", "sessionId", "path", "pageType", "referrer", "country")
CSV_HEADER = ",".join(_COLUMNS) + "\r\n"

# A spreadsheet takes a cell that begins so for a formula (OWASP: CSV injection), some with the wide
# characters of Japanese keyboards too. Many split at a semicolon or a tab, and there the quotes
# around a cell are part of its text: so what follows a separator is guarded like a cell's start.
_FORMULA = re.compile(r"(\A|[;|\t\r\n])([\s\"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
_BLANK_STARTS = ("\t", "\r")


def csv_row(view: View) -> str:
    """One line, by RFC 4180, in which no cell can be taken for a formula."""
    out = io.StringIO()
    cells = ["" if cell is None else str(cell) for cell in msgspec.structs.astuple(view)]
    csv.writer(out).writerow([_as_text(cell) for cell in cells])
    return out.getvalue()


def _as_text(cell: str) -> str:
    """The cell with an apostrophe wherever a formula could begin."""
    guarded = _FORMULA.sub(r"\1\2'", cell)
    return "'" + guarded if guarded.startswith(_BLANK_STARTS) else guarded


def ndjson_row(view: View) -> str:
    """One JSON object and a line feed."""
    return msgspec.json.encode(view).decode() + "\n"


def event_lines(page: EventPage) -> str:
    """One JSON object and a line feed for each event; the last says in `next` where to go on, so
    that whoever keeps the lines keeps the position as well."""
    *events, last = page.events
    lines = [*events, msgspec.structs.replace(last, next=page.next)]
    return msgspec.json.Encoder().encode_lines(lines).decode()
