"""Runs commands on a real terminal of a given size."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fork_server import start

CLEAN = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("PRESENCE_", "LC_")) and key not in ("COLUMNS", "LINES", "NO_COLOR")
}
_ENTER, _LEAVE, _SHOW_CURSOR, _HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h", "\x1b[H"


@dataclass
class Terminal:
    """A command on a terminal, and all that it has written there."""

    process: "subprocess.Popen[bytes]"
    descriptor: int
    raw: bytes = b""
    encoding: str = "utf-8"

    def resize(self, columns: int, lines: int) -> None:
        """As when somebody drags the window's corner: the kernel sends SIGWINCH."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)
        self.process.send_signal(signal.SIGWINCH)  # it is not the session's leader everywhere

    def read_until(self, condition: "str | re.Pattern[str]", within_s: float = 60) -> str:
        """Reads until a text, or what matches a pattern, is there; what has been written."""
        pattern = re.compile(re.escape(condition)) if isinstance(condition, str) else condition
        self.read_while(lambda: not pattern.search(self.text), within_s)
        return self.text

    def read_while(self, condition: Callable[[], bool], within_s: float = 60) -> None:
        """Reads as long as a condition holds; that it does for long is a failure."""
        end = time.monotonic() + within_s
        while condition():
            assert time.monotonic() < end, f"it is not to be seen in {self.text!r}"
            assert self._read(0.2), f"ended: {self.text!r}"

    def finish(self, number: int | None = None) -> int:
        """Reads to the end, after a signal if one is given; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        while self._read(60):
            pass
        return self.process.wait(30)

    def _read(self, within_s: float) -> bool:
        if not select.select([self.descriptor], [], [], within_s)[0]:
            return True
        with contextlib.suppress(OSError):  # how Linux tells that nobody has the other end
            data = os.read(self.descriptor, 65_536)
            self.raw += data
            return bool(data)
        return False

    @property
    def text(self) -> str:
        """What was written, with its escape sequences."""
        return self.raw.decode(self.encoding, "replace").replace("\r\n", "\n")

    @property
    def plain(self) -> str:
        """What was written, without colours."""
        return plain(self.text)

    @property
    def lines(self) -> list[str]:
        """Its lines, without colours."""
        return self.plain.splitlines()

    @property
    def frames(self) -> list[list[str]]:
        """What was drawn on the second screen, frame by frame, each whole."""
        inside, _, after = self.text.partition(_ENTER)[2].partition(_LEAVE)
        frames = inside.split(_HOME)
        whole = frames if after else frames[:-1]
        return [plain(frame).split("\n") for frame in whole if plain(frame).strip()]

    @property
    def is_restored(self) -> bool:
        """Whether the second screen was left as often as it was entered, and the cursor shown."""
        text = self.text
        return (
            text.count(_ENTER) == text.count(_LEAVE)
            and text.rfind(_LEAVE) >= text.rfind(_ENTER)
            and text.rfind(_SHOW_CURSOR) > text.rfind("\x1b[?25l")
        )


def plain(text: str) -> str:
    """A text without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@contextlib.contextmanager
def on_terminal(
    *args: str, environ: dict[str, str], cwd: Path, size: tuple[int, int] = (100, 30)
) -> Iterator[Terminal]:
    """A command whose stdin, stdout and stderr are a terminal of so many columns and lines."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    with start(
        [sys.executable, "-m", "service", *args],
        cwd=cwd, stdin=child, stdout=child, stderr=child,
        env=CLEAN | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environ,
    ) as process:  # fmt: skip
        os.close(child)
        try:
            yield Terminal(process, parent, encoding=environ.get("PYTHONIOENCODING", "utf-8"))
        finally:
            process.kill()
            os.close(parent)


def shown_on_terminal(
    *args: str, environ: dict[str, str], cwd: Path, size: tuple[int, int] = (100, 30)
) -> list[str]:
    """The lines of a command that has ended well."""
    with on_terminal(*args, environ=environ, cwd=cwd, size=size) as terminal:
        code = terminal.finish()
        assert code == 0, terminal.text
        return terminal.lines
