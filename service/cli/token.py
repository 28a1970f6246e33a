"""`presence token`."""

import time

import click

from service.api.requests.field_errors import RULES
from service.api.requests.fields import UserAvatar, UserId, fits
from service.api.requests.names import clean_name
from service.api.user_tokens import MAX_SEES, User, clean_pattern, mint
from service.cli.group import Failure, Hours
from service.cli.reading import site_argument
from service.errors import FieldError
from service.settings import Settings


@click.command(short_help="Print a token that says who somebody is, for trying.")
@site_argument
@click.argument("user")
@click.option(
    "--name", metavar="NAME", default="", help="What to call them, at most 64 characters."
)
@click.option("--avatar", metavar="URL", default="", help="Address of their picture, https.")
@click.option(
    "--sees",
    multiple=True,
    metavar="PATH",
    help="A page whose users they may see; end it with * to match a prefix. May be repeated.",
)
@click.option(
    "--hours",
    type=Hours(),
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
    for label, rule, value, kind in (
        ("USER", "userId", user, UserId),
        ("--avatar", "avatar", avatar or "https://-", UserAvatar),
    ):
        if not fits(value, kind):
            raise FieldError(rule, f"{label} {RULES[rule]}")
    try:
        clean_name(name)
    except ValueError as error:
        raise FieldError("name", f"--name {error}") from None
    if len(sees) > MAX_SEES:
        raise FieldError("sees", f"--sees may be given {MAX_SEES} times at most")
    try:
        patterns = tuple(map(clean_pattern, sees))
    except ValueError as error:
        raise FieldError("sees", f"--sees {error}") from None
    who = User(user, name, avatar, patterns)
    click.echo(mint(known.user_secrets[0], site, who, expires=time.time() + hours * 3600))
