"""`presence events`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import click
from msgspec import UNSET
from rich.text import Text

from service.api.export import event_lines
from service.cli.cells import Cell, ago, moment, session_id, user_id
from service.cli.columns import Column
from service.cli.following import RowPrinter
from service.cli.group import WholeNumber
from service.cli.printing import print_list, stderr
from service.cli.reading import (
    full_ids_option,
    hint_at_sites,
    open_store,
    reachable,
    run,
    site_argument,
)
from service.errors import StoreError
from service.models import EventPage, LoggedEvent
from service.settings import Settings
from service.store.events import MOST_EVENTS
from service.store.store import PresenceStore

_POLL_S = 0.5
_COLUMNS = (
    Column("at", is_number=True),
    Column("event", usual=10),
    Column("page", usual=512, least=8),
    Column("from", usual=24, least=10, rank=2),
    Column("session", usual=9),
    Column("user", usual=16, least=8, rank=1),
    Column("reason", usual=7, rank=3),
    Column("country", usual=7, rank=4),
)
_FOLLOWED = (Column("at, UTC"), *_COLUMNS[1:])


@click.command(short_help="Show who joined, moved and left.")
@site_argument
@click.option("--follow", "-f", is_flag=True, help="Keep printing new events until Ctrl-C.")
@click.option(
    "--last",
    "-n",
    type=WholeNumber(0, MOST_EVENTS),
    default=20,
    show_default=True,
    help="Number of past events to show first.",
)
@click.option(
    "--after",
    metavar="CURSOR",
    help="Instead, all events after this: a `next` of --json, an id, a moment in ms, or 0.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as over HTTP.")
@full_ids_option
def events(
    site: str, follow: bool, last: int, after: str | None, as_json: bool, full_ids: bool
) -> None:
    """Show the last events of SITE: who joined, moved and left, oldest first.

    On a terminal, of each id the end is shown, and as many columns as it has room for. Piped, it
    writes one event per line, tab-separated, with full ids and exact times: at, event, page, the
    page or user before, session, user, reason, country.

    --follow outlives a Redis that is away for a while, and skips and repeats nothing. Where events
    were trimmed before they could be read, a line on stderr says so.
    """
    settings = Settings.from_env()
    with reachable(settings):
        if not (follow or as_json or after is not None):
            run(_show(settings, site, last, full_ids))
            return
        show = _print_json if as_json else _printer(full_ids)
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            run(_print(settings, site, _Wanted(last, after, follow), show))


class _Wanted:
    """Which events: the last ones, or those after a cursor; and whether those that come, too."""

    def __init__(self, last: int, after: str | None, follow: bool) -> None:
        self._last = last
        self._after = after
        self._follow = follow

    async def pages(self, store: PresenceStore, site: str) -> AsyncIterator[EventPage]:
        """Pages of them, in order. Raises StoreError, before the first of them."""
        if self._after is None:
            page = await store.newest_events(site, self._last)
        else:
            page = await store.events(site, after=self._after, limit=MOST_EVENTS)
        yield page
        while self._follow or page.more:
            if not page.more:
                await asyncio.sleep(_POLL_S)
            page = await _next(store, site, page.next)
            yield page


async def _next(store: PresenceStore, site: str, after: str) -> EventPage:
    """What follows, as soon as Redis can tell."""
    is_told = False
    while True:
        try:
            return await store.events(site, after=after, limit=MOST_EVENTS)
        except StoreError as error:
            if not is_told:
                stderr().print(Text(f"{error.detail}; trying again", "red"), soft_wrap=True)
            is_told = True
            await asyncio.sleep(_POLL_S)


async def _show(settings: Settings, site: str, last: int, full_ids: bool) -> None:
    async with open_store(settings) as store:
        kept = (await store.newest_events(site, last)).events
        now_ms = (await store.active(site)).asOf  # by the clock that `at` is by
        if not kept:
            await hint_at_sites(store, site)
    rows = [_row(event, ago(event.at, now_ms), full_ids) for event in kept]
    print_list(_COLUMNS, rows, f"no event of {site} is {'kept' if last else 'shown'}")


async def _print(
    settings: Settings, site: str, wanted: _Wanted, show: Callable[[EventPage], None]
) -> None:
    async with open_store(settings) as store:
        is_first = True
        async for page in wanted.pages(store, site):
            if is_first and not page.events:
                await hint_at_sites(store, site)
            is_first = False
            if page.truncatedBefore is not UNSET:
                line = f"some events before {page.truncatedBefore} are not kept any more"
                stderr().print(Text(line, "yellow"), soft_wrap=True)
            show(page)


def _print_json(page: EventPage) -> None:
    if page.events:
        click.echo(event_lines(page), nl=False)


def _printer(full_ids: bool) -> Callable[[EventPage], None]:
    # Who follows is shown what comes now: only the first events can be of another day.
    printer = RowPrinter(_FOLLOWED, {0: 8, 4: 36} if full_ids else {0: 8})

    def show(page: EventPage) -> None:
        printer.print([_row(event, moment(event.at), full_ids) for event in page.events])

    return show


def _row(event: LoggedEvent, at: Cell, full_ids: bool) -> tuple[object, ...]:
    return (
        at,
        event.type,
        event.path,
        event.from_ or user_id(event.fromUserId, is_full=full_ids),
        session_id(event.sessionId or "", is_full=full_ids),
        user_id(event.userId, is_full=full_ids),
        event.reason,
        event.country,
    )
