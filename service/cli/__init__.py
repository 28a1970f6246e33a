"""The command line, `presence`.

Exit codes: 0, all went well; 1, something was found or failed; 2, usage or settings; 130, Ctrl-C.
What was asked for goes to stdout, all else to stderr.
"""

import click

from service import __version__
from service.cli.group import Commands, PresenceGroup

_READ = ("sites", "stats", "sessions", "users", "views", "events", "export")
_OPERATE = ("doctor", "shards", "erase", "delete-site", "share", "webhooks", "token")
_COMMANDS = Commands(
    {
        name: f"{__name__}.{'erase' if name == 'delete-site' else name}"
        for name in ("serve", *_READ, *_OPERATE, "lua", "config")
    }
)


@click.group(
    cls=PresenceGroup,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="presence")
def main() -> None:
    """Who is on your site right now: heartbeats over HTTP in, live counts out, in Redis.

    Begin with `presence serve --demo`: it needs nothing installed. `presence sites` then lists the
    sites, and `presence stats SITE --watch` shows one of them live.

    Settings come from the environment, PRESENCE_…; `presence config` lists them all.
    """
