"""`/`, `/openapi.json` and `/docs`: made once, no outside host, no script."""

import base64
import functools
import hashlib
import re
from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service import openapi as specification
from service.reference import render
from service.routes.context import context_of

_STATIC = Path(__file__).parent.parent / "static"
_STYLE = (_STATIC / "pages.css").read_text(encoding="utf-8")
_START = Template((_STATIC / "start.html").read_text(encoding="utf-8"))
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?\Z|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?\Z")


async def start(request: Request) -> Response:
    """Getting started."""
    interval_s = context_of(request).settings.heartbeat_interval
    page = _START.substitute(
        style=_STYLE,
        base=escape(_base_url(request)),
        interval=f"{interval_s:g}",
        interval_ms=round(interval_s * 1000),
    )
    return HTMLResponse(page, headers=_HEADERS)


async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(
        specification.document(),
        headers={"Content-Type": "application/json", "Cache-Control": "no-cache"},
    )


async def page(request: Request) -> Response:
    """The OpenAPI document to read; its examples call this very address."""
    base = escape(_base_url(request))
    return HTMLResponse(_reference().replace(specification.BASE_URL, base), headers=_HEADERS)


@functools.cache
def _reference() -> str:
    return render(specification.build(), _STYLE)


def _base_url(request: Request) -> str:
    """Where the client found the service; examples that hold a forged Host would do harm in a
    shell, so anything but a plain one is left out."""
    host = request.headers.get("host", "")
    if not _HOST.match(host):
        return specification.BASE_URL
    return f"{request.scope['scheme']}://{host}"
