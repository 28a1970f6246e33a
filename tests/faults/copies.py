"""Copies of the real service, each a process of its own as `presence serve` runs it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import plain, servers
from tests.fork_server import start
from tests.servers import free_port, wait_until

ADMIN_TOKEN = "operator-of-the-fault-tests"
# Long times, so that what a heartbeat is answered does not depend on how fast the machine is:
# within a test no session expires, and no repeat is a sign of life.
SETTINGS = {
    "HEARTBEAT_INTERVAL": "3600",
    "HEARTBEAT_DEDUP": "3000",
    "SESSION_TIMEOUT": "8000",
    "VIEW_DEDUP": "8000",
    "NEW_SESSIONS_PER_MINUTE": "0",
    "REQUESTS_PER_SECOND": "0",
    "EVENTS_MAXLEN": "1000000",
    "VIEWS_MAXLEN": "1000000",
    "ADMIN_TOKEN": ADMIN_TOKEN,
}


class Copy:
    """One `presence serve`. Its log is kept until `close`."""

    def __init__(self, url: str, **settings: str) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="presence-copy-"))
        self.environ = environ_of(url, **settings)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Copy":
        """Starts it; `wait` says when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = start(
                [sys.executable, "-m", "service", "serve", "--port", str(self.port)],
                env=self.environ,
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
            )
        return self

    def wait(self) -> None:
        """Waits until it answers."""
        wait_until(self._is_up, 30, f"a copy on port {self.port}")

    def _is_up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"a copy has ended: {self.log[-1000:]}")
        return plain.get(f"{self.url}/livez").status_code == 200

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has printed."""
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> float:
        """SIGTERM; how long it took to end, in seconds."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process = None
        return time.monotonic() - started

    def close(self) -> None:
        """Ends it and forgets its log."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def environ_of(url: str, **settings: str) -> dict[str, str]:
    """The environment of a copy, or of a command that looks at what copies have written."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    given = SETTINGS | {"REDIS_URL": url} | settings
    return plain | {f"PRESENCE_{name}": value for name, value in given.items()}


@contextlib.contextmanager
def copies(count: int, url: str, **settings: str) -> Iterator[list[Copy]]:
    """Several copies on one Redis, all of them answering."""
    made = [Copy(url, **settings) for _ in range(count)]
    try:
        for copy in made:
            copy.start()
        for copy in made:
            copy.wait()
        yield made
    finally:
        for copy in made:
            copy.close()


@contextlib.contextmanager
def balanced(made: list[Copy]) -> Iterator[int]:
    """The port of an nginx before copies: a request that one cannot answer goes to another, if
    it is one that may be sent twice, as a heartbeat is."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not binary:
        servers.missing("nginx")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="presence-nginx-"))
    upstream = "".join(f"server 127.0.0.1:{copy.port} max_fails=0;" for copy in made)
    (folder / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
          access_log off;
          client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          upstream presence {{ {upstream} keepalive 64; }}
          server {{
            listen 127.0.0.1:{port};
            location / {{
              proxy_pass http://presence; proxy_http_version 1.1; proxy_set_header Connection "";
              proxy_next_upstream error timeout non_idempotent; proxy_connect_timeout 1s;
            }}
          }}
        }}"""
    )
    process = subprocess.Popen(
        [str(binary), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    )
    try:
        wait_until(lambda: plain.get(f"http://127.0.0.1:{port}/livez").status_code == 200)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
