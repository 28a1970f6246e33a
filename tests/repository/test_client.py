"""The browser client: its types, its own tests, and that the files that are served are those its
source makes, and small."""

import gzip
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import service
from bench import client as row
from service.api.requests.paths import clean_path
from tests import npm
from tests.servers import missing

ROOT = Path(__file__).parents[2]
CLIENT = npm.CLIENT
STATIC = ROOT / "service/web/static"


@pytest.fixture(scope="module")
def packages() -> None:
    """Everything the client's build and tests need, as the lock file says."""
    npm.install(CLIENT)


@pytest.mark.usefixtures("packages")
@pytest.mark.timeout(600)
def test_types() -> None:
    npm.run("npx", "--no-install", "tsc", "--noEmit", cwd=CLIENT)


@pytest.mark.usefixtures("packages")
@pytest.mark.timeout(600)
def test_the_built_files_are_up_to_date_and_small() -> None:
    npm.run("node", "build.mjs", "--check", cwd=CLIENT)


@pytest.mark.usefixtures("packages")
def test_the_sizes_in_the_readme_are_measured() -> None:
    npm.run("node", "sizes.mjs", "--check", cwd=CLIENT)


@pytest.mark.usefixtures("packages")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_vitest() -> None:
    printed = npm.run("npx", "--no-install", "vitest", "run", cwd=CLIENT)
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


@pytest.mark.parametrize("folder", [CLIENT, npm.APPS], ids=["client", "apps"])
def test_the_package_lock_names_no_registry(folder: Path) -> None:
    assert "resolved" not in (folder / "package-lock.json").read_text()


@pytest.mark.parametrize("folder", [CLIENT, npm.APPS], ids=["client", "apps"])
def test_every_package_has_one_version(folder: Path) -> None:
    versions = json.loads((folder / "package.json").read_text())["devDependencies"]
    assert [name for name, version in versions.items() if not version[0].isdigit()] == []
