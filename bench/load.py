"""wrk, and what it says."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import mix
from bench.processes import LOAD_CORE, cores

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("heartbeats.lua")


@dataclass(frozen=True)
class Load:
    """What to send: a file of `bench.mix`, how many records travel in one request, and from how
    many generators, which share the connections and take the records in turn."""

    records: Path
    per_request: int = 1
    connections: int = CONNECTIONS
    generators: int = 1


@dataclass(frozen=True)
class Replies:
    """What came back in one run."""

    requests: int
    seconds: float
    bad_status: int
    socket_errors: int

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds

    @property
    def is_valid(self) -> bool:
        """Whether each request was answered, and none with a refusal."""
        return self.requests > 0 and not self.bad_status and not self.socket_errors


class Wrk:
    """Sends a load to one port; each call goes on where the last one ended."""

    def __init__(self, port: int, load: Load, on: Sequence[str] = ()) -> None:
        self._port = port
        self._load = load
        self._on = on or cores(LOAD_CORE)
        self.next_record = 0  # the first of the next run

    def run(self, seconds: float) -> Replies:
        """As fast as it is answered, for so long.

        Raises:
            RuntimeError: wrk failed.
        """
        load = self._load
        begun = [
            subprocess.Popen(
                self._command(number, seconds),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number in range(load.generators)
        ]
        said = []
        for process in begun:
            printed, _ = process.communicate()
            _, mark, line = printed.rpartition("RESULT ")
            if process.returncode or not mark:
                raise RuntimeError(f"wrk: {printed[-500:]}")
            said.append(json.loads(line))
        requests, bad, errors = (
            sum(row[name] for row in said) for name in ("requests", "bad_status", "socket_errors")
        )
        self.next_record += (requests + load.connections) * load.per_request
        return Replies(requests, max(row["duration_us"] for row in said) / 1e6, bad, errors)

    def _command(self, number: int, seconds: float) -> list[str]:
        load = self._load
        return [
            *self._on, "wrk", "--threads", "1",
            "--connections", str(load.connections // load.generators),
            "--duration", f"{max(1, round(seconds))}s", "--timeout", "5s",
            "--script", str(_SCRIPT), f"http://127.0.0.1:{self._port}/", "--",
            str(load.records), str(self.next_record + number), str(mix.SITE_LENGTH),
            str(mix.RECORD_LENGTH), str(load.per_request), mix.AGENT, mix.ORIGIN,
            str(load.generators)
        ]  # fmt: skip
