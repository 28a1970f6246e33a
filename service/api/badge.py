"""`GET /v1/sites/{site}/badge.svg`: the live number as a picture, for pages that run no script."""

import unicodedata
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from service.api.context import context_of
from service.api.query import parse_query, path_parameter
from service.errors import FieldError

LONGEST_LABEL = 64
_LABEL = "here now"
_HEADERS = {
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Cache-Control": "max-age=10",
    # Whoever opens it as a page runs nothing in it.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
# Of Verdana at 11 px, rounded up a little; text that is another font's is squeezed to it.
_NARROW, _WIDE, _USUAL = 4.2, 10.5, 7.1
_HEIGHT, _MARGIN = 20, 6


async def badge(request: Request) -> Response:
    """How many are here, or on one page."""
    context = context_of(request)
    name = (await context.check_reader(request)).site
    label = _label(request)
    counted = await context.store.active(name, path_parameter(request))
    return Response(draw(label, f"{counted.activeVisitors:,}"), headers=_HEADERS)


def _label(request: Request) -> str:
    label = parse_query(request).get("label", _LABEL)
    if len(label) > LONGEST_LABEL:
        raise FieldError("label", f"label must be at most {LONGEST_LABEL} characters")
    # XML has no way to write a control character; a bidi one would turn the number round.
    return "".join(" " if unicodedata.category(c).startswith("C") else c for c in label)


def draw(label: str, number: str) -> str:
    """The picture of a label and a number."""
    left = _width(label) + 2 * _MARGIN if label else 0
    right = _width(number) + 2 * _MARGIN
    width = left + right
    title = escape(f"{label}: {number}" if label else number)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" '
        f'role="img" aria-label="{title}">\n<title>{title}</title>\n'
        f'<clipPath id="r"><rect width="{width}" height="{_HEIGHT}" rx="4"/></clipPath>\n'
        f'<g clip-path="url(#r)">\n<rect width="{left}" height="{_HEIGHT}" fill="#3f444d"/>\n'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="#0a7d55"/>\n</g>\n'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" '
        'text-anchor="middle">\n' + _text(label, 0, left) + _text(number, left, right) + "</g>\n"
        "</svg>\n"
    )


def _text(text: str, begin: int, width: int) -> str:
    if not text:
        return ""
    middle = begin + width / 2
    return (
        f'<text x="{middle:g}" y="14" textLength="{width - 2 * _MARGIN}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>\n'
    )


def _width(text: str) -> int:
    """Pixels, about."""
    return round(
        sum(
            _NARROW
            if c in " .,:;'!|()[]fijlrt"
            else _WIDE
            if c in "mwMW@%" or unicodedata.east_asian_width(c) in "WF"
            else _USUAL
            for c in text
        )
    )
