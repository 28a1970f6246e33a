"""The machine and the versions of everything: figures without these mean nothing."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from service import __version__
from service.redis.embedded import find_binary

_PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "redis", "hiredis")


def describe() -> dict[str, str]:
    """The machine, the system and the versions, in words."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", _said("cat", "/proc/cpuinfo"), re.MULTILINE)
    commit = _said("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD").strip()
    commands = {"nginx": "-v", "node": "--version", str(find_binary()): "--version"}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "service": f"{__version__} at {commit}",
        "cpu": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        **{Path(name).name: _said(name, option).strip() for name, option in commands.items()},
        **{name: version(name) for name in _PACKAGES},
        "load": f"{os.getloadavg()[0]:.1f} before the run",
    }


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return done.stdout + done.stderr
