"""Characters that are not seen, or that turn the direction of the text around them."""

import unicodedata

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))


def has_unseen(text: str) -> bool:
    """Whether a text has control characters, lone surrogates or direction overrides."""
    return any(c in _BIDI or unicodedata.category(c) in _UNSEEN for c in text)
