"""What a page says of how its visitor came. It stands in an address that somebody else made up, so
what cannot be kept is left out, and no heartbeat is refused for it."""

import unicodedata

from service.api.requests.characters import unseen_in

MAX_SOURCE_TEXT = 64


class SourceText(str):
    """A source, medium or campaign: at most 64 characters that can be shown, without tabs and line
    feeds; or empty."""

    __slots__ = ()


def clean_source_text(raw: str) -> SourceText:
    """The text as it is kept."""
    text = " ".join(unicodedata.normalize("NFC", raw[: 4 * MAX_SOURCE_TEXT]).split())
    if any(unseen := unseen_in(text)):
        text = "".join(c for c, is_unseen in zip(text, unseen, strict=True) if not is_unseen)
    return SourceText(text[:MAX_SOURCE_TEXT].strip())
