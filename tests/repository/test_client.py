"""The browser client: its types, its own tests, and that the files that are served are those its
source makes, and small."""

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import service
from bench import client as row
from tests.servers import missing

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"
NEWEST_NEEDED = 20


@pytest.fixture(scope="module")
def packages() -> None:
    """Everything the client's build and tests need, as the lock file says."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or _version(node) < NEWEST_NEEDED:
        missing(f"node of version {NEWEST_NEEDED} or later, with npm,")
    if not (CLIENT / "node_modules" / ".package-lock.json").exists():
        run("npm", "ci", "--no-audit", "--no-fund")


def _version(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.lstrip("v").partition(".")[0])


def run(*command: str) -> str:
    """What a command in client/ prints; the test fails with it where the command does."""
    environment = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "0"}
    ran = subprocess.run(command, cwd=CLIENT, env=environment, capture_output=True, text=True)
    if ran.returncode:
        pytest.fail(f"{' '.join(command)}:\n{ran.stdout}\n{ran.stderr}", pytrace=False)
    return ran.stdout


@pytest.mark.usefixtures("packages")
@pytest.mark.timeout(600)
def test_types() -> None:
    run("npx", "--no-install", "tsc", "--noEmit")


@pytest.mark.usefixtures("packages")
@pytest.mark.timeout(600)
def test_the_built_files_are_up_to_date_and_small() -> None:
    run("node", "build.mjs", "--check")


@pytest.mark.usefixtures("packages")
@pytest.mark.timeout(600)
def test_vitest() -> None:
    printed = run("npx", "--no-install", "vitest", "run")
    assert re.search(r"Tests +[0-9]+ passed", printed), printed


def test_the_script_is_within_its_bars() -> None:
    """Without node: the files are committed."""
    script = row.SCRIPT.read_bytes()
    assert len(script) <= row.MOST_BYTES
    assert len(gzip.compress(script, 9, mtime=0)) <= row.MOST_GZIP_BYTES


def test_the_version_is_that_of_the_service() -> None:
    version = service.__version__
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    assert json.loads((CLIENT / "package.json").read_text())["version"] == version
    assert lock["version"] == lock["packages"][""]["version"] == version
    assert f"presence-client-{version}.tgz" in (CLIENT / "README.md").read_text()


def test_the_package_lock_names_no_registry() -> None:
    assert "resolved" not in (CLIENT / "package-lock.json").read_text()
