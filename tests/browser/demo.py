"""`presence serve --demo` as a process."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests import plain
from tests.servers import free_port, wait_until


@contextlib.contextmanager
def running_demo(folder: Path, redis_url: str, key_prefix: str) -> Iterator[str]:
    """Its URL, until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "service", "serve", "--demo", "--port", str(port)]
    environ = os.environ | {
        "PRESENCE_REDIS_URL": redis_url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_up(url), what="the demo")
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _is_up(url: str) -> bool:
    try:
        return plain.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
