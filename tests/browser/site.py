"""The real service as a process that can be stopped and started, and visitors of it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests import plain
from tests.fork_server import start
from tests.servers import free_port, wait_until

# Short times, so that a test sees a visitor time out; no limits, for all come from one address.
QUICK = {
    "LIVE_TICK": "0.1",
    "SESSION_TIMEOUT": "4",
    "HEARTBEAT_INTERVAL": "1",
    "HEARTBEAT_DEDUP": "0.3",
    "LEAVE_GRACE": "0.3",
    "NEW_SESSIONS_PER_MINUTE": "0",
    "REQUESTS_PER_SECOND": "0",
    "LOG_LEVEL": "warning",
}


class LiveService:
    """`presence serve` on one port, that it keeps over restarts.

    Args:
        folder: where it runs, and its log `log` is.
        redis_url: its Redis.
        settings: without the prefix PRESENCE_, over those of `QUICK`.
    """

    program: tuple[str, ...] = ("-m", "service")  # what Python runs

    def __init__(self, folder: Path, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("PRESENCE_")}
        chosen = QUICK | {"REDIS_URL": redis_url} | settings
        self._environ |= {f"PRESENCE_{name}": value for name, value in chosen.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._http = plain.Client(base_url=self.url, timeout=10)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    @property
    def process_id(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "LiveService":
        """Starts it and waits until it is ready."""
        with (self.folder / "log").open("ab") as log:
            self._process = start(
                [sys.executable, *self.program, "serve", "--port", str(self.port)],
                cwd=self.folder, env=self._environ, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._is_ready, what=f"the service on port {self.port}")
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the service has ended: {self.log[-2000:]}")
        with contextlib.suppress(httpx.HTTPError):
            return self._http.get("/livez").status_code == 200
        return False

    def stop(self) -> None:
        """SIGTERM, and waits for its end."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP, until the end of the block: its connections stay, and nothing comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it for good."""
        self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def get(self, path: str, **headers: str) -> httpx.Response:
        """An answer, whatever its status."""
        return self._http.get(path, headers=headers)

    def visitor(self, site: str = "blog", **details: Any) -> "Visitor":
        """Somebody new, who is not there until the first beat. `details` go with each beat."""
        return Visitor(self._http, site, details)

    def beat_all(self, site: str, beats: list[dict[str, Any]], token: str = "") -> None:
        """Many heartbeats in one request, each with at least `currentPath`."""
        bodies = [{"sessionId": str(uuid.uuid4()), **beat} for beat in beats]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for at in range(0, len(bodies), 1000):
            answer = self._http.post(
                f"/v1/sites/{site}/heartbeats",
                json={"heartbeats": bodies[at : at + 1000]},
                headers=headers,
            )
            assert answer.status_code == 200, answer.text


class Visitor:
    """One session, that a test moves about."""

    def __init__(self, http: httpx.Client, site: str, details: dict[str, Any]) -> None:
        self.id = str(uuid.uuid4())
        self.path = "/"
        self._http = http
        self._site = site
        self._details = details

    def at(self, path: str) -> "Visitor":
        """Is on a page now."""
        self.path = path
        return self.beat()

    def beat(self) -> "Visitor":
        """Is still there."""
        body = {"sessionId": self.id, "currentPath": self.path, **self._details}
        answer = self._http.post(f"/v1/sites/{self._site}/heartbeat", json=body)
        assert answer.status_code == 204, answer.text
        return self

    def leave(self) -> None:
        """Says goodbye."""
        answer = self._http.post(f"/v1/sites/{self._site}/leave", json={"sessionId": self.id})
        assert answer.status_code == 204, answer.text


@contextlib.contextmanager
def running(folder: Path, redis_url: str, **settings: str) -> Iterator[LiveService]:
    """A service that runs until the end of the block."""
    service = LiveService(folder, redis_url, **settings)
    try:
        yield service.start()
    finally:
        service.close()


def numbers_in(text: str) -> list[int]:
    """The whole numbers in a text; grouping commas are no ends of numbers."""
    return [int(found) for found in re.findall(r"\d+", text.replace(",", ""))]
