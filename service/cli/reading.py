"""How commands read: straight from Redis, with the same store as the service."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

import click

from service.api.requests.paths import clean_path
from service.app import make_store
from service.cli.group import Failure
from service.errors import FieldError
from service.ops.metrics import Metrics
from service.redis.client import connect
from service.redis.embedded import EmbeddedServer, folder_of, is_running
from service.settings import Settings
from service.sites import is_site_id
from service.store.store import PresenceStore

T = TypeVar("T")
_ASK_AGAIN_S = 0.3


def _check_site(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not is_site_id(value):
        raise click.BadParameter(
            "a site begins with a-z or 0-9 and has a-z, 0-9, . and -, up to 63"
        )
    return value


site_argument = click.argument("site", callback=_check_site)
full_ids_option = click.option(
    "--full-ids", is_flag=True, help="On a terminal, show all of each id; piped, it is anyway."
)
optional_site_argument = click.argument("site", required=False, callback=_check_site)


def clean_path_option(path: str | None) -> str | None:
    """What was given as --path, as paths are kept; None: nothing was.

    Raises:
        FieldError: it is not a path.
    """
    if path is None:
        return None
    try:
        return clean_path(path)
    except ValueError as error:
        raise FieldError("path", f"--path {error}") from None


def embedded_path(settings: Settings) -> str:
    """The path behind `embedded://`; empty: the default folder."""
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
    if not settings.is_embedded or is_running(embedded_path(settings)):
        yield
        return
    folder = folder_of(embedded_path(settings))
    if not (folder / "lock").exists():
        raise Failure(f"nothing is kept in {folder} yet: start `presence serve` there first")
    with EmbeddedServer(embedded_path(settings)):
        yield


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PresenceStore]:
    """A store by the settings, closed at the end.

    Raises:
        ShardCountError: what is in Redis was written with another PRESENCE_SHARDS.
        StoreError: Redis cannot be asked.
    """
    store = make_store(settings, connect(settings.redis_url), Metrics())
    try:
        await store.agree_on_shards(may_note=False)
        yield store
    finally:
        await store.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; Ctrl-C ends it as a KeyboardInterrupt.

    Before Python 3.12, `asyncio.wait_for`, with which redis-py sends, loses a cancellation that
    comes as it ends; so it is asked again until it is heard.
    """

    async def interruptible() -> T:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)

        def stop() -> None:
            if not task.done():
                task.cancel()
                loop.call_later(_ASK_AGAIN_S, stop)

        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, stop)
        return await task

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
