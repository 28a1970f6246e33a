"""`presence token`."""

import time

import click

from service.api.user_tokens import (
    MAX_SEES,
    User,
    clean_pattern,
    is_avatar,
    is_name,
    is_user_id,
    mint,
)
from service.cli.group import Failure
from service.cli.reading import site_argument
from service.errors import FieldError
from service.settings import Settings


@click.command()
@site_argument
@click.argument("user")
@click.option("--name", default="", help="What to call them, at most 64 characters.")
@click.option("--avatar", default="", help="Address of their picture, https.")
@click.option(
    "--sees",
    multiple=True,
    metavar="PATH",
    help="A page whose users they may see; end it with * to match a prefix. May be repeated.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0, 24, min_open=True),
    default=1.0,
    show_default=True,
    help="How many hours it is valid.",
)
def token(
    site: str, user: str, name: str, avatar: str, sees: tuple[str, ...], hours: float
) -> None:
    """Print a token that says who USER of SITE is, to try things out: in production the site's own
    backend signs it.

    It is signed with the first of the site's user_secrets in PRESENCE_SITES_FILE.
    """
    known = Settings.from_env().sites.by_id.get(site)
    if known is None or not known.user_secrets:
        raise Failure(f"{site} has no users: give it user_secrets in PRESENCE_SITES_FILE")
    if not is_user_id(user):
        raise FieldError("user", f"USER must be 1 to 64 of A-Z, a-z, 0-9, _ . : @ and -: {user!r}")
    if not is_name(name):
        raise FieldError("name", "--name must be at most 64 characters, no control characters")
    if not is_avatar(avatar):
        raise FieldError("avatar", "--avatar must be an https URL of at most 256 bytes")
    if len(sees) > MAX_SEES:
        raise FieldError("sees", f"--sees may be given {MAX_SEES} times at most")
    try:
        patterns = tuple(map(clean_pattern, sees))
    except ValueError as error:
        raise FieldError("sees", f"--sees {error}") from None
    who = User(user, name, avatar, patterns)
    click.echo(mint(known.user_secrets[0], site, who, expires=time.time() + hours * 3600))
