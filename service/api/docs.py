"""`/openapi.json` and `/docs`: made once, all in one answer, no outside host."""

import base64
import functools
import hashlib
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.api.base_url import base_url, public_path_of
from service.api.openapi import document as specification
from service.api.openapi.html import render
from service.api.openapi.samples import BASE_URL

# It looks like the other pages, whose folder is web/.
STATIC = Path(__file__).parents[1] / "web" / "static"
_STYLE = "".join((STATIC / name).read_text(encoding="utf-8") for name in ("theme.css", "pages.css"))
_SCRIPT = (STATIC / "reference.js").read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    """As a Content-Security-Policy names what stands in the page itself."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {_hash_of(_STYLE)}; "
    f"script-src {_hash_of(_SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(
        specification.document(public_path_of(request) or "/"),
        headers={"Content-Type": "application/json", "Cache-Control": "no-cache"},
    )


async def page(request: Request) -> Response:
    """The OpenAPI document to read; its examples call this very address."""
    base = escape(base_url(request))
    return HTMLResponse(_reference().replace(BASE_URL, base), headers=_HEADERS)


@functools.cache
def _reference() -> str:
    return render(specification.build(), _STYLE, _SCRIPT)
