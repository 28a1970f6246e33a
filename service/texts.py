"""Texts as files and editors leave them: with a line feed at the end, or a byte order mark."""

import codecs

BYTE_ORDER_MARK = "\ufeff"
_ENCODINGS = {  # Windows writes these marks
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decoded(content: bytes) -> str:
    """The text of a file.

    Raises:
        ValueError: it is in another encoding; the message goes on after its name.
    """
    encodings = (name for mark, name in _ENCODINGS.items() if content.startswith(mark))
    try:
        return content.decode(next(encodings, "utf-8"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8: save it as UTF-8") from None


def clean(text: str, around: str | None = None) -> str:
    """The text without byte order marks and, unless other characters are named, white space
    around it."""
    while (less := text.strip(around).strip(BYTE_ORDER_MARK)) != text:
        text = less
    return text


def check_marks(text: str) -> str:
    """The text. Raises ValueError where a byte order mark is in the middle of it."""
    if BYTE_ORDER_MARK in text:
        raise ValueError(
            "has a byte order mark in the middle, which nobody sees: write it anew, as one text"
        )
    return text
