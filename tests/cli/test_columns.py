"""Cells, and columns that fit whatever the terminal is."""

import pytest
from rich.cells import cell_len

from service.cli.cells import ago, moment, session_id, shown, since, user_id
from service.cli.columns import Column, Columns, Space, cropped, isolated
from service.cli.glyphs import ASCII, UNICODE, encodable, glyphs_of

UUID = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
COLUMNS = (
    Column("session"),
    Column("page", least=12),
    Column("active", is_number=True),
    Column("city", rank=1),
    Column("since", rank=2),
)
ROWS = [
    ("…8f3f6b0e", "/docs/reference/configuration/tls", 7, None, "12 s ago"),
    ("…1d8f3f6b", "/", 12_345, None, "3 min ago"),
]


@pytest.mark.parametrize(
    "passed_ms, said",
    [
        (-5, "now"), (0, "now"), (999, "now"), (1000, "1 s ago"), (12_345, "12 s ago"),
        (59_999, "59 s ago"), (60_000, "1 min ago"), (3_599_999, "59 min ago"),
        (3_600_000, "1 h ago"), (47 * 3_600_000, "47 h ago"), (48 * 3_600_000, "2 d ago"),
    ],
)  # fmt: skip
def test_how_long_ago(passed_ms: int, said: str) -> None:
    assert since(passed_ms) == said
    cell = ago(1_795_549_741_251, 1_795_549_741_251 + passed_ms)
    assert (cell, cell.short) == ("2026-11-24T19:49:01.251Z", said)


def test_a_moment_of_another_day_says_which() -> None:
    assert moment(1_000_000_000_000).short == "2001-09-09 01:46"


@pytest.mark.parametrize(
    "of, text, short",
    [
        (session_id, UUID, "…8f3f6b0e"),
        (session_id, "session-00000001", "…00000001"),
        (user_id, UUID, "5f1c0a53…8f3f6b0e"),
        (user_id, "anna@example.org", "anna@example.org"),
    ],
)
def test_short_ids(of: object, text: str, short: str) -> None:
    assert callable(of)
    assert (of(text, is_full=False), of(text, is_full=False).short) == (text, short)
    assert of(text, is_full=True).short == text


@pytest.mark.parametrize(
    "cell, text",
    [
        (None, ""), (7, "7"), ("/ü/日本", "/ü/日本"), ("/a\\b", "/a\\b"), ("[red]", "[red]"),
        ("a\tb\nc\rd", "a\\tb\\nc\\rd"), ("\x1b[2J\x07", "\\x1b[2J\\x07"), ("\x9b1m", "\\x9b1m"),
        ("/a\u202eb", "/a\\u202eb"), ("\u2028", "\\u2028"), ("\udc80", "\\udc80"),
        ("❤\ufe0f\u200b", "❤\ufe0f\\u200b"), ("x\U000e0061", "x\\U000e0061"),
    ],
)  # fmt: skip
def test_what_is_not_seen_is_escaped(cell: object, text: str) -> None:
    assert shown(cell) == text


@pytest.mark.parametrize(
    "text, width, shown",
    [
        ("/docs/x", 7, "/docs/x"), ("/docs/reference/tls", 10, "/docs/…tls"), ("/docs", 1, "…"),
        ("/docs", 0, ""), ("/docs", 2, "/…"), ("/日本語日本語", 7, "/日 …語"),
("/👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", 5, "/👩‍👩‍👧…"),
    ],
)  # fmt: skip
def test_what_is_long_is_cropped(text: str, width: int, shown: str) -> None:
    assert cropped(text, width).rstrip() == shown.rstrip()
    assert cell_len(cropped(text, width)) <= width


@pytest.mark.parametrize("text, is_isolated", [("/שלום", True), ("/سلام", True), ("/é日", False)])
def test_right_to_left_stays_in_its_cell(text: str, is_isolated: bool) -> None:
    assert isolated(text) == (f"\u2068{text}\u2069" if is_isolated else text)
    assert isolated(text, ASCII) == text
    assert cell_len(isolated(text)) == cell_len(text)


@pytest.mark.parametrize(
    "encoding, glyphs",
    [
        ("utf-8", UNICODE), ("UTF-8", UNICODE), ("ascii", ASCII), ("iso-8859-1", ASCII),
        ("cp437", ASCII), ("nonsense", ASCII),
    ],
)  # fmt: skip
def test_glyphs_are_those_of_the_encoding(encoding: str, glyphs: object) -> None:
    assert glyphs_of(encoding) is glyphs


@pytest.mark.parametrize(
    "text, encoding, shown",
    [
        ("/é…", "utf-8", "/é…"), ("/é…", "iso-8859-1", "/é~"), ("/日", "ascii", "/\\u65e5"),
        ("/é", "nonsense", "/\\xe9"),
    ],
)  # fmt: skip
def test_what_an_encoding_does_not_have_is_escaped(text: str, encoding: str, shown: str) -> None:
    assert encodable(text, encoding) == shown


FITTED = {
    80: """
session    page                               active  since
…8f3f6b0e  /docs/reference/configuration/tls       7  12 s ago
…1d8f3f6b  /                                   12345  3 min ago""",
    50: """
session    page                  active  since
…8f3f6b0e  /docs/referen…on/tls       7  12 s ago
…1d8f3f6b  /                      12345  3 min ago""",
    32: """
session    page           active
…8f3f6b0e  /docs/re…/tls       7
…1d8f3f6b  /               12345""",
}


@pytest.mark.parametrize("width", FITTED)
def test_columns_fit(width: int) -> None:
    lines = [line.plain for line in Columns(COLUMNS, Space(width), ROWS).lines()]
    assert lines == FITTED[width].splitlines()[1:]


def test_columns_before_anything_is_known() -> None:
    columns = (Column("at", usual=8), Column("page", usual=99, least=10), Column("city", usual=6))
    fitted = Columns(columns, Space(40))
    assert fitted.header().plain == "at        page                    city"
    line = fitted.line(("12:00:00", "/a/page/with/a/long/name/indeed", "Oslo"))
    assert line.plain == "12:00:00  /a/page/with/a…/indeed  Oslo"


@pytest.mark.parametrize("width", [20, 33, 60, 61, 80])
def test_wide_and_odd_characters_keep_the_columns(width: int) -> None:
    paths = [
        "/日本語/日本語/日本語",
        "/שלום/עולם",
        "/👩‍👩‍👧/é",
        "/\x1b[31m",
        "/plain",
        "/" + "x" * 300,
    ]
    rows = [("…8f3f6b0e", path, 1, "東京", "now") for path in paths]
    lines = [line.plain for line in Columns(COLUMNS, Space(width), rows).lines()]
    assert all(cell_len(line) <= width for line in lines)
    assert "\x1b" not in "".join(lines)
    if width >= 33:
        ends = {cell_len(line[: line.rindex("1") + 1]) for line in lines[1:]}
        assert len(ends) == 1
