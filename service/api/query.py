"""The query string of a request: whole numbers, and the path of a page.

Starlette replaces escapes that are not UTF-8, such as the `%E9` of `/caf%E9`. In the name of a page
they are kept.
"""

from urllib.parse import parse_qsl

from starlette.requests import Request

from service.api.requests.paths import clean_path
from service.errors import FieldError

_UNDECODED = {0xDC00 + byte: f"%{byte:02X}" for byte in range(0x80, 0x100)}


def parse_query(request: Request) -> dict[str, str]:
    """The parameters of the query string; of one that is there twice, the last. An escape that is
    not UTF-8 stays an escape."""
    query = request.scope["query_string"].decode("latin-1")
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    return {name: value.translate(_UNDECODED) for name, value in pairs}


def path_parameter(request: Request) -> str | None:
    """The path of the query string, cleaned as those of heartbeats are, or None.

    Raises:
        FieldError: 422, it is not a path.
    """
    raw = parse_query(request).get("path")
    if raw is None:
        return None
    try:
        return clean_path(raw)
    except ValueError as error:
        raise FieldError("path", f"path {error}") from None


def integer(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query string.

    Raises:
        FieldError: 422, it is not a whole number, or out of bounds.
    """
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if raw.isascii() and raw.isdigit() and len(raw) < 12 and low <= int(raw) <= high:
        return int(raw)
    raise FieldError(name, f"{name} must be a whole number from {low} to {high}")
