"""`presence erase` and `presence delete-site`: what must be forgotten goes."""

import click
from rich.text import Text

from service.api.requests.fields import check_session_id, check_user_id
from service.api.user_access import NO_USERS
from service.cli.glyphs import UNICODE
from service.cli.group import Failure, UsageFailure
from service.cli.printing import space_on, stderr, stdout
from service.cli.reading import open_store, reachable, run, site_argument, with_demo
from service.errors import WrongTypeError
from service.models import Erased
from service.ops.delete_site import delete_site as delete_keys
from service.ops.forget_user import forget_user_everywhere
from service.redis.failures import FAILURES, as_store_error, kind_of
from service.settings import Settings

_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(short_help="Erase all that is kept of a session or a user.")
@site_argument
@click.option("--session", "session_id", metavar="ID", help="The session to erase.")
@click.option("--user", "user_id", metavar="ID", help="The user to erase, with all their sessions.")
@_yes_option
def erase(site: str, session_id: str | None, user_id: str | None, yes: bool) -> None:
    """Erase all that is kept of one session or user of SITE.

    They end, and no key and no entry in the logs of views and events names them any more. Counts
    stay as they are. Whoever goes on sending heartbeats is somebody new.
    """
    if (session_id is None) == (user_id is None):
        raise UsageFailure("give either --session or --user")
    if session_id is not None:
        check_session_id(session_id)
    if user_id is not None:
        check_user_id(user_id)
    settings = Settings.from_env()
    what = f"session {session_id}" if session_id is not None else f"user {user_id}"
    if not yes:
        click.confirm(f"Erase all that is kept of {what} of {site}?", abort=True, err=True)
    with reachable(settings):
        settings = with_demo(settings, site)
        if user_id is not None and not settings.sites.has_users(site):
            raise Failure(f"{site}: {NO_USERS}")
        erased = run(_erase(settings, site, session_id, user_id))
    stdout().print(
        Text(
            f"{what}: {_number(erased.sessionsEnded, 'session')} ended, "
            f"{_number(erased.eventsErased, 'event')} and "
            f"{_number(erased.viewsErased, 'page view')} erased"
        ),
        soft_wrap=True,
    )


async def _erase(
    settings: Settings, site: str, session_id: str | None, user_id: str | None
) -> Erased:
    async with open_store(settings) as store:
        if session_id is not None:
            return await store.erase_session(site, session_id)
        erased = await store.erase_user(site, user_id or "")
        try:
            await forget_user_everywhere(store.connection, store.keys, site, user_id or "")
        except FAILURES as error:
            raise as_store_error(kind_of(error)) from error
        return erased


@click.command("delete-site", short_help="Delete all that is kept of a site.")
@site_argument
@_yes_option
def delete_site(site: str, yes: bool) -> None:
    """Delete all that is kept of SITE: sessions, counts, history, logs and users.

    Take its tag off the pages first, and its entry out of the sites file: the next heartbeat would
    begin the site anew.
    """
    settings = Settings.from_env()
    with reachable(settings):
        if not yes:
            question = f"{site}: {run(_size(settings, site))}. Type its name to delete it"
            if click.prompt(question, err=True, default="", show_default=False) != site:
                raise Failure("that is not its name; nothing was deleted")
        deleted = run(_delete(settings, site))
    if not deleted:
        raise Failure(f"nothing is kept of a site {site!r}")
    stdout().print(Text(f"{site}: {_number(deleted, 'key')} deleted"), soft_wrap=True)


async def _size(settings: Settings, site: str) -> str:
    """How many are on a site now, and how often its pages were viewed."""
    async with open_store(settings) as store:
        try:
            stats = await store.stats(site, 1)
        except WrongTypeError:  # a reason more to delete it
            return "a key of a wrong type is in the way of its numbers"
        return f"{stats.activeVisitors:,} here now, {stats.totalPageViews:,} page views"


async def _delete(settings: Settings, site: str) -> int:
    console = stderr()
    spinner = "dots" if space_on(console).glyphs is UNICODE else "line"
    async with open_store(settings) as store:
        with console.status("deleting", spinner=spinner) as status:
            try:
                await store.layouts.forget_earlier(site)
                return await delete_keys(
                    store.connection,
                    store.keys,
                    site,
                    lambda count: status.update(Text(f"deleting ({count:,} keys so far)")),
                )
            except FAILURES as error:
                raise as_store_error(kind_of(error)) from error


def _number(count: int, what: str) -> str:
    return f"{count:,} {what if count == 1 else what + 's'}"
