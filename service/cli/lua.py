"""`presence lua`."""

import click

from service.redis.scripts import LUA, load

_NAMES = sorted(path.stem for path in LUA.glob("*.lua"))


@click.command(short_help="Print a Lua script, for `redis-cli --eval`.")
@click.argument("name", metavar="NAME", type=click.Choice(_NAMES))
def lua(name: str) -> None:
    """Print a Lua script as the service sends it to Redis, for `redis-cli --eval`.

    Its header says what each key and each argument is.
    """
    click.echo(load(name).text, nl=False)
