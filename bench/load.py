"""wrk, and what it says."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench import mix
from bench.processes import LOAD_CORE, cores

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("heartbeats.lua")


@dataclass(frozen=True)
class Load:
    """What to send: a file of `bench.mix`, and how many records travel in one request."""

    records: Path
    per_request: int = 1
    connections: int = CONNECTIONS
    record_length: int = mix.RECORD_LENGTH
    by_proxy: bool = False  # each tells another's address: no two heads are alike


@dataclass(frozen=True)
class Replies:
    """What came back in one run."""

    requests: int
    seconds: float
    bad_status: int
    socket_errors: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def is_valid(self) -> bool:
        """Whether each request was answered, and none with a refusal."""
        return self.requests > 0 and not self.bad_status and not self.socket_errors


class Wrk:
    """Sends a load to one port; each call goes on where the last one ended."""

    def __init__(self, port: int, load: Load) -> None:
        self._port = port
        self._load = load
        self.next_record = 0  # the first of the next run

    def run(self, seconds: float) -> Replies:
        """As fast as it is answered, for so long."""
        load = self._load
        done = subprocess.run(self._command(seconds), capture_output=True, text=True)
        _, mark, line = done.stdout.rpartition("RESULT ")
        if done.returncode or not mark:
            raise RuntimeError(f"wrk: {done.stdout[-500:]}{done.stderr[-500:]}")
        said = json.loads(line)
        requests, errors = said["requests"], said["socket_errors"]
        self.next_record += (requests + load.connections) * load.per_request
        return Replies(requests, said["duration_us"] / 1e6, said["bad_status"], errors)

    def _command(self, seconds: float) -> list[str]:
        load = self._load
        return [
            *cores(LOAD_CORE), "wrk", "--threads", "1",
            "--connections", str(load.connections),
            "--duration", f"{max(1, round(seconds))}s", "--timeout", "5s",
            "--script", str(_SCRIPT), f"http://127.0.0.1:{self._port}/", "--",
            str(load.records), str(self.next_record), str(mix.SITE_LENGTH),
            str(load.record_length), str(load.per_request), mix.AGENT, mix.ORIGIN,
            str(int(load.by_proxy))
        ]  # fmt: skip
