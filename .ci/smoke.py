"""Starts the installed `presence serve` on each backend; sends a heartbeat and reads it back."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

BEAT = {"sessionId": "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e", "currentPath": "/"}
ANSWERS_WITHIN_S = 10


def smoke(backend: str, folder: str) -> None:
    """Fails with an AssertionError, or an error of the connection."""
    environ = {"PATH": os.environ["PATH"], "HOME": folder, "PRESENCE_REDIS_URL": f"{backend}://"}
    command = Path(sys.executable).parent / "presence"
    process = subprocess.Popen(
        [command, "serve", "--port", "0"],
        cwd=folder, env=environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout)
        origin = next(word for line in lines for word in line.split() if word.startswith("http"))
        site = origin.rstrip("/.") + "/v1/sites/blog"

        def get(path: str) -> dict[str, object]:
            with urllib.request.urlopen(site + path, timeout=ANSWERS_WITHIN_S) as answer:
                found: dict[str, object] = json.load(answer)
            return found

        beat = urllib.request.Request(
            site + "/heartbeat", json.dumps(BEAT).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(beat, timeout=ANSWERS_WITHIN_S) as answer:
            told = answer.status, answer.headers["Presence-Status"]
        assert told == (204, "created"), told
        assert get("/stats")["activeVisitors"] == 1
        points = get("/history")["points"]
        assert isinstance(points, list)
        assert points
        with urllib.request.urlopen(site + "/live", timeout=ANSWERS_WITHIN_S) as stream:
            event = next(line for line in stream if line.startswith(b"event:"))
        assert event.strip() == b"event: snapshot", event
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            smoke(name, place)
        print(f"  {name}:// ok")
