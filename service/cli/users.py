"""`presence users`."""

import click
from rich.console import Group, RenderableType
from rich.text import Text

from service.api.user_access import NO_USERS
from service.cli.group import Failure, WholeNumber
from service.cli.printing import moment, print_rows, stderr, stdout, table
from service.cli.reading import clean_path_option, open_store, reachable, run, site_argument
from service.cli.watching import watch as watch_until_stopped
from service.models import UserRow
from service.settings import Settings
from service.store.store import PresenceStore

_PAGE = 500
_COLUMNS = ("user!", "name", "sessions#", "since!", "last seen!", "pages")


@click.command()
@site_argument
@click.option("--path", help="Only users on this page, such as /docs/x.")
@click.option("--watch", is_flag=True, help="Redraw every second until Ctrl-C.")
@click.option(
    "--limit",
    type=WholeNumber(0),
    default=100,
    show_default=True,
    help="Maximum number of users to show; 0 shows all.",
)
def users(site: str, path: str | None, watch: bool, limit: int) -> None:
    """List the users who are on SITE now, each once, by page.

    Piped, it writes one user per line, with tab-separated columns and pages.
    """
    path = clean_path_option(path)
    settings = Settings.from_env()
    if not settings.sites.has_users(site):
        raise Failure(f"{site}: {NO_USERS}")

    async def drawn(store: PresenceStore) -> RenderableType:
        return _drawn(site, *await _read(store, site, path, limit))

    with reachable(settings):
        if watch:
            watch_until_stopped(settings, drawn)
        else:
            run(_list(settings, site, path, limit))


async def _list(settings: Settings, site: str, path: str | None, limit: int) -> None:
    async with open_store(settings) as store:
        rows, total, _ = await _read(store, site, path, limit)
    between_pages = "\n" if stdout().is_terminal else "\t"  # no path has either in it
    print_rows(_COLUMNS, [_row(row, between_pages) for row in rows])
    if limit and total > len(rows):
        stderr().print(f"there are {total}: --limit 0 shows all of {site}", style="dim")


async def _read(
    store: PresenceStore, site: str, path: str | None, limit: int
) -> tuple[list[UserRow], int, int]:
    """The first users, how many there are, and the moment, ms."""
    most = limit or 2**63
    rows: dict[str, UserRow] = {}  # who moves meanwhile may come again
    cursor = None
    while True:
        page = await store.users(site, limit=min(_PAGE, most - len(rows)), cursor=cursor, path=path)
        rows |= {row.userId: row for row in page.users}
        cursor = page.nextCursor
        if cursor is None or len(rows) >= most:
            return list(rows.values()), page.total, page.asOf


def _drawn(site: str, rows: list[UserRow], total: int, as_of: int) -> RenderableType:
    users = "user" if total == 1 else "users"
    headline = Text.assemble(
        (str(total), "bold green"), f" {users} on {site} at {moment(as_of)}"
    )  # fmt: skip
    if not rows:
        return headline
    return Group(headline, "", table(_COLUMNS, map(_row, rows)))


def _row(user: UserRow, between_pages: str = "\n") -> tuple[object, ...]:
    return (
        user.userId,
        user.name,
        user.sessions,
        moment(user.since),
        moment(user.lastSeen),
        between_pages.join(user.paths),
    )
