"""A reader's accent colour as a style sheet: changed as little as its contrast asks for.

Only the digits of a colour come from outside, and what is written of it is written anew, so that an
address can put nothing else into a style sheet.
"""

import re
from functools import lru_cache

from service.web.assets import STATIC

READABLE = 4.5  # WCAG 2.2, 1.4.3: of text and what is behind it
_COLOUR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})\Z")
_PAIR = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
_BEHIND = ("background", "card", "inset")
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_STEPS = 50
_TINT_SHARE = 0.16  # of the accent in the bars of rows, at most

Colour = tuple[int, int, int]


def parse_accent(text: str) -> str:
    """The six digits of a colour written as CSS does, with or without #; empty: it is none."""
    found = _COLOUR.match(text.lower())
    if found is None:
        return ""
    digits = found[1]
    return digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)


@lru_cache(maxsize=256)
def accent_css(digits: str) -> str:
    """The style sheet that gives a page this accent, over `theme.css`, in both schemes."""
    light, dark = (_palette(_colour(digits), scheme) for scheme in (0, 1))
    pairs = (f"--{name}:light-dark({light[name]},{dark[name]})" for name in light)
    return f":root{{{';'.join(pairs)}}}\n"


def contrast(a: Colour, b: Colour) -> float:
    """How far apart two colours are, from 1 to 21 (WCAG 2.2, contrast ratio)."""
    lower, higher = sorted((_luminance(a), _luminance(b)))
    return (higher + 0.05) / (lower + 0.05)


def _palette(wanted: Colour, scheme: int) -> dict[str, str]:
    """The colours of one scheme, 0: light, 1: dark, by the names they have in `theme.css`."""
    theme = _theme()[scheme]
    behind = [theme[name] for name in _BEHIND]
    end = (_BLACK, _WHITE)[scheme]
    for step in range(_STEPS + 1):
        accent = _mixed(wanted, end, step / _STEPS)
        tint = _tint(accent, theme)
        if all(contrast(accent, other) >= READABLE for other in (*behind, tint)):
            break
    on_accent = max(_WHITE, _BLACK, key=lambda colour: contrast(colour, accent))
    return {"accent": _hex(accent), "on-accent": _hex(on_accent), "tint": _hex(tint)}


def _tint(accent: Colour, theme: dict[str, Colour]) -> Colour:
    """As much of the accent as leaves the text before it readable."""
    for percent in range(round(_TINT_SHARE * 100), 0, -1):
        tint = _mixed(theme["background"], accent, percent / 100)
        if all(contrast(tint, theme[name]) >= READABLE for name in ("text", "muted")):
            return tint
    return theme["background"]


@lru_cache(maxsize=1)
def _theme() -> tuple[dict[str, Colour], dict[str, Colour]]:
    """The colours of `theme.css`, light and dark."""
    found = _PAIR.findall((STATIC / "theme.css").read_text(encoding="utf-8"))
    light = {name: _colour(of_light[1:]) for name, of_light, _ in found}
    return light, {name: _colour(of_dark[1:]) for name, _, of_dark in found}


def _colour(digits: str) -> Colour:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of the second in the first."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _luminance(colour: Colour) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
