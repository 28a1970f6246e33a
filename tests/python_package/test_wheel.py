"""The package: small, typed, and it runs by itself on each Python, with old and new httpx."""

import ast
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import service
from tests.python_package.test_background import PYTHON
from tests.repository.test_package import run, uv

PACKAGE = PYTHON / "presence_api"
PROJECT = tomllib.loads((PYTHON / "pyproject.toml").read_text())["project"]
MOST_LINES = 300

# Everything once, where nothing listens: what is imported and called is there in this httpx.
USED = """
import asyncio, json, sys, time, warnings
warnings.simplefilter("error")
import httpx
from presence_api import (
    AsyncPresence, Background, Presence, UnavailableError, WebhookError, user_token, verify_webhook,
)

answers = {"heartbeats": {"results": ["created"], "errors": []}}

def answer(request):
    body = json.loads(request.content)
    assert request.headers["authorization"] == "Bearer token", request.headers
    assert body == {"heartbeats": [{"sessionId": "s" * 16, "currentPath": "/é", "city": "Zoë"}]}
    return httpx.Response(200, json=answers[request.url.path.rpartition("/")[2]])

transport = httpx.MockTransport(answer)
site = ("http://127.0.0.1:9/_p/", "team", "token")
with (client := Presence(*site, transport=transport)).http:
    assert client.beat("s" * 16, "/é", city="Zoë") == "created"

async def main():
    async with (client := AsyncPresence(*site, transport=transport)).http:
        return await client.beat("s" * 16, "/é", city="Zoë")

assert asyncio.run(main()) == "created"
with (client := Presence(*site)).http:
    try:
        client.users()
    except UnavailableError as error:
        assert "no answer" in str(error)
background = Background(*site)
background.beat("key", "/")
background.close()
assert user_token("a secret of thirty-two bytes, or more", "team", "anna").count(".") == 2
try:
    verify_webhook(b"{}", {}, ["whsec_AAAA"])
except WebhookError:
    print(json.dumps([httpx.__version__, list(sys.version_info[:2])]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as it is built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder, PYTHON)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_it_is_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")) <= MOST_LINES


def test_what_is_in_the_wheel(built: Path) -> None:
    names = set(zipfile.ZipFile(built).namelist())
    assert {f"presence_api/{path.name}" for path in PACKAGE.glob("*.py")} <= names
    assert "presence_api/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {
        "presence_api", f"presence_api-{service.__version__}.dist-info",
    }  # fmt: skip


def test_it_is_of_the_service() -> None:
    assert PROJECT["version"] == service.__version__
    minors = [name.rpartition(".")[2] for name in PROJECT["classifiers"] if " :: 3." in name]
    assert minors == ["11", "12", "13"]
    imported = {
        node.module
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert not [name for name in imported if str(name).startswith("service")]


def interpreter(version: str) -> str:
    """The Python of a version; skips where there is none."""
    if version == f"3.{sys.version_info.minor}":
        return sys.executable
    # Those of pyenv are not in PATH, but for the one that it is set to.
    for found in Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"):
        return str(found)
    asked = ["uv", "python", "find", "--no-project", "--no-python-downloads", version]
    answer = subprocess.run(asked, capture_output=True, text=True)
    if answer.returncode:
        pytest.skip(f"Python {version} is not installed")
    return answer.stdout.strip()


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_it_runs_by_itself(built: Path, tmp_path: Path, version: str, resolution: str) -> None:
    python = tmp_path / "venv/bin/python"
    uv("venv", "--quiet", "--no-project", "--python", interpreter(version), tmp_path / "venv")
    # --no-config: without the exact versions.
    uv(
        "pip", "install", "--quiet", "--no-config", "--python", python,
        "--resolution", resolution, built, *PROJECT["dependencies"],
    )  # fmt: skip
    httpx_version, found = json.loads(run(python, "-I", "-c", USED, cwd=tmp_path))
    assert found == [int(part) for part in version.split(".")]
    assert httpx_version.startswith("0.25.0") == (resolution == "lowest-direct")


def test_types_reach_who_uses_it(tmp_path: Path) -> None:
    """mypy knows the names of what a heartbeat may say, and what is answered."""
    (tmp_path / "user.py").write_text(
        "import asyncio\n"
        "from presence_api import AsyncPresence, Background, Presence, WebhookError\n"
        "site = Presence('https://example.org', 'blog')\n"
        "reveal_type(site.beat('s', '/', userId='anna'))\n"
        "reveal_type(site.status(['anna'])[0]['lastSeen'])\n"
        "reveal_type(asyncio.run(AsyncPresence('', '').users())['nextCursor'])\n"
        "site.beat('s', '/', userid='anna')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "user.py"],
        cwd=tmp_path, env={"MYPYPATH": str(PYTHON), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert lines[:3] == [
        'note: Revealed type is "str"',
        'note: Revealed type is "int | None"',
        'note: Revealed type is "str | None"',
    ], done.stdout + done.stderr
    assert 'Unexpected keyword argument "userid"' in lines[3]
