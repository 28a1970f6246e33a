"""`presence share`."""

import click
import msgspec

from service.api.requests.fields import check_share_name
from service.api.share_tokens import digest_of, make_share_token
from service.cli.cells import moment
from service.cli.group import Failure
from service.cli.printing import print_rows, stderr
from service.cli.reading import open_store, reachable, run, site_argument
from service.models import Share, ShareList
from service.settings import Settings
from service.store.shares import MOST_SHARES


@click.command(short_help="Make, list or revoke tokens that only read a site's numbers.")
@site_argument
@click.argument("name", required=False)
@click.option("--revoke", metavar="NAME", help="Revoke the token of that name.")
@click.option("--json", "is_json", is_flag=True, help="Write one line of JSON.")
def share(site: str, name: str | None, revoke: str | None, is_json: bool) -> None:
    """Make a token called NAME that opens the numbers of SITE and nothing else, for a screen on a
    wall or a frame; without NAME, list the tokens of SITE.

    The token is printed this once: only a hash of it is kept. Put it behind the address of the live
    page, as …/sites/SITE?wall#share=TOKEN.
    """
    if name is not None and revoke is not None:
        raise click.UsageError("give a NAME to make or --revoke NAME, not both")
    for given in (name, revoke):
        if given is not None:
            check_share_name(given)
    settings = Settings.from_env()
    with reachable(settings):
        if revoke is not None:
            if not run(_revoke(settings, site, revoke)):
                raise Failure(f"{site} has no share {revoke}; `presence share {site}` lists them")
        elif name is not None:
            _make(settings, site, name, is_json)
        else:
            _list(run(_read(settings, site)), site, is_json)


def _make(settings: Settings, site: str, name: str, is_json: bool) -> None:
    token = make_share_token()
    digest = digest_of(token.encode())
    assert digest is not None
    made = run(_add(settings, site, name, digest))
    if made is None:
        raise Failure(
            f"{site} has a share {name} already, or {MOST_SHARES} of them: "
            f"`presence share {site} --revoke NAME` revokes one"
        )
    if is_json:
        click.echo(msgspec.json.encode(msgspec.structs.asdict(made) | {"token": token}))
    else:
        click.echo(token)
    known = settings.sites.find(site)
    if known is not None and known.public:
        stderr().print(f"{site} is public here: anyone reads it, without a token", style="yellow")


def _list(found: ShareList, site: str, is_json: bool) -> None:
    if is_json:
        click.echo(msgspec.json.encode(found))
        return
    rows = [(row.name, moment(row.madeAt)) for row in found.shares]
    if rows:
        print_rows(("share", "made"), rows)
    else:
        stderr().print(f"{site} has no shares: `presence share {site} NAME` makes one", style="dim")


async def _add(settings: Settings, site: str, name: str, digest: str) -> Share | None:
    async with open_store(settings) as store:
        return await store.add_share(site, name, digest)


async def _revoke(settings: Settings, site: str, name: str) -> bool:
    async with open_store(settings) as store:
        return await store.remove_share(site, name)


async def _read(settings: Settings, site: str) -> ShareList:
    async with open_store(settings) as store:
        return await store.shares(site)
