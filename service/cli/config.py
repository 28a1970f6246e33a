"""`presence config`."""

import click
from rich.text import Text

from service.cli.printing import print_rows, stdout
from service.settings import PREFIX, SETTINGS, Settings

_WIDE = 140  # columns of a terminal on which a table can be read


@click.command(short_help="Show every setting: value, source, meaning.")
def config() -> None:
    """Show every setting: value, source, meaning.

    Passwords and tokens are masked. Piped, it writes one setting per line: name, value, source,
    unit and help, separated by tabs.
    """
    settings = Settings.from_env()
    console = stdout()
    if console.is_terminal and console.width < _WIDE:
        for setting in SETTINGS:
            source = settings.sources[setting.name]
            line = Text.assemble(
                (PREFIX + setting.name, "bold"),
                " = ",
                (settings.shown(setting.name) or "(none)", "green"),
                ("" if source == "default" else f"  from the {source}", "yellow"),
                (f"\n    {setting.help} ({setting.unit})", "dim"),
            )
            console.print(line)
        return
    print_rows(
        ("setting!", "value", "source!", "unit", "meaning"),
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
