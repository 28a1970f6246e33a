"""`presence views`."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import click

from service.cli.cells import ago, moment, session_id
from service.cli.columns import Column
from service.cli.following import RowPrinter
from service.cli.group import WholeNumber
from service.cli.printing import print_list
from service.cli.reading import (
    full_ids_option,
    hint_at_sites,
    open_store,
    reachable,
    run,
    site_argument,
)
from service.models import View
from service.settings import Settings
from service.store.store import PresenceStore

_PAGE = 1000
_POLL_S = 0.5
_COLUMNS = (
    Column("at", is_number=True),
    Column("page", usual=512, least=20),
    Column("session", usual=9),
    Column("type", usual=10, least=7, rank=1),
    Column("referrer", usual=20, least=10, rank=3),
    Column("country", usual=7, rank=2),
)

_FOLLOWED = (Column("at, UTC"), *_COLUMNS[1:])


@click.command(short_help="Show the last page views of a site.")
@site_argument
@click.option("--follow", "-f", is_flag=True, help="Keep printing new page views until Ctrl-C.")
@click.option(
    "--last",
    "-n",
    type=WholeNumber(0, 100_000),
    default=20,
    show_default=True,
    help="Number of past page views to show first.",
)
@full_ids_option
def views(site: str, follow: bool, last: int, full_ids: bool) -> None:
    """Show the last page views of SITE, oldest first.

    On a terminal, of each id the end is shown, and as many columns as it has room for. Piped, it
    writes one view per line, tab-separated, with full ids and exact times: at, page, session,
    type, referrer, country.

    `presence export` writes all views that are kept.
    """
    settings = Settings.from_env()
    with reachable(settings):
        if not follow:
            run(_show(settings, site, last, full_ids))
            return
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            run(_follow(settings, site, last, full_ids))


async def _show(settings: Settings, site: str, last: int, full_ids: bool) -> None:
    async with open_store(settings) as store:
        kept, _ = await _last(store, site, last)
        now_ms = (await store.active(site)).asOf  # by the clock that `at` is by
        if not kept:
            await hint_at_sites(store, site)
    rows = [_row(view, ago(view.at, now_ms), full_ids) for view in kept]
    print_list(_COLUMNS, rows, f"no page view of {site} is {'kept' if last else 'shown'}")


async def _follow(settings: Settings, site: str, last: int, full_ids: bool) -> None:
    async with open_store(settings) as store:
        # Who follows is shown what comes now: only the first views can be of another day.
        printer = RowPrinter(_FOLLOWED, {0: 8, 2: 36} if full_ids else {0: 8})
        views, after = await _last(store, site, last)
        if not views:
            await hint_at_sites(store, site)
        while True:
            printer.print([_row(view, moment(view.at), full_ids) for view in views])
            page = await store.views(site, after=after, limit=_PAGE)
            views, after = page.views, page.next
            if not views:
                await asyncio.sleep(_POLL_S)


async def _last(store: PresenceStore, site: str, last: int) -> tuple[Sequence[View], str]:
    """The last views, and the position of the last of them."""
    kept: deque[View] = deque(maxlen=last)
    page = await store.views(site, after="", limit=_PAGE)
    while page.views:
        kept.extend(page.views)
        page = await store.views(site, after=page.next, limit=_PAGE)
    return kept, page.next


def _row(view: View, at: str, full_ids: bool) -> tuple[object, ...]:
    return (
        at,
        view.path,
        session_id(view.sessionId, is_full=full_ids),
        view.pageType,
        view.referrer,
        view.country,
    )
