"""How a page looks where its address asks for more than the reader's own settings: `?theme=` and
`?accent=`. What is neither a theme nor a colour is as if it had not been said, so that a frame with
a typing error still shows its numbers."""

from collections.abc import Mapping

from service.web.accent import parse_accent

THEMES = ("light", "dark", "transparent", "transparent-light", "transparent-dark")


def theme_of(query: Mapping[str, str]) -> str:
    """The theme that is asked for; `auto`: the reader's device decides."""
    theme = query.get("theme", "")
    return theme if theme in THEMES else "auto"


def style_links(query: Mapping[str, str], static: str) -> str:
    """The style sheets of what is asked for, as HTML; `static` is where they are."""
    sheets = ["themes.css"] if theme_of(query) != "auto" else []
    if digits := parse_accent(query.get("accent", "")):
        sheets.append(f"accent/{digits}.css")
    return "".join(f'<link rel="stylesheet" href="{static}/{sheet}">\n' for sheet in sheets)
