"""`presence serve --demo`: a small site to walk around in, at `/demo`."""

import functools
import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import RequestError

# In a wheel its files travel inside the package, in a checkout they are the client's example.
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE / "demo_site", _PACKAGE.parent / "client" / "demo")
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


@functools.cache
def _files() -> dict[str, bytes]:
    folder = next(folder for folder in _FOLDERS if folder.is_dir())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def demo(request: Request) -> Response:
    """A file of the site, or its one page, which shows itself by the path it is opened at."""
    name = request.path_params.get("path", "")
    if name not in _files():
        if Path(name).suffix:
            raise RequestError(404, "the demo has no such file")
        name = f"{name}.html" if f"{name}.html" in _files() else "index.html"
    media_type = mimetypes.guess_type(name)[0]
    return Response(_files()[name], media_type=media_type, headers=_HEADERS)


DEMO_ROUTES = [Route("/demo", demo), Route("/demo/{path:path}", demo)]
