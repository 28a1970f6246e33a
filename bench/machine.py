"""The machine and the versions of everything: figures without these mean nothing."""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from service import __version__
from service.redis.embedded import find_binary

_PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "redis", "hiredis")
_COMMANDS = {
    "wrk": ["wrk", "--version"],
    "nginx": ["nginx", "-v"],
    "node": ["node", "--version"],
}


def describe() -> dict[str, str]:
    """The machine, the system and the versions, in words."""
    binary = find_binary()
    commands = dict(_COMMANDS)
    if binary is not None:
        commands["valkey"] = [str(binary), "--version"]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "service": __version__ + _commit(),
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        **{name: _first_version(command) for name, command in commands.items()},
        **{name: _package(name) for name in _PACKAGES},
        "load": f"{os.getloadavg()[0]:.1f} before the run",
    }


def _cpu_model() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _first_version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "not installed"
    found = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return f" at {done.stdout.strip()}" if done.returncode == 0 else ""
