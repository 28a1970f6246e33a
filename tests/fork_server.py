"""Processes of the service without the start of Python.

Of the 0.4 s of CPU that `python -m service` takes to begin, nearly all is imports, and the tests
begin some 500. A fork server has imported once what all of them import; each start is a fork of it,
which then does what Python does for `-m`: its environment, folder, standard streams, arguments and
signals are those that were asked for, and its exit code comes as from any other process.

    with start([sys.executable, "-m", "service", "doctor"], env=environ, cwd=folder) as process: …

Python starts what a fork could not do alike: see `start`. So it does where the start itself is
tested, which does not come here. tests/repository/test_fork_server.py compares the two.

    python -m tests.fork_server DESCRIPTOR

is the server. It answers one request after the other over that socket, and ends with it.
"""

import atexit
import functools
import gc
import importlib
import io
import itertools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, AnyStr, Literal, overload

ROOT = Path(__file__).parents[1]
# What most starts import: that of a module which one does not need changes nothing in it.
IMPORTED = (
    "service.cli.serve", "service.cli.doctor", "service.cli.sites", "service.cli.sessions",
    "service.cli.users", "service.cli.stats", "service.cli.views", "uvicorn.main",
    "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl",
    "service.redis.embedded",
)  # fmt: skip
# What no import reads, and Python's start neither, or `_open_streams` instead of it.
READ_LATER = ("PRESENCE_", "PYTEST_", "PYTHONUNBUFFERED", "TERM", "COLUMNS", "LINES")
_ENVIRON = dict(os.environ)  # no test has changed it yet
# What Python and imports read is one of these: ours, or that of a terminal in tests/cli.
_READ_BEFORE = (
    _ENVIRON,
    {name: value for name, value in _ENVIRON.items() if not name.startswith("LC_")}
    | {"PYTHONUTF8": "1"},
)
_turns = itertools.count()
_LONGEST = 1 << 17


@overload
def start(
    command: Sequence[str], *, text: Literal[True], **options: Any
) -> "subprocess.Popen[str]": ...


@overload
def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]": ...


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """As `subprocess.Popen`, of `[sys.executable, "-m", MODULE, …]`."""
    assert list(command[:2]) == [sys.executable, "-m"], command
    which = _alike(options.get("env") or os.environ)
    # uvicorn's workers are begun anew as Python was, which is another way for a fork.
    if sys.platform != "linux" or which is None or "--workers" in command:
        return subprocess.Popen(command, **options)
    return _Forked(_server(which, next(_turns) % 2), list(command), **options)


def run(
    command: Sequence[str], *, timeout: float, **options: Any
) -> "subprocess.CompletedProcess[bytes]":
    """As `subprocess.run`, which captures the output."""
    with start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _alike(environ: Mapping[str, str]) -> int | None:
    """In which of the environments all is alike that is read before a fork."""
    read = _read_before(environ)
    return next((n for n, known in enumerate(_READ_BEFORE) if _read_before(known) == read), None)


def _read_before(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(READ_LATER)}


class _Server:
    """A process that forks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(other.fileno())],
                cwd=ROOT, env=environ, stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )  # fmt: skip
        atexit.register(self._close)

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> int:
        """The number of the new process."""
        return self._ask(request, descriptors)[0]

    def reap(self, process: int) -> tuple[int, int]:
        """As `os.waitpid` with WNOHANG."""
        number, status = self._ask({"reap": process})
        return number, status

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> list[int]:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            if not (answer := self._socket.recv(_LONGEST)):
                raise ConnectionResetError("the fork server has ended")
        return list(json.loads(answer))

    def _close(self) -> None:
        self._socket.close()
        self._process.wait(20)


@functools.cache
def _server(which: int, turn: int) -> _Server:
    """Two of a kind take turns: forks of one have the same hashes of texts, by which copies of the
    service might agree that would not otherwise."""
    return _Server(_READ_BEFORE[which])


class _Forked(subprocess.Popen[AnyStr]):
    """Its parent is the fork server: that starts it, and waits for it."""

    def __init__(
        self,
        server: _Server,
        command: list[str],
        *,
        start_new_session: bool = False,
        **options: Any,
    ) -> None:
        self._server = server
        self._has_session = start_new_session
        super().__init__(command, **options)

    def _execute_child(
        self, args: list[str], executable: None, preexec_fn: None, close_fds: bool,
        pass_fds: tuple[int, ...], cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None, startupinfo: None, creationflags: int, shell: bool,
        p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int, errread: int, errwrite: int,
        *_: object,
    ) -> None:  # fmt: skip
        assert not any((executable, preexec_fn, pass_fds, shell))
        request = {
            "arguments": args[2:],
            "folder": os.path.abspath(cwd or os.curdir),
            "environ": dict(os.environ if env is None else env),
            "has_session": self._has_session,
        }
        streams = (p2cread, c2pwrite, errwrite)
        try:
            self.pid = self._server.fork(
                request, [own if given == -1 else given for own, given in enumerate(streams)]
            )
            self._child_created = True
        finally:
            self._close_pipe_fds(  # type: ignore[attr-defined]
                p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite
            )

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if not wait_flags & os.WNOHANG:
            descriptor = os.pidfd_open(self.pid)  # of this very process, until it is reaped
            try:
                select.select([descriptor], [], [])
            finally:
                os.close(descriptor)
        return self._server.reap(self.pid)

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        lock: threading.Lock = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(blocking=False):
            try:
                number, status = self._try_wait(os.WNOHANG)
                if number:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            except OSError:  # its server has ended before it was forgotten
                if _deadstate is None:
                    raise
                self.returncode = _deadstate
            finally:
                lock.release()
        return self.returncode


# In the server


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Answers requests; what is asked of a process in it, and None in the server at its end."""
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 3)
        except KeyboardInterrupt:  # for pytest, which ends what it has started
            continue
        if not data:
            return None
        request: dict[str, Any] = json.loads(data)
        if "reap" in request:
            answer = os.waitpid(request["reap"], os.WNOHANG)
        elif number := os.fork():
            answer = (number, 0)
        else:
            requests.close()
            _become(request, descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(json.dumps(answer).encode())


def _become(request: dict[str, Any], descriptors: Sequence[int]) -> None:
    """What Python and `subprocess` do before the first line of a module runs."""
    if request["has_session"]:
        os.setsid()
    for own, given in enumerate(descriptors):
        os.dup2(given, own)
        os.close(given)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.path[0] = request["folder"]
    sys.argv[:] = request["arguments"]
    _open_streams(is_buffered=not os.environ.get("PYTHONUNBUFFERED"))


def _open_streams(is_buffered: bool) -> None:
    """As Python does at its start: what is a terminal is known only now."""
    for own, name in enumerate(("stdin", "stdout", "stderr")):
        before: io.TextIOWrapper = getattr(sys, name)
        mode = "wb" if own else "rb"
        buffer = open(own, mode, buffering=-1 if is_buffered or not own else 0, closefd=False)  # noqa: SIM115
        raw: Any = getattr(buffer, "raw", buffer)
        raw.name = f"<{name}>"
        stream = io.TextIOWrapper(
            buffer,
            before.encoding,
            before.errors,
            newline="\n",
            line_buffering=is_buffered and (own == 2 or buffer.isatty()),
            write_through=not is_buffered,
        )
        vars(stream)["mode"] = mode[0]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # else the first collection in a fork copies all that is shared
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        request = _serve(_requests)
    if request is not None:
        # Out here, that exceptions end it as they end a program.
        runpy.run_module(request["arguments"][0], run_name="__main__", alter_sys=True)
