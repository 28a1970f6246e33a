"""The browser client: its types, its own tests, and that the files that are served are those its
source makes, and small."""

import gzip
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import service
from bench import client as row
from service.api.requests.paths import clean_path
from tests.servers import missing

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"
STATIC = ROOT / "service/web/static"
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


# Feeds each path to the rules of presence-live.js as the fragment of a page with `data-hash`.
NAMED_BY_THE_CLIENT = """
import { readFileSync } from "node:fs";
const [file] = process.argv.slice(1);
globalThis.location = { hostname: "example.org" };
const { path } = await import(file);
const named = path({ site: "blog", hash: "", allowLocalhost: "" });
const names = JSON.parse(readFileSync(0, "utf8")).map((hash) => (location.hash = hash, named()));
process.stdout.write(JSON.stringify(names));
"""
PIECES = [
    *"%%%0123456789abcdefABCDEF//xz",
    *("%2f", "%2F", "%25", "%3f", "%23", "%41", "%7e", "%20", "%ff", "%Fe", "%c3", "%A9", "%e2"),
    *("%82", "%ac", "%E2%82%AC", "%c3%a9", "%C3%A9", "%f0%9f%98%80", "%ED%A0%80", "%c0%af"),
    *(
        "%F4%90%80%80",
        "%CC%81",
        "é",
        "e\u0301",
        "한",
        "\u1112\u1161\u11ab",
        "😀",
        "?",
        "#",
        "+",
        "*",
    ),
]


@pytest.mark.fault("B32")
@pytest.mark.parametrize("seed", range(3))
def test_the_client_names_a_page_as_the_service_does(seed: int) -> None:
    """Of thousands of spellings; those of one page are in tests/paths.json."""
    if (node := shutil.which("node")) is None:
        missing("node")
    pick = random.Random(seed)
    given: list[str] = []
    kept: list[str] = []
    while len(given) < 5_000:
        path = "/" + "".join(pick.choices(PIECES, k=pick.randrange(12)))
        try:
            kept.append(clean_path(path))
            given.append(path)
        except ValueError:
            pass  # nobody can be on a page of that name
    command = [
        node,
        "--input-type=module",
        "-e",
        NAMED_BY_THE_CLIENT,
        (STATIC / "presence-live.js").as_uri(),
    ]
    ran = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=True
    )
    named = json.loads(ran.stdout)
    assert [row for row in zip(given, kept, named, strict=True) if row[1] != row[2]] == []


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
