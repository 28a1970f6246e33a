"""Which paths are kept, under which name, and which are refused."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.requests.paths import clean_path

# What the client takes for the same page must be the same here: its tests read this table too.
SPELLINGS = json.loads((Path(__file__).parents[2] / "paths.json").read_text())


@pytest.mark.fault("B32")
@pytest.mark.parametrize("given, kept", SPELLINGS)
def test_one_page_has_one_name(given: str, kept: str) -> None:
    assert clean_path(given) == kept
    assert clean_path(kept) == kept


@pytest.mark.fault("B32")
@pytest.mark.parametrize(
    "given, kept",
    [
        ("/" + "a" * 511, "/" + "a" * 511),
        ("/" + "a" * 511 + "/", "/" + "a" * 511),
        ("/" + "a" * 511 + "?" + "q" * 9000, "/" + "a" * 511),
        ("/" + "é" * 255, "/" + "é" * 255),
        ("/" + "%C3%A9" * 255, "/" + "é" * 255),
        ("/" + "e\u0301" * 255, "/" + "é" * 255),
        ("/" + "%E1%84%92%E1%85%A1%E1%86%AB" * 170, "/" + "한" * 170),
    ],
)
def test_what_is_measured_is_what_is_kept(given: str, kept: str) -> None:
    assert clean_path(given) == kept
    assert clean_path(kept) == kept


@pytest.mark.fault("B32")
@pytest.mark.parametrize(
    "given, remedy",
    [
        ("/" + "%" * 200 + "3" * 200, "escaped more than"),
        ("/" + "%" * 1000 + "3" * 1000, "escaped more than"),
        ("/" + "%" * 500_000 + "3" * 500_000, "512 bytes"),
        ("/" + "/" * 500_000, "512 bytes"),
        ("/a" + "/" * 500_000, "512 bytes"),
    ],
)
def test_escapes_of_escapes_take_no_time(given: str, remedy: str) -> None:
    """Each time it is decoded, such a path has another escape; undoing 16,000 took 12 s."""
    with pytest.raises(ValueError, match=remedy):
        clean_path(given)


@pytest.mark.fault("B32")
@given(
    st.lists(
        st.sampled_from(["%", "2", "5", "f", "4", "1", "C3", "A9", "/", "e", "\u0301", "?"]),
        max_size=30,
    ).map("".join)
)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    try:
        kept = clean_path("/x" + text)
    except ValueError:
        return
    assert clean_path(kept) == kept


_ZERO_WIDTH = (
    "\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u2061\u206a"
    "\u3164\ufeff\ufff9\U000e0001\U000e0061"
)


@pytest.mark.fault("B26")
@pytest.mark.parametrize("hidden", _ZERO_WIDTH)
def test_zero_width_characters_are_refused(hidden: str) -> None:
    for path in (f"/a{hidden}b", f"/{hidden}", f"/a{quote(hidden)}"):
        with pytest.raises(ValueError, match="zero-width"):
            clean_path(path)


@pytest.mark.parametrize(
    "given, remedy",
    [
        ("/" + "e\u0301\u0316" * 1_000_000, "512 bytes"),
        ("/" + "%65%CC%81%CC%96" * 100_000, "512 bytes"),
        ("/" + "\u0301\u0316" * 2000, "512 bytes"),
        ("/" + "❤\ufe0f" * 1_000_000, "512 bytes"),
        ("/" + "\u03b9\u0308\u0301" * 256, "512 bytes"),
        ("/" + "%" * 2000 + "33" * 1000 + "1", "escaped more than 7 times"),
        ("/" + "%" * 1_000_000 + "33" * 500_000 + "1", "512 bytes"),
    ],
    ids=["marks", "escaped marks", "marks in disorder", "emoji", "longest", "nested", "all nested"],
)
def test_what_would_take_long_is_refused_at_once(given: str, remedy: str) -> None:
    """Normal forms of millions of marks take minutes."""
    with pytest.raises(ValueError, match=remedy):
        clean_path(given)


def test_the_longest_spelling_of_a_path() -> None:
    decomposed = "\u03b9\u0308\u0301"
    for spelling in (decomposed, quote(decomposed)):
        assert clean_path("/" + spelling * 255 + "a") == "/" + "\u0390" * 255 + "a"


@pytest.mark.parametrize(
    "given, remedy",
    [
        ("", "exactly one /"),
        ("a", "exactly one /"),
        ("?a", "exactly one /"),
        (" /a", "exactly one /"),
        ("//host", "exactly one /"),
        ("///", "exactly one /"),
        ("/\\host", "exactly one /"),
        ("https://example.org/a", "no scheme and no host"),
        ("javascript:alert(1)", "exactly one /"),
        ("/a\x00", "control characters"),
        ("/a\n", "control characters"),
        ("/a\r\nb", "control characters"),
        ("/a\t", "control characters"),
        ("/a\x7f", "control characters"),
        ("/a\x85", "control characters"),
        ("/a\u2028", "control characters"),
        ("/a\u202eb", "direction overrides"),
        ("/a\u2066b", "direction overrides"),
        ("/a\u200fb", "direction overrides"),
        ("/a\ud800", "lone surrogates"),
        ("/%00", "control characters"),
        ("/a%0Ab", "control characters"),
        ("/a%E2%80%AEb", "direction overrides"),
        ("/%5Chost", "exactly one /"),
        ("/" + "%C3%A9" * 256, "512 bytes"),
        ("/" + "a" * 512, "512 bytes"),
        ("/" + "é" * 256, "512 bytes"),
    ],
)
def test_paths_that_are_refused(given: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        clean_path(given)
