"""Packages of npm for tests, as the lock files of client/ and client/apps/ say, and the client as
npm would publish it."""

import contextlib
import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import missing

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "client"
APPS = CLIENT / "apps"
OLDEST_NODE = 20


def run(*command: str, cwd: Path) -> str:
    """What a command prints; the test fails with it where the command does."""
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "0"}
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if ran.returncode:
        pytest.fail(f"{' '.join(command)}:\n{ran.stdout}\n{ran.stderr}", pytrace=False)
    return ran.stdout


def install(folder: Path) -> None:
    """Installs what a lock file says, where that is not there yet; skips or fails without npm."""
    _check_node()
    with _alone(folder):
        if not _is_installed(folder):
            run("npm", "ci", "--no-audit", "--no-fund", cwd=folder)


@functools.cache
def _check_node() -> None:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None or _version(node) < OLDEST_NODE:
        missing(f"node of version {OLDEST_NODE} or later, with npm,")


def _version(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.lstrip("v").partition(".")[0])


def _is_installed(folder: Path) -> bool:
    """Whether every package is there in its version; what is optional is for other machines."""
    try:
        there = _packages(folder / "node_modules" / ".package-lock.json")
    except FileNotFoundError:
        return False
    return all(
        there.get(name, {}).get("version") == package["version"]
        for name, package in _packages(folder / "package-lock.json").items()
        if name and not package.get("optional")
    )


def _packages(lock: Path) -> dict[str, dict[str, object]]:
    packages: dict[str, dict[str, object]] = json.loads(lock.read_text())["packages"]
    return packages


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other worker installs into the same folder meanwhile."""
    name = "presence-npm" + str(folder).replace("/", "-")
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pack(folder: Path) -> Path:
    """The client as npm publishes it, unpacked in `folder/package`; the packed file is
    `folder/packed.tgz`. Made from a copy, for another test may be packing too."""
    install(CLIENT)
    copy = folder / "copy" / "client"
    left_out = shutil.ignore_patterns("node_modules", "dist", "apps", "test")
    shutil.copytree(CLIENT, copy, ignore=left_out)
    (copy / "node_modules").symlink_to(CLIENT / "node_modules")
    (folder / "copy" / "service").symlink_to(ROOT / "service")
    run("npm", "pack", "--pack-destination", str(folder), cwd=copy)
    [packed] = folder.glob("presence-client-*.tgz")
    packed = packed.rename(folder / "packed.tgz")
    shutil.unpack_archive(packed, folder, filter="data")
    return folder / "package"
