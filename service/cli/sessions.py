"""`presence sessions`."""

from collections.abc import AsyncIterator

import click

from service.cli.cells import ago, session_id, user_id
from service.cli.columns import Column
from service.cli.group import WholeNumber
from service.cli.printing import print_list, stderr
from service.cli.reading import (
    clean_path_option,
    full_ids_option,
    hint_at_sites,
    open_store,
    reachable,
    run,
    site_argument,
    with_demo,
)
from service.models import Session
from service.settings import Settings
from service.store.store import PresenceStore

_PAGE = 500
_COLUMNS = (
    Column("session"),
    Column("page", least=20),
    Column("last seen", is_number=True, rank=1),
    Column("since", is_number=True, rank=3),
    Column("country", rank=2),
    Column("city", least=8, rank=4),
    Column("user", least=8),
)


@click.command(short_help="List the active sessions of a site.")
@site_argument
@click.option("--path", metavar="PATH", help="Only sessions on this page, such as /blog/hello.")
@click.option(
    "--limit",
    type=WholeNumber(0),
    default=100,
    show_default=True,
    help="Maximum number of sessions to show; 0 shows all.",
)
@full_ids_option
def sessions(site: str, path: str | None, limit: int, full_ids: bool) -> None:
    """List the active sessions of SITE, the next to expire first.

    On a terminal, of each id the end is shown, and as many columns as it has room for. Piped, it
    writes one session per line, tab-separated, with full ids and exact times: session, page, last
    seen, since, country, city, and user where the site has users.

    A site that is split is listed shard by shard.
    """
    path = clean_path_option(path)
    settings = Settings.from_env()
    with reachable(settings):
        run(_list(with_demo(settings, site), site, path, limit, full_ids))


async def _list(
    settings: Settings, site: str, path: str | None, limit: int, full_ids: bool
) -> None:
    most = limit or 2**63
    rows: list[tuple[object, ...]] = []
    is_more = False
    async with open_store(settings) as store:
        async for session, now_ms in _all(store, site, path):
            if is_more := len(rows) == most:
                break
            rows.append(_row(session, now_ms, full_ids))
        if not rows:
            await hint_at_sites(store, site)
    has_users = settings.sites.has_users(site)
    print_list(
        _COLUMNS if has_users else _COLUMNS[:-1],
        rows if has_users else [row[:-1] for row in rows],
        f"nobody is on {path or site}",
    )
    if is_more:
        stderr().print(f"there are more: --limit 0 shows all of {site}", style="dim")


async def _all(
    store: PresenceStore, site: str, path: str | None
) -> AsyncIterator[tuple[Session, int]]:
    """Sessions, each with the moment at which it was read, ms."""
    cursor = None
    seen: set[str] = set()
    while True:
        page = await store.sessions(site, limit=_PAGE, cursor=cursor, path=path)
        for session in page.sessions:
            # One that beats meanwhile is given again, further down.
            if session.sessionId not in seen:
                seen.add(session.sessionId)
                yield session, page.asOf
        cursor = page.nextCursor
        if cursor is None:
            return


def _row(session: Session, now_ms: int, full_ids: bool) -> tuple[object, ...]:
    return (
        session_id(session.sessionId, is_full=full_ids),
        session.currentPath,
        ago(session.lastSeen, now_ms),
        ago(session.since, now_ms),
        session.country,
        session.city,
        user_id(session.userId, is_full=full_ids),
    )
