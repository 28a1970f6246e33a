"""The language a page is written in: the one its address asks for, or else the one of the browser's
that it likes best. No page is only in another language: English is what is left."""

from collections.abc import Mapping

from service.web.accepted import qualities_of

DEFAULT = "en"
LANGUAGES = (DEFAULT, "de", "es", "fr", "ja")


def language_of(query: Mapping[str, str], accept_language: str) -> str:
    """The language for a request, by `?lang=`, then by its header Accept-Language."""
    asked = asked_for(query)
    if asked:
        return asked
    liked = [
        (quality, language)
        for tag, quality in qualities_of(accept_language).items()
        if quality > 0 and (language := _primary(tag)) in LANGUAGES
    ]
    # Of those that are liked as well, the first.
    return max(liked, key=lambda one: one[0])[1] if liked else DEFAULT


def asked_for(query: Mapping[str, str]) -> str:
    """The language that the address asks for; empty: none that there is."""
    language = _primary(query.get("lang", ""))
    return language if language in LANGUAGES else ""


def _primary(tag: str) -> str:
    """`de` of `de-CH`, in which regions are no languages of their own (RFC 5646, 2.2.1)."""
    return tag.strip().lower().partition("-")[0]
