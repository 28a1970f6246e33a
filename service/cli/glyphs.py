"""Characters beyond ASCII, and what stands for them where the terminal's encoding has none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Marks of checks, the signs that something was left out and that a number is not exact, and
    bars: the full cell first, then what is less than one, by rising length."""

    passed: str
    failed: str
    skipped: str
    ellipsis: str
    about: str
    bar: str
    part_bars: str
    has_isolates: bool = False  # marks that keep right-to-left text from moving its neighbours


UNICODE = Glyphs("✓", "✗", "–", "…", "≈", "█", "▏▎▍▌▋▊▉", has_isolates=True)
ASCII = Glyphs("ok", "!!", "--", "~", "~", "#", "")


def glyphs_of(encoding: str) -> Glyphs:
    """The glyphs that an encoding has."""
    signs = UNICODE.passed + UNICODE.failed + UNICODE.about + UNICODE.bar
    wanted = signs + UNICODE.part_bars + "\u2068"
    return UNICODE if is_encodable(wanted, encoding) else ASCII


def is_encodable(text: str, encoding: str) -> bool:
    """Whether an encoding, which may be unknown, has all of a text."""
    try:
        text.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def encodable(text: str, encoding: str) -> str:
    """A text with escapes for what an encoding does not have."""
    if text.isascii() or is_encodable(text, encoding):
        return text
    text = text.replace(UNICODE.ellipsis, ASCII.ellipsis)
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "backslashreplace").decode()
