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
    commands = {"wrk": "--version", "nginx": "-v", "node": "--version"}
    versions = {name: _said(name, option) for name, option in commands.items()}
    versions["valkey"] = _said(str(find_binary()), "--version")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "service": f"{__version__} at {commit}",
        "cpu": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{
            name: found[0] if (found := re.search(r"\d+\.\d+(?:\.\d+)*", said)) else "not installed"
            for name, said in versions.items()
        },
        **{name: version(name) for name in _PACKAGES},
        "load": f"{os.getloadavg()[0]:.1f} before the run",
    }


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return done.stdout + done.stderr
