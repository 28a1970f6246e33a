"""What tests/fork_server.py forks is as Python would have started it."""

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import fork_server
from tests.fork_server import IMPORTED, READ_LATER, start
from tests.servers import wait_until

Start = Callable[..., Any]

# All that the start of Python and `subprocess` decide.
SEEN = """
import builtins, gc, io, json, os, signal, sys, threading

def stream(name):
    it = getattr(sys, name)
    raw = it.buffer if isinstance(it.buffer, io.RawIOBase) else it.buffer.raw
    return [it.fileno(), it.encoding, it.errors, it.newlines, it.mode, it.line_buffering,
            it.write_through, it.isatty(), it.name, type(it.buffer).__name__, type(raw).__name__,
            it.closed, it is getattr(sys, f"__{name}__")]

print(json.dumps({
    "__name__": __name__,
    "is __main__": sys.modules["__main__"].__dict__ is globals(),
    "spec": __spec__.name,
    "argv": sys.argv,
    "path": sys.path,
    "folder": os.getcwd(),
    "environ": dict(os.environ),
    "streams": [stream(name) for name in ("stdin", "stdout", "stderr")],
    "stdin": sys.stdin.read(),
    "signals": {n: str(signal.getsignal(n)).partition(" at ")[0] for n in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "leads a session": os.getsid(0) == os.getpid(),
    "group": os.getpgid(0) == os.getpid() or os.getpgid(0),
    "umask": os.umask(0o22),
    "descriptors": [n for n in range(256) if os.path.exists(f"/proc/self/fd/{n}")],
    "threads": [threading.active_count(), threading.current_thread().name],
    "flags": str(sys.flags), "gc": [gc.isenabled(), gc.get_threshold()],
    "excepthook": sys.excepthook is sys.__excepthook__,
}))
print("to stderr", file=sys.stderr)
"""


def told(how: Start, folder: Path, **options: Any) -> Any:
    """What SEEN tells, where it is started so."""
    # Of Python's, for readline writes into C's, where it has been imported.
    options = {"env": dict(os.environ)} | options
    (folder / "seen.py").write_text(SEEN)
    command = [sys.executable, "-m", "seen", "one", "--two"]
    with how(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **options,
    ) as process:  # fmt: skip
        given = "what was given" if options.get("text") else b"what was given"
        out, err = process.communicate(given, timeout=60)
    assert process.returncode == 0, err
    assert err in ("to stderr\n", b"to stderr\n")
    return json.loads(out)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"text": True},
        {"start_new_session": True},
        {"env": {**os.environ, "PYTHONUNBUFFERED": "1", "PRESENCE_PORT": "1", "COLUMNS": "3"}},
        {"env": {k: v for k, v in os.environ.items() if not k.startswith(("TERM", "PYTHONUNBUF"))}},
    ],
)  # fmt: skip
def test_a_module_finds_itself_alike(tmp_path: Path, options: dict[str, Any]) -> None:
    forked = told(start, tmp_path, **options)
    assert forked == told(subprocess.Popen, tmp_path, **options)
    assert forked["stdin"] == "what was given"
    assert forked["folder"] == forked["path"][0] == str(tmp_path)


def test_on_a_terminal_it_finds_itself_alike(tmp_path: Path) -> None:
    import pty

    (tmp_path / "seen.py").write_text(SEEN.replace("sys.stdin.read()", "''"))
    seen = []
    for how in (start, subprocess.Popen):
        parent, child = pty.openpty()
        command = [sys.executable, "-m", "seen"]
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        with how(
            command, cwd=tmp_path, env=environ, stdin=child, stdout=child, stderr=child
        ) as process:
            os.close(child)
            printed = b""
            while b"to stderr\r\n" not in printed:
                printed += os.read(parent, 65_536)
            assert process.wait(60) == 0
        os.close(parent)
        seen.append(json.loads(printed.splitlines()[0]))
    assert seen[0] == seen[1]
    assert [stream[7] for stream in seen[0]["streams"]] == [True, True, True]


@pytest.mark.parametrize(
    "line, code",
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('why')", 1),
        ("raise ValueError('why')", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
        ("os._exit(4)", 4),
        ("import atexit; atexit.register(print, 'at the end')", 0),
        ("threading.Thread(target=lambda: (time.sleep(0.1), print('a thread'))).start()", 0),
        ("print('not flushed yet', end='')", 0),
    ],
)
def test_it_ends_alike(tmp_path: Path, line: str, code: int) -> None:
    (tmp_path / "ending.py").write_text(f"import os, signal, sys, threading, time\n{line}\n")
    ended = []
    for how in (start, subprocess.Popen):
        with how(
            [sys.executable, "-m", "ending"], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            out, err = process.communicate(timeout=60)
            ended.append((process.returncode, out, err.splitlines()[-1:]))
    assert ended[0] == ended[1]
    assert ended[0][0] == code


def test_it_is_waited_for_and_ended_alike(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text("import time\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "waiting"]
    for how in (start, subprocess.Popen):
        process = how(command, cwd=tmp_path)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        os.kill(process.pid, 0)
        process.send_signal(signal.SIGSTOP)
        assert process.poll() is None
        process.kill()
        # Its number is nobody else's until it has been waited for.
        wait_until(functools.partial(has_ended, process.pid), what="its end")
        assert process.wait() == process.wait(1) == process.poll() == -signal.SIGKILL
        assert not Path(f"/proc/{process.pid}").exists()
        process.send_signal(signal.SIGTERM)  # nobody is there any more


def has_ended(process: int) -> bool:
    """Whether nobody has waited for it yet."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_two_in_turn_have_other_hashes_of_texts(tmp_path: Path) -> None:
    (tmp_path / "hashes.py").write_text("print(hash('blog'))\n")
    hashes = [
        fork_server.run([sys.executable, "-m", "hashes"], cwd=tmp_path, timeout=60).stdout
        for _ in range(2)
    ]
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    "environ, arguments",
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, []),
        ({"PYTHONIOENCODING": "ascii"}, []),
        ({"LANG": "tlh"}, []),
        ({"PROMETHEUS_MULTIPROC_DIR": "/tmp"}, []),
        ({}, ["serve", "--workers", "2"]),
    ],
)
def test_what_a_fork_cannot_do_python_starts(environ: dict[str, str], arguments: list[str]) -> None:
    command = [sys.executable, "-m", "service", *arguments, "--help"]
    given = {"env": os.environ | environ, "stdout": subprocess.PIPE}
    with start(command, **given) as process:
        assert type(process) is subprocess.Popen
        assert process.communicate(timeout=60)[0].startswith(b"Usage")


def test_elsewhere_python_starts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with start([sys.executable, "-m", "service", "-V"], stdout=subprocess.PIPE) as process:
        monkeypatch.undo()
        assert type(process) is subprocess.Popen
        process.communicate(timeout=60)


# Every look at the environment is written down while what a fork server imports is imported.
LOOKING = """
import importlib, os, sys
import wsgiref.handlers  # copies all of it, for CGI
looked = []
class Watched(type(os.environ)):
    def __getitem__(self, name):
        looked.append(name)
        return super().__getitem__(name)
    def __contains__(self, name):
        looked.append(name)
        return super().__contains__(name)
    def __iter__(self):
        names = list(super().__iter__())
        looked.extend(names)
        return iter(names)
os.environ.__class__ = Watched
for module in sys.argv[1:]:
    importlib.import_module(module)
print("\\n".join(set(looked)))
"""


def test_no_import_reads_what_may_be_another_for_each_start() -> None:
    """What an import reads stays as it was for the fork server."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKING, *IMPORTED],
        env=os.environ | {"PRESENCE_PORT": "1", "COLUMNS": "80", "TERM": "xterm"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    looked = done.stdout.split()
    assert "PROMETHEUS_MULTIPROC_DIR" in looked  # so it would notice
    assert not [name for name in looked if name.startswith(READ_LATER)]
