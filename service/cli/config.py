"""`presence config`."""

import click

from service.cli.printing import print_rows
from service.settings import PREFIX, SETTINGS, Settings


@click.command()
def config() -> None:
    """Show every setting: its value, where it came from and what it means.

    Passwords and tokens are masked. Into a pipe it writes one setting a line: name, value,
    source, unit and help, with tabs between them.
    """
    settings = Settings.from_env()
    print_rows(
        ("setting", "value", "source", "unit", "meaning"),
        [
            (
                PREFIX + setting.name,
                settings.shown(setting.name),
                settings.sources[setting.name],
                setting.unit,
                setting.help,
            )
            for setting in SETTINGS
        ],
    )
