"""`presence users`."""

from collections.abc import Iterator

import click
from rich.console import Group, RenderableType
from rich.text import Text

from service.api.user_access import NO_USERS
from service.cli.cells import ago, moment, user_id
from service.cli.columns import Column, Columns, Space
from service.cli.group import Failure, WholeNumber
from service.cli.printing import print_list, stderr, stdout, table
from service.cli.reading import (
    clean_path_option,
    full_ids_option,
    open_store,
    reachable,
    run,
    site_argument,
    with_demo,
)
from service.cli.watching import View
from service.cli.watching import watch as watch_until_stopped
from service.models import UserRow
from service.settings import Settings
from service.store.store import PresenceStore

_PAGE = 500
_COLUMNS = (
    Column("user"),
    Column("name", least=8, rank=2),
    Column("sessions", is_number=True, rank=3),
    Column("since", is_number=True, rank=4),
    Column("last seen", is_number=True, rank=1),
    Column("page", least=16),
)
_PIPED_COLUMNS = ("user!", "name", "sessions#", "since!", "last seen!", "pages")

_Read = tuple[list[UserRow], int, int]


@click.command(short_help="List the users who are on a site.")
@site_argument
@click.option("--path", metavar="PATH", help="Only users on this page, such as /docs/x.")
@click.option("--watch", is_flag=True, help="Redraw every second until Ctrl-C.")
@click.option(
    "--limit",
    type=WholeNumber(0),
    default=100,
    show_default=True,
    help="Maximum number of users to show; 0 shows all.",
)
@full_ids_option
def users(site: str, path: str | None, watch: bool, limit: int, full_ids: bool) -> None:
    """List the users who are on SITE now, each once, by page.

    On a terminal, long ids are shortened, and there are as many columns as it has room for.
    Piped, it writes one user per line, tab-separated, with full ids and exact times: user, name,
    sessions, since, last seen, and each of their pages.
    """
    path = clean_path_option(path)
    where = f"{path} of {site}" if path else site
    settings = Settings.from_env()

    async def read(store: PresenceStore) -> _Read:
        return await _read(store, site, path, limit)

    with reachable(settings):
        settings = with_demo(settings, site)
        if not settings.sites.has_users(site):
            raise Failure(f"{site}: {NO_USERS}")
        if watch:
            watch_until_stopped(
                settings,
                View(
                    read,
                    lambda found, space: _lines(where, found, space, full_ids),
                    lambda found: _piped(where, *found),
                ),
            )
        else:
            run(_list(settings, site, path, where, limit, full_ids))


async def _list(
    settings: Settings, site: str, path: str | None, where: str, limit: int, full_ids: bool
) -> None:
    async with open_store(settings) as store:
        users, total, now_ms = await _read(store, site, path, limit)
    if stdout().is_terminal:
        rows = _rows(users, now_ms, full_ids)
    else:
        rows = [(*_row(user, now_ms, full_ids), *user.paths) for user in users]
    print_list(_COLUMNS, rows, f"no user is on {where}")
    if limit and total > len(users):
        said = Text(f"there are {total}: --limit 0 shows all of {where}", "dim")
        stderr().print(said, soft_wrap=True)


async def _read(store: PresenceStore, site: str, path: str | None, limit: int) -> _Read:
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


def _headline(where: str, total: int, as_of: str) -> list[str | tuple[str, str]]:
    return [
        (f"{total}", "bold green"),
        f" {'user' if total == 1 else 'users'} on {where} at {as_of}",
    ]


def _lines(where: str, found: _Read, space: Space, full_ids: bool) -> list[Text]:
    users, total, now_ms = found
    headline = space.line(*_headline(where, total, moment(now_ms).short + " UTC"))
    lines = Columns(_COLUMNS, space, _rows(users, now_ms, full_ids)).lines()
    return space.fitted([headline, Text(), *(lines if users else [])])


def _rows(users: list[UserRow], now_ms: int, full_ids: bool) -> list[tuple[object, ...]]:
    return [row for user in users for row in _by_page(user, _row(user, now_ms, full_ids))]


def _row(user: UserRow, now_ms: int, full_ids: bool) -> tuple[object, ...]:
    return (
        user_id(user.userId, is_full=full_ids),
        user.name,
        user.sessions,
        ago(user.since, now_ms),
        ago(user.lastSeen, now_ms),
    )


def _by_page(user: UserRow, cells: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
    """A row a page, of which the first says whose it is."""
    for index, path in enumerate(user.paths or [""]):
        yield (*(cells if index == 0 else [""] * len(cells)), path)


def _piped(where: str, users: list[UserRow], total: int, as_of: int) -> RenderableType:
    headline = Text.assemble(*_headline(where, total, moment(as_of)))
    if not users:
        return headline
    rows = [
        row
        for user in users
        for row in _by_page(
            user,
            (user.userId, user.name, user.sessions, moment(user.since), moment(user.lastSeen)),
        )
    ]
    return Group(headline, "", table(_PIPED_COLUMNS, rows))
