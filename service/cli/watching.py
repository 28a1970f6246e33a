"""How commands show what changes, anew every second: on a terminal as one screen that is drawn
over and over, into a pipe one below the other."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.text import Text

from service.cli.columns import Space
from service.cli.printing import stderr, stdout
from service.cli.reading import open_store, run
from service.errors import StoreError
from service.settings import Settings
from service.store.store import PresenceStore

REDRAW_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """Something to watch: how it is read, and how it is shown.

    Args:
        read: what is there now.
        lines: it, in as many lines as the space has room for.
        piped: it, for what is not a terminal.
        json: it, as a line of JSON, which is asked for on a terminal, too; None: it is not.
    """

    read: Callable[[PresenceStore], Awaitable[T]]
    lines: Callable[[T, Space], list[Text]]
    piped: Callable[[T], RenderableType]
    json: Callable[[T], str] | None = None


def watch(settings: Settings, view: View[T]) -> None:
    """Shows it until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        run(_watch(settings, view))


async def _watch(settings: Settings, view: View[T]) -> None:
    console = stdout()
    async with open_store(settings) as store:
        if view.json:
            async for now, problem in _states(store, view):
                if problem or now is None:
                    stderr().print(Text(problem, "red"), soft_wrap=True)
                else:
                    click.echo(view.json(now))
            return
        if not console.is_terminal or console.is_dumb_terminal:
            async for now, problem in _states(store, view):
                console.print(
                    Text(problem, "red") if problem or now is None else view.piped(now),
                    soft_wrap=bool(problem),
                )
            return
        frame = _Frame(view)
        # The other screen of the terminal: at the end what was there before is there again. Each
        # frame is written over the last in one piece; erasing that first would flicker.
        with Live(frame, console=console, auto_refresh=False, screen=True) as live, _told(live):
            async for frame.now, frame.problem in _states(store, view):
                live.refresh()


async def _states(store: PresenceStore, view: View[T]) -> AsyncIterator[tuple[T | None, str]]:
    """What is there every second, or was last, and why it could not be read now."""
    now: T | None = None
    while True:
        problem = ""
        try:
            now = await view.read(store)
        except StoreError as error:  # a watcher outlives a Redis that is away for a while
            problem = f"{error.detail}; trying again"
        yield now, problem
        await asyncio.sleep(REDRAW_S)


class _Frame(Generic[T]):
    """The screen as it is now. It is made to measure whenever it is drawn."""

    def __init__(self, view: View[T]) -> None:
        self._view = view
        self.now: T | None = None
        self.problem = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        space = Space(options.max_width, options.height or console.height, console.encoding)
        if self.problem:
            yield space.line((self.problem, "red"))
            space = replace(space, height=max(0, (space.height or 0) - 1))
        if self.now is not None:
            yield from self._view.lines(self.now, space)


@contextlib.contextmanager
def _told(live: Live) -> Iterator[None]:
    """While it is entered, a terminal that changes its size is drawn anew at once, and who ends
    the command by another signal than Ctrl-C, or stops it for a while, finds the screen restored
    as well."""
    loop = asyncio.get_running_loop()

    def stop_for_a_while() -> None:
        console = live.console
        console.set_alt_screen(False)
        console.show_cursor(True)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)  # returns with `fg`
        loop.add_signal_handler(signal.SIGTSTP, stop_for_a_while)
        console.set_alt_screen(True)
        console.show_cursor(False)
        live.refresh()

    handlers = {
        "SIGWINCH": live.refresh,
        "SIGTERM": _interrupt,
        "SIGHUP": _interrupt,
        "SIGTSTP": stop_for_a_while,
    }
    told = []
    for name, handler in handlers.items():
        with contextlib.suppress(AttributeError, NotImplementedError, RuntimeError):  # Windows
            loop.add_signal_handler(getattr(signal, name), handler)
            told.append(getattr(signal, name))
    try:
        yield
    finally:
        for number in told:
            loop.remove_signal_handler(number)


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)
