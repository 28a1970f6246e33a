"""The address that a client reaches the service under, for examples."""

import re

from starlette.requests import Request

from service.api.context import context_of
from service.api.openapi.samples import BASE_URL
from service.api.public_path import PUBLIC_PATH

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?\Z|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?\Z")


def base_url(request: Request) -> str:
    """Scheme and host as the client named them, and the public path, where it came that way.
    Examples that hold a forged Host would do harm in a shell, so anything but a plain one is left
    out."""
    host = request.headers.get("host", "")
    base = f"{_scheme_of(request)}://{host}" if _HOST.match(host) else BASE_URL
    return base + public_path_of(request)


def _scheme_of(request: Request) -> str:
    """The client's, as a trusted proxy tells it, where TLS ends there: a token that an example is
    tried with does not go over the wire in the clear."""
    scheme: str = request.scope["scheme"]
    told = request.headers.get("x-forwarded-proto")
    addresses = context_of(request).security.addresses
    if told in ("http", "https") and addresses.is_from_trusted_proxy(request.scope):
        return told
    return scheme


def public_path_of(request: Request) -> str:
    """The public path of a request that came below it; else empty."""
    path: str = request.scope.get(PUBLIC_PATH, "")
    return path
