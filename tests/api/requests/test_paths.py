"""Which paths are kept, under which name, and which are refused."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.requests.paths import clean_path


# given -> kept
@pytest.mark.parametrize(
    "given, kept",
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a//", "/a"),
        ("/a/b/", "/a/b"),
        ("/a//b", "/a//b"),
        ("/a?token=secret", "/a"),
        ("/a#secret", "/a"),
        ("/a?b#c", "/a"),
        ("/a#b?c", "/a"),
        ("/a/?b", "/a"),
        ("/?b", "/"),
        ("/#b", "/"),
        ("/a?\x00\ud800", "/a"),  # what is cut off is not looked at
        ("/a?https://example.org//x", "/a"),
        ("/with space", "/with space"),
        ("/Köln", "/Köln"),
        ("/日本語", "/日本語"),
        ("/😀", "/😀"),
        ("/<script>", "/<script>"),
        ("/a\\b", "/a\\b"),
        ("/" + "a" * 511, "/" + "a" * 511),
        ("/" + "a" * 511 + "/", "/" + "a" * 511),
        ("/" + "a" * 511 + "?" + "q" * 900, "/" + "a" * 511),
        ("/" + "é" * 255, "/" + "é" * 255),
    ],
)
def test_paths_that_are_kept(given: str, kept: str) -> None:
    assert clean_path(given) == kept
    assert clean_path(kept) == kept


@pytest.mark.fault("B32")
@pytest.mark.parametrize(
    "given, kept",
    [
        ("/caf%C3%A9", "/café"),
        ("/caf%c3%a9", "/café"),
        ("/cafe\u0301", "/café"),
        ("/cafe%CC%81", "/café"),
        ("/\u212b", "/\u00c5"),
        ("/%E6%97%A5%E6%9C%AC", "/日本"),
        ("/%F0%9F%98%80", "/😀"),
        ("/a%20b", "/a b"),
        ("/%61%2Db", "/a-b"),
        ("/%2F%25%3F%23", "/%2F%25%3F%23"),
        ("/a%2fb%3fc", "/a%2Fb%3Fc"),
        ("/a%2F", "/a%2F"),
        ("/caf%E9", "/caf%E9"),  # not UTF-8
        ("/%c3", "/%C3"),
        ("/%ED%A0%80", "/%ED%A0%80"),  # a lone surrogate is not UTF-8
        ("/%C3%A9%E9%2F%C3%A9", "/é%E9%2Fé"),
        ("/%2541", "/%2541"),
        ("/%%34%31", "/A"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/%C3%A9?q=%C3", "/é"),
        ("/%C3%A9/", "/é"),
        ("/" + "%C3%A9" * 255, "/" + "é" * 255),  # what is measured is what is kept
        ("/" + "e\u0301" * 255, "/" + "é" * 255),
        ("/❤\ufe0f", "/❤\ufe0f"),
    ],
)
def test_one_page_has_one_name(given: str, kept: str) -> None:
    assert clean_path(given) == kept
    assert clean_path(kept) == kept


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
