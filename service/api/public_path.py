"""The public path: where a site of somebody's passes on to the service, on its own host.

A proxy that passes on what it is asked for need know no more than that one path. What is not for
visitors is not there: health, metrics and what only operators may ask, which a proxy in front of
the service, such as deploy/nginx.conf, hides by its path; nor the demo, which is a site of its own;
nor the path itself, without a slash: Next.js would send whoever is sent on from there back again.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_NOT_PUBLIC = re.compile(
    r"\S+ /(?:livez|readyz|metrics|v1/sites|demo(?:/.*)?)"
    r"|\S+ /v1/sites/[^/]+/(?:sessions|events|webhooks|shares)(?:/.*)?"
    r"|(?!POST |OPTIONS )\S+ /v1/sites/[^/]+/views",
    re.DOTALL,
)


PUBLIC_PATH = "presence.public_path"  # in the scope: what was taken off


class PublicPath:
    """Takes the public path off the requests that have it, before anything else looks at them."""

    def __init__(self, app: ASGIApp, public_path: str) -> None:
        self._app = app
        self._path = public_path
        self._begin = public_path.encode() + b"/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raw: bytes = scope.get("raw_path") or scope["path"].encode()
            path = scope["path"].removeprefix(self._path)
            is_public = _NOT_PUBLIC.fullmatch(f"{scope['method']} {path}") is None
            # In place: whoever has made the scope looks there for what became of the request.
            if raw.startswith(self._begin) and is_public:
                scope["path"], scope["raw_path"] = path, raw[len(self._path) :]
                scope[PUBLIC_PATH] = self._path
        await self._app(scope, receive, send)
