"""The command line, `presence`.

Exit codes: 0, all went well; 1, something was found or failed; 2, usage or settings; 130, Ctrl-C.
What was asked for goes to stdout, all else to stderr.
"""

import click

from service import __version__
from service.cli.config import config
from service.cli.doctor import doctor
from service.cli.erase import delete_site, erase
from service.cli.events import events
from service.cli.export import export
from service.cli.group import PresenceGroup
from service.cli.lua import lua
from service.cli.serve import serve
from service.cli.sessions import sessions
from service.cli.shards import shards
from service.cli.share import share
from service.cli.sites import sites
from service.cli.stats import stats
from service.cli.token import token
from service.cli.users import users
from service.cli.views import views
from service.cli.webhooks import webhooks


@click.group(cls=PresenceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="presence")
def main() -> None:
    """Who is on your site right now: heartbeats over HTTP in, live counts out, in Redis.

    Begin with `presence serve --demo`: it needs nothing installed. `presence sites` then lists the
    sites, and `presence stats SITE --watch` shows one of them live.

    Settings come from the environment, PRESENCE_…; `presence config` lists them all.
    """


_READ = (sites, stats, sessions, users, views, events, export)
_OPERATE = (doctor, shards, erase, delete_site, share, webhooks, token)
for _command in (serve, *_READ, *_OPERATE, lua, config):
    main.add_command(_command)
