"""`presence shards`."""

from collections.abc import Callable, Sequence

import click
from rich.text import Text

from service.cli.cells import moment
from service.cli.group import Failure, UsageFailure, WholeNumber
from service.cli.printing import stderr, stdout
from service.cli.reading import open_store, reachable, run, site_argument
from service.settings import Settings
from service.sites import MOST_SHARDS
from service.store.layout import Layout, SiteLayouts
from service.store.resharding.folding import Folded


@click.command(short_help="Show or change into how many shards a site is split.")
@site_argument
@click.argument("number", type=WholeNumber(1, MOST_SHARDS), required=False, metavar="[N]")
@click.option("--compact", is_flag=True, help="Fold what earlier shards counted into one.")
def shards(site: str, number: int | None, *, compact: bool) -> None:
    """Show into how many shards SITE is split, or split it into N from now on.

    Heartbeats go on meanwhile. Sessions move with their next heartbeat; what was counted before
    stays where it is and is part of every answer, until --compact folds it into one shard, which
    costs less to read. Sites without a number of their own have that of PRESENCE_SHARDS.
    """
    if compact and number is not None:
        raise UsageFailure("either N or --compact: what is before a change can be folded later")
    settings = Settings.from_env()
    with reachable(settings):
        if not compact:
            print_line(told(site, run(_layouts(settings, site, number))))
            return
        with stderr().status("looking") as status:
            folded = run(_folded(settings, site, lambda what: status.update(what)))
    print_line(told(site, folded.layouts))
    if folded.here:
        sessions, are = _number(folded.here, "session"), "is" if folded.here == 1 else "are"
        raise Failure(
            f"{sessions} of the shards before {are} there still, or to be swept: run it again later"
        )
    if folded.ready_ms and not folded.shards:
        raise Failure(
            "sessions may still be on their way from the shards before the last change: run it "
            f"again after {moment(folded.ready_ms)}"
        )


def print_line(text: str) -> None:
    """One line, however long."""
    stdout().print(Text(text), soft_wrap=True)


async def _layouts(settings: Settings, site: str, number: int | None) -> SiteLayouts:
    async with open_store(settings) as store:
        if number is not None:
            return await store.layouts.change(site, number)
        return store.keys.layouts_of(site)


async def _folded(settings: Settings, site: str, show: Callable[[str], None]) -> Folded:
    def progress(done: int, total: int) -> None:
        is_read = done == total
        show("waiting until no copy reads them" if is_read else f"read {done} of {total} shards")

    async with open_store(settings) as store:
        return await store.folding.fold(site, progress)


def told(site: str, layouts: SiteLayouts) -> str:
    """Into how many shards a site is split, and was."""
    text = f"{site}: {_number(layouts.shards, 'shard')}"
    former = layouts.in_force[len(layouts.folded) : -1]
    if former:
        text += f"; before: {_numbers(former)}"
    if layouts.folded:
        text += f"; folded into one: {_numbers(layouts.folded)}"
    return text


def _numbers(layouts: Sequence[Layout]) -> str:
    return ", ".join(str(layout.shards) for layout in reversed(layouts))


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
