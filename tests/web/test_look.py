"""`?theme=` and `?accent=`: what is taken, what is not, and that text stays readable."""

import re

import pytest

from service.web.accent import READABLE, Colour, accent_css, contrast, parse_accent
from service.web.assets import STATIC
from tests.conftest import MakeService

# What is written in an address -> the digits that are used; empty: it is no colour.
COLOURS = [
    ("0a7350", "0a7350"),
    ("#0A7350", "0a7350"),
    ("f0c", "ff00cc"),
    ("#F0C", "ff00cc"),
    ("", ""),
    ("red", ""),
    ("0a735", ""),
    ("0a73500", ""),
    ("#0a735g", ""),
    ("0a7350\n", ""),
    ("０a7350", ""),
    ("0a7350;}body{display:none", ""),
    ("fff)}</style><script>", ""),
    ("url(//evil.example)", ""),
    ("../0a7350", ""),
]


@pytest.mark.parametrize("text, digits", COLOURS)
def test_what_is_a_colour(text: str, digits: str) -> None:
    assert parse_accent(text) == digits


def _pairs(css: str) -> dict[str, tuple[Colour, Colour]]:
    found = re.findall(r"--([\w-]+):\s*light-dark\(#(\w{6}),\s*#(\w{6})\)", css)
    return {name: (_parts(light), _parts(dark)) for name, light, dark in found}


def _parts(digits: str) -> Colour:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


# The theme's own, named colours of CSS, and those next to the ends.
ACCENTS = ["0a7350", "4fd0a0", "ff69b4", "1e90ff", "ffa500", "800080", "fefefe", "010101"]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    "digits", ["000", "fff", "888", "ff0", "00f", "f00", "0f0", "777", *ACCENTS]
)
def test_text_stays_readable(digits: str, scheme: int) -> None:
    """In both schemes, whatever the colour, by the contrast that WCAG asks of text."""
    theme = _pairs((STATIC / "theme.css").read_text()) | _pairs(accent_css(parse_accent(digits)))
    colour = {name: pair[scheme] for name, pair in theme.items()}
    for text, behind in [
        *(("accent", behind) for behind in ("background", "card", "inset", "tint")),
        *((text, "tint") for text in ("text", "muted")),
        ("on-accent", "accent"),
    ]:
        assert contrast(colour[text], colour[behind]) >= READABLE, (text, behind)


def test_a_colour_that_is_readable_already_is_not_changed() -> None:
    assert _pairs(accent_css("005f9e"))["accent"][0] == _parts("005f9e")
    assert _pairs(accent_css("7cc4ff"))["accent"][1] == _parts("7cc4ff")


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


# query -> the theme, and the style sheets beyond the usual ones
LOOKS: list[tuple[str, str, list[str]]] = [
    ("", "auto", []),
    ("?theme=light", "light", ["themes.css"]),
    ("?theme=dark&wall", "dark", ["themes.css"]),
    ("?theme=transparent&embed", "transparent", ["themes.css"]),
    ("?theme=transparent-dark&embed", "transparent-dark", ["themes.css"]),
    ("?theme=pink", "auto", []),
    ("?theme=%22%3E%3Cscript%3E", "auto", []),
    ("?accent=F0C", "auto", ["accent/ff00cc.css"]),
    ("?accent=%230a7350&theme=dark", "dark", ["themes.css", "accent/0a7350.css"]),
    ("?accent=red", "auto", []),
    ("?accent=%22%3E%3Cscript%3E", "auto", []),
]


@pytest.mark.parametrize("query, theme, sheets", LOOKS)
async def test_what_an_address_asks_for(
    make_service: MakeService, query: str, theme: str, sheets: list[str]
) -> None:
    service = await make_service()
    page = await service.client.get(f"/sites/blog{query}")
    assert page.status_code == 200
    assert re.findall('data-theme="([^"]*)"', page.text) == [theme]
    loaded = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    asked_for = [address for address in loaded if re.search(r"themes\.css|accent", address)]
    assert [address.split("/", 3)[3] for address in asked_for] == sheets
    for address in asked_for:
        answer = await service.client.get(str(page.url.join(address)))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    "name, status",
    [("0a7350", 200), ("f0c", 200), ("red", 404), ("0a7350%0A", 404), ("%7D*%7Bx%3A", 404)],
)
async def test_the_style_sheet_of_an_accent(
    make_service: MakeService, name: str, status: int
) -> None:
    service = await make_service()
    answer = await service.client.get(f"/static/any/accent/{name}.css")
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["cache-control"] == "public, max-age=86400"
        assert re.fullmatch(
            r":root\{(--[a-z-]+:light-dark\(#[0-9a-f]{6},#[0-9a-f]{6}\);?){3}\}\n", answer.text
        )
