"""`presence sessions`."""

from collections.abc import AsyncIterator

import click

from service.cli.group import WholeNumber
from service.cli.printing import moment, print_rows, stderr
from service.cli.reading import clean_path_option, open_store, reachable, run, site_argument
from service.models import Session
from service.settings import Settings
from service.store.store import PresenceStore

_PAGE = 500
_COLUMNS = ("session!", "page", "last seen!", "since!", "country", "city")


@click.command()
@site_argument
@click.option("--path", help="Only sessions on this page, such as /blog/hello.")
@click.option(
    "--limit",
    type=WholeNumber(0),
    default=100,
    show_default=True,
    help="Maximum number of sessions to show; 0 shows all.",
)
def sessions(site: str, path: str | None, limit: int) -> None:
    """List the active sessions of SITE, the next to expire first; where a site is split, one
    shard after the other.

    Piped, it writes one session per line, with tab-separated columns.
    """
    path = clean_path_option(path)
    settings = Settings.from_env()
    with reachable(settings):
        run(_list(settings, site, path, limit))


async def _list(settings: Settings, site: str, path: str | None, limit: int) -> None:
    most = limit or 2**63
    rows: list[tuple[object, ...]] = []
    async with open_store(settings) as store:
        async for session in _all(store, site, path):
            if len(rows) == most:
                stderr().print(f"there are more: --limit 0 shows all of {site}", style="dim")
                break
            rows.append(_row(session))
    if settings.sites.has_users(site):
        print_rows((*_COLUMNS, "user!"), rows)
    else:
        print_rows(_COLUMNS, [row[:-1] for row in rows])


async def _all(store: PresenceStore, site: str, path: str | None) -> AsyncIterator[Session]:
    cursor = None
    seen: set[str] = set()
    while True:
        page = await store.sessions(site, limit=_PAGE, cursor=cursor, path=path)
        for session in page.sessions:
            # One that beats meanwhile is given again, further down.
            if session.sessionId not in seen:
                seen.add(session.sessionId)
                yield session
        cursor = page.nextCursor
        if cursor is None:
            return


def _row(session: Session) -> tuple[object, ...]:
    return (
        session.sessionId,
        session.currentPath,
        moment(session.lastSeen),
        moment(session.since),
        session.country,
        session.city,
        session.userId,
    )
