"""What all commands share at their end: errors are one line, and an exit code."""

import errno
import gc
import importlib
import io
import os
import sys
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import IO, Any

import click

from service.errors import FieldError, PresenceError, SettingsError, StoreError
from service.numbers import decimal_number, whole_number
from service.settings import Settings

_LARGEST = 10**18 - 1


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
        if not isinstance(value, str):  # a default
            return int(value)
        most = _LARGEST if self.max is None else int(self.max)
        try:
            return whole_number(value, int(self.min or 0), most)
        except ValueError:
            self.fail(f"{value!r} is not a whole number {self._describe_range()}", param, ctx)

    def _describe_range(self) -> str:  # click's is a formula: x>=0
        return f"from {self.min} to {self.max}" if self.max is not None else f"from {self.min} up"


class Hours(click.ParamType[float]):
    """A number of hours, more than 0 and up to 24."""

    name = "hours"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands for it in a help text."""
        return "N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. Raises click.BadParameter."""
        hours = decimal_number(value) if isinstance(value, str) else float(value)
        if hours is None or not 0 < hours <= 24:
            self.fail(f"{value!r} is not a number of hours, such as 8 or 0.5, up to 24", param, ctx)
        return hours


class Commands(UserDict[str, click.Command]):
    """Commands by name, each imported when it is first asked for: `presence stats` does not wait
    for the web server to be loaded. A mapping, for click looks in it for what a wrong name means.

    Args:
        modules: by the name of a command, the module that has it as a function of that name.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        super().__init__()
        self._modules = modules

    def __missing__(self, name: str) -> click.Command:
        # What is imported stays: to look for garbage meanwhile takes 20 to 40 ms of a start.
        was_on = gc.isenabled()
        gc.disable()
        try:
            module = importlib.import_module(self._modules[name])
        finally:
            if was_on:
                gc.enable()
        command: click.Command = getattr(module, name.replace("-", "_"))
        self.data[name] = command
        return command

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


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
