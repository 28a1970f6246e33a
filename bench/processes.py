"""Programs as processes: pinned to a core, with the CPU time they have used."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SERVICE_CORE, LOAD_CORE = 0, 1
CORES = os.cpu_count() or 1
START_S = 20.0


def cores(core: int) -> list[str]:
    """The beginning of a command that keeps to a core."""
    return ["taskset", "--cpu-list", str(core % CORES)]


def free_port() -> int:
    """A port that nobody listens on now; below the range the kernel gives to clients."""
    while True:
        port = 10_000 + int.from_bytes(os.urandom(2)) % 12_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Program:
    """A running program: all its processes. A context manager that ends it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        core: int,
        log: Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*cores(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environ or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def cpu_s(self) -> float:
        """CPU seconds used by all its processes so far, user and system."""
        return sum(_cpu_s(pid) for pid in _tree(self._process.pid))

    def sleeps(self) -> int:
        """How often it had nothing to do and waited, so far."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    def wait_for(self, port: int) -> None:
        """Returns when it listens on the port."""
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not run:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *exc: object) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(8)
                return


def _tree(root: int) -> Iterator[int]:
    yield root
    for task in Path(f"/proc/{root}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _cpu_s(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
    except OSError:
        return 0.0
