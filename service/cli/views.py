"""`presence views`."""

import asyncio
import contextlib
from collections import deque

import click

from service.cli.group import WholeNumber
from service.cli.printing import moment, print_rows, shown
from service.cli.reading import open_store, reachable, run, site_argument
from service.models import View
from service.settings import Settings

_PAGE = 1000
_POLL_S = 0.5
_COLUMNS = ("at!", "page", "session!", "type", "referrer", "country")


@click.command()
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
def views(site: str, follow: bool, last: int) -> None:
    """Show the last page views of SITE, oldest first.

    `presence export` writes all of them.
    """
    settings = Settings.from_env()
    with reachable(settings):
        if not follow:
            run(_show(settings, site, last, follow=False))
            return
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            run(_show(settings, site, last, follow=True))


async def _show(settings: Settings, site: str, last: int, *, follow: bool) -> None:
    async with open_store(settings) as store:
        kept: deque[View] = deque(maxlen=last)
        page = await store.views(site, after="", limit=_PAGE)
        while page.views:
            kept.extend(page.views)
            page = await store.views(site, after=page.next, limit=_PAGE)
        if not follow:
            print_rows(_COLUMNS, map(_row, kept))
            return
        for view in kept:
            _print(view)
        while True:
            page = await store.views(site, after=page.next, limit=_PAGE)
            for view in page.views:
                _print(view)
            if not page.views:
                await asyncio.sleep(_POLL_S)


def _row(view: View) -> tuple[object, ...]:
    return moment(view.at), view.path, view.sessionId, view.pageType, view.referrer, view.country


def _print(view: View) -> None:
    # A line at a time, so no columns can be measured: tabs, on a terminal too.
    click.echo("\t".join(shown(cell) for cell in _row(view)))
