"""The package: what is in it, and that it runs where there is no checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import service
from service.redis import scripts
from tests.servers import missing

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Runs in the installed package's own interpreter: every script, and one heartbeat in this process.
BEAT = """
import asyncio, json
from pathlib import Path
from service.redis import scripts
from service.app import create_app
from service.settings import Settings

names = sorted(path.stem for path in scripts.LUA.glob("*.lua"))
for name in names:
    assert scripts.load(name).text
app = create_app(Settings.from_env({"PRESENCE_REDIS_URL": "memory://"}))
sent = []

async def receive():
    beat = {"sessionId": "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e", "currentPath": "/"}
    return {"type": "http.request", "body": json.dumps(beat).encode()}

async def send(message):
    sent.append(message)

async def main():
    async with app.router.lifespan_context(app):
        scope = {"type": "http", "method": "POST", "path": "/v1/sites/blog/heartbeat",
                 "query_string": b"", "headers": [], "client": ("127.0.0.1", 1)}
        await app(scope, receive, send)

asyncio.run(main())
print(json.dumps([str(scripts.LUA), names, sent[0]["status"],
                  dict(sent[0]["headers"])[b"presence-status"].decode()]))
"""


def uv(*arguments: str | Path) -> None:
    """Runs uv in the checkout, where it finds the exact versions."""
    program = os.environ.get("UV") or shutil.which("uv")
    if not program:
        missing("uv")
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def run(*argv: str | Path, cwd: Path) -> str:
    """What a command prints, with nothing of this checkout in its environment."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=cwd, env=environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder)
    return folder


def script_names() -> list[str]:
    """Those that are sent to Redis, and what they include."""
    folder = ROOT / "lua"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.lua"))


def test_wheel(built: Path) -> None:
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    lua = sorted(name for name in names if name.startswith("service/lua/"))
    assert lua == sorted(f"service/lua/{name}" for name in script_names())
    modules = {f"service/{p.relative_to(ROOT / 'service')}" for p in ROOT.glob("service/**/*.py")}
    assert modules <= set(names)
    static = {
        f"service/{p.relative_to(ROOT / 'service')}" for p in ROOT.glob("service/web/static/*")
    }
    assert static <= set(names)
    assert "service/py.typed" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"service", f"presence_service-{service.__version__}.dist-info"}


def test_source_distribution(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"lua/{name}" for name in script_names()} <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert not {name for name in names if re.match(r"tests|bench|uv\.lock|\.venv", name)}


@pytest.mark.parametrize("form", ["wheel", "editable"])
def test_runs_outside_the_checkout(built: Path, tmp_path: Path, form: str) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    uv("venv", "--quiet", "--no-project", "--python", sys.executable, tmp_path / "venv")
    what = [next(built.glob("*.whl"))] if form == "wheel" else ["--editable", ROOT]
    uv("pip", "install", "--quiet", "--python", python, *what)

    version = run(python.parent / "presence", "--version", cwd=tmp_path)
    assert service.__version__ in version
    file, names, status, outcome = json.loads(run(python, "-I", "-c", BEAT, cwd=tmp_path))
    expected = ROOT / "lua" if form == "editable" else tmp_path / "venv"
    assert Path(file).is_relative_to(expected)
    assert names == [Path(name).stem for name in script_names() if "/" not in name]
    assert (status, outcome) == (204, "created")


def test_checkout_runs_its_own_scripts() -> None:
    assert scripts.LUA == ROOT / "lua"


def needed() -> set[str]:
    """Every package that this project and its tests need here, directly or not."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    for group in PROJECT["dependency-groups"].values():
        waiting += map(Requirement, group)
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for text in metadata.requires(name) or []:
                wanted = Requirement(text)
                if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                    waiting.append(wanted)
    return {name for name, _ in found}


def test_every_version_is_exact() -> None:
    """Whatever is needed has one exact version in pyproject.toml, and that is what runs here."""
    pins = PROJECT["tool"]["uv"]["constraint-dependencies"]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", pin) for pin in pins)
    assert pins == sorted(pins)
    versions = dict(pin.split("==") for pin in pins)
    names = needed()
    assert len(names) > 50
    assert {name: metadata.version(name) for name in names} == {
        name: versions.get(name) for name in names
    }


def test_a_group_is_installed_only_where_it_is_named() -> None:
    """Who runs the service does not get what its tests and benchmarks need."""
    assert PROJECT["tool"]["uv"]["default-groups"] == []
    assert "\nuv run --group dev pytest\n" in (ROOT / ".ci" / "run").read_text()
    assert "uv run --group dev pytest\n" in (ROOT / "README.md").read_text()
    texts = [ROOT / "README.md", ROOT / ".ci" / "run", *(ROOT / "docs").glob("*.md")]
    for text in texts:
        for command in re.findall(r"uv run ([^\n`#]*)", text.read_text()):
            needs_none = command.startswith("presence")
            assert needs_none or re.match(r"--group (dev|bench) ", command), (text.name, command)


def test_versions_agree() -> None:
    classifiers = PROJECT["project"]["classifiers"]
    minors = [name.rpartition(".")[2] for name in classifiers if " :: 3." in name]
    assert minors == ["11", "12", "13"]
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert newest
    assert newest[1] == service.__version__


def tracked_texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            texts[name] = path.read_bytes().decode("utf-8", "replace")
    assert "pyproject.toml" in texts
    return texts


@pytest.mark.parametrize(
    "words",
    [
        # Written in two halves, so that this file does not hold what it forbids.
        ("files.python", "hosted.org"),
        ("pypi", ".org"),
        ("registry.", "npmjs"),
        ("deb.debian", ".org"),
        ("share", "d/"),
    ],
    ids="".join,
)
def test_no_tracked_file_names(words: tuple[str, str]) -> None:
    word = "".join(words)
    assert [name for name, text in tracked_texts().items() if word in text] == []


def test_no_lock_file_is_tracked() -> None:
    assert "uv.lock" not in tracked_texts()
