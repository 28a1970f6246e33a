"""The texts of the pages: a catalogue for each language. The HTML is made of it here, and scripts
load what they show.

A catalogue has sections: `page` and `startPage` are in the HTML only, each of the others is a
module of its own, so that a first visit is sent what it may show, and in one language.
"""

import functools
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from service.web.languages import LANGUAGES

FOLDER = Path(__file__).parent / "catalogues"
# section -> the module that pages import it from, beside their own script
MODULES = {"live": "texts.js", "panels": "texts.panels.js", "start": "texts.start.js"}
Text = str | Mapping[str, str]
"""A text with {placeholders}, or one for each plural that the language has."""

_SLOT = re.compile(r"\{\{(\w+)((?:\|[^{}]*)?)\}\}")


@functools.cache
def catalogue(language: str) -> Mapping[str, Mapping[str, Text]]:
    """The texts of a language, by section and key."""
    found: dict[str, dict[str, Text]] = json.loads(
        (FOLDER / f"{language}.json").read_text(encoding="utf-8")
    )
    return found


def modules() -> dict[str, bytes]:
    """What scripts load, by name: `de/texts.js`."""
    return {
        f"{language}/{name}": _module(catalogue(language)[section])
        for language in LANGUAGES
        for section, name in MODULES.items()
    }


def _module(texts: Mapping[str, Text]) -> bytes:
    written = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return f"export default {written};\n".encode()


def translate(html: str, language: str) -> Template:
    """A page in a language. In its HTML, {{welcome}} is the text of that key, and with
    {{welcome|<b>one</b>|<b>two</b>}} that markup stands for {0} and {1} in the text."""
    texts = {key: text for part in catalogue(language).values() for key, text in part.items()}

    def fill(slot: re.Match[str]) -> str:
        text = escape(str(texts[slot[1]])).replace("$", "$$")
        for n, markup in enumerate(slot[2].split("|")[1:]):
            text = text.replace(f"{{{n}}}", markup)
        return text

    within = _SLOT.sub(fill, html)  # markup may have texts of its own
    return Template(_SLOT.sub(fill, within))
