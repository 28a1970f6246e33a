"""Security with some settings, a request's scope, and what a check says."""

from typing import Any

from service.api.security import Security
from service.errors import RequestError
from service.settings import Settings


def security(**settings: str) -> Security:
    environ = {"REDIS_URL": "memory://"} | settings
    return Security(
        Settings.from_env({f"PRESENCE_{name}": value for name, value in environ.items()})
    )


def scope(peer: str | None = "127.0.0.1", *headers: tuple[str, str]) -> dict[str, Any]:
    return {
        "client": (peer, 50_000) if peer is not None else None,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }


def status_of(call: Any, *args: Any) -> int:
    """200, or the status of the refusal."""
    try:
        call(*args)
    except RequestError as error:
        return error.status
    return 200
