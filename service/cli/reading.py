"""How commands read: straight from Redis, with the same store as the service."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import click
from rich.text import Text

from service.api.requests.paths import clean_path
from service.cli.group import Failure
from service.cli.printing import stderr
from service.errors import FieldError
from service.redis.client import connect
from service.redis.embedded import EmbeddedServer, folder_of, is_running
from service.redis_url import RedisUrl
from service.settings import Settings
from service.sites import DEMO_SITE, is_site_id
from service.store.from_settings import make_store
from service.store.store import PresenceStore

T = TypeVar("T")
_ASK_AGAIN_S = 0.3
_NAMED = 10  # sites that are named, where there are more


def _check_site(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not is_site_id(value):
        raise click.BadParameter(
            f"{value!r} is not a site: a site begins with a-z or 0-9 and is at most 63 of a-z, "
            "0-9, . and -"
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
    return RedisUrl.parse(settings.redis_url).path


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
        raise Failure(
            f"nothing is kept in {folder}: change to the folder in which `presence serve` runs, or "
            "set PRESENCE_REDIS_URL"
        )
    with EmbeddedServer(embedded_path(settings)):
        yield


def with_demo(settings: Settings, site: str | None) -> Settings:
    """These settings; where they do not know the users that `presence serve --demo` keeps, whose
    secret only that process has, these too. To be asked while Redis is reachable.

    Raises:
        StoreError: Redis cannot be asked.
    """
    if site not in (None, DEMO_SITE) or settings.sites.has_users(DEMO_SITE):
        return settings
    wider = replace(settings, sites_file=settings.sites.with_users(DEMO_SITE, "nobody's"))

    async def has_users() -> bool:
        async with open_store(wider) as store:
            return (await store.users(DEMO_SITE, limit=1, cursor=None, path=None)).total > 0

    return wider if wider.sites.has_users(DEMO_SITE) and run(has_users()) else settings


async def hint_at_sites(store: PresenceStore, site: str) -> None:
    """Says on stderr which sites are known, if nothing was ever heard of this one."""
    known = await store.stats(site, 1)
    if known.uniqueVisitors or known.totalPageViews:
        return
    names = await store.site_names("", _NAMED + 1)
    if site in names:
        return
    others = ", ".join(names[:_NAMED]) or "none"
    more = ", …; `presence sites` lists them" if len(names) > _NAMED else ""
    line = f"nothing was ever heard of {site}; sites known: {others}{more}"
    stderr().print(Text(line, "yellow"), soft_wrap=True)


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PresenceStore]:
    """A store by the settings, which hears when sites are split anew, closed at the end.

    Raises:
        ShardCountError: what is in Redis was written with another PRESENCE_SHARDS.
        StoreError: Redis cannot be asked.
    """
    store = make_store(settings, connect(settings.redis_url))
    try:
        await store.agree_on_shards(may_note=False)
        learning = asyncio.create_task(store.layouts.run(), name="layouts")
        try:
            yield store
        finally:
            learning.cancel()
            await asyncio.wait([learning])
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
