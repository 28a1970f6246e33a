"""How commands read: straight from Redis, with the same store as the service."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import click

from service.app import make_store
from service.cli.group import Failure
from service.connection import connect
from service.embedded import EmbeddedServer, folder_of, is_running
from service.metrics import Metrics
from service.settings import Settings
from service.sites import is_site_id
from service.store import PresenceStore


def _check_site(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not is_site_id(value):
        raise click.BadParameter(
            "a site begins with a-z or 0-9 and has a-z, 0-9, . and -, up to 63"
        )
    return value


site_argument = click.argument("site", callback=_check_site)
optional_site_argument = click.argument("site", required=False, callback=_check_site)


def place_of(settings: Settings) -> str:
    """What stands behind `embedded://`."""
    return settings.redis_url.partition("://")[2]


@contextlib.contextmanager
def reachable(settings: Settings) -> Iterator[None]:
    """While it is entered, Redis can be connected to. The private Valkey is started where no
    service runs, so that what was kept can be read.

    Raises:
        Failure: there is nothing to read.
        EmbeddedError: the private Valkey cannot be had.
    """
    if settings.redis_url.startswith("memory://"):
        raise Failure(
            "memory:// keeps everything inside the running service: there is nothing to read here; "
            "ask it over HTTP"
        )
    if not settings.is_embedded or is_running(place_of(settings)):
        yield
        return
    folder = folder_of(place_of(settings))
    if not (folder / "lock").exists():
        raise Failure(f"nothing is kept in {folder} yet: start `presence serve` there first")
    with EmbeddedServer(place_of(settings)):
        yield


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PresenceStore]:
    """A store by the settings, closed at the end."""
    store = make_store(settings, connect(settings.redis_url), Metrics())
    try:
        yield store
    finally:
        await store.close()
