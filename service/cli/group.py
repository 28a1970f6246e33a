"""What all commands share at their end: errors are one line, and an exit code."""

import errno
import io
import os
import sys
from typing import IO, Any

import click

from service.errors import FieldError, PresenceError, SettingsError, StoreError
from service.settings import Settings


class Failure(click.ClickException):
    """Ends a command with one line on stderr and exit code 1."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"presence: {self.format_message()}", file=file, err=True)


class UsageFailure(Failure):
    """As Failure, with exit code 2: what was asked for, or a setting, is wrong."""

    exit_code = 2


class WholeNumber(click.IntRange):
    """A number from `min` to `max`; what is none is told what would be right."""

    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands for it in a help text."""
        return "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises click.BadParameter."""
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a whole number {self._describe_range()}", param, ctx)
        return number

    def _describe_range(self) -> str:  # click's is a formula: x>=0
        return f"from {self.min} to {self.max}" if self.max is not None else f"from {self.min} up"


class PresenceGroup(click.Group):
    """Turns what this package raises into a Failure, and ends quietly when nobody reads on."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are needed, not by name."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # What an encoding does not have is no reason to stop in the middle.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (SettingsError, FieldError) as error:
            raise UsageFailure(str(error)) from None
        except StoreError as error:
            url = Settings.from_env().shown("REDIS_URL")
            raise Failure(f"{error.detail} (PRESENCE_REDIS_URL is {url})") from None
        except PresenceError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            ctx.exit(130)
        except BrokenPipeError:  # `presence views blog | head`
            _let_go_of_stdout()
            ctx.exit(0)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _let_go_of_stdout()
            raise Failure(f"cannot write: {error.strerror}") from None


def _let_go_of_stdout() -> None:
    # What is still in the buffer has nowhere to go; at the exit it would fail once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
