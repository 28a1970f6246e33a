"""The path of a heartbeat, `/v1/sites/{site}/heartbeat`."""

from starlette.types import Scope

TEMPLATE = "/v1/sites/{site}/heartbeat"
_PREFIX, _SUFFIX = "/v1/sites/", "/heartbeat"


def site_in(path: str) -> str | None:
    """What stands for the site in the path of a heartbeat; None: it is another path."""
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    name = path[len(_PREFIX) : -len(_SUFFIX)]
    return None if "/" in name else name


def is_heartbeat(scope: Scope) -> bool:
    """Whether `HeartbeatEndpoint` answers this request. Middleware leaves it alone: its answers
    carry their own headers and are counted there, as on the fast path."""
    return bool(
        scope["type"] == "http" and scope["method"] == "POST" and site_in(scope["path"]) is not None
    )
