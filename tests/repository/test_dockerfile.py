"""The image without Docker: every step of the Dockerfile is run in a folder of its own, its command
is started as a plain process, asked by its health check, and ended as Docker ends it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import plain
from tests.servers import free_port, missing, wait_until

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
HERE = str(ROOT / "deploy" / "image")
USER = 10001


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction."""
        return [argument for name, argument in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        """The argument of the one that holds."""
        return self.all(instruction)[-1]


def stages() -> list[Stage]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found: list[Stage] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, _, argument = line.partition(" ")
        if instruction == "FROM":
            found.append(Stage(argument.split()[0]))
        else:
            found[-1].steps.append((instruction, argument.strip()))
    return found


# What it says


def test_bases_are_exact_and_the_same() -> None:
    bases = {stage.base for stage in stages()}
    assert len(bases) == 1, "an environment moves only between equal interpreters"
    assert re.fullmatch(r"python:3\.1[1-3]-slim-\w+", bases.pop())


def test_final_stage() -> None:
    final = stages()[-1]
    assert final.last("USER") == f"{USER}:{USER}"
    assert final.last("STOPSIGNAL") == "SIGTERM"
    assert json.loads(final.last("ENTRYPOINT")) == ["presence"]
    assert json.loads(final.last("CMD")) == ["serve"]
    assert json.loads(final.last("HEALTHCHECK").partition("CMD ")[2])[0] == "python"
    assert final.all("VOLUME") == ["/data"]
    assert final.all("EXPOSE") == ["8080"]
    environ = dict(entry.split("=", 1) for entry in final.all("ENV"))
    assert environ["PRESENCE_HOST"] == "0.0.0.0"
    assert environ["PRESENCE_REDIS_URL"] == "embedded:///data"
    names = [name for name, _ in final.steps]
    assert names.index("USER") > max(n for n, name in enumerate(names) if name == "RUN")
    copied = final.all("COPY")
    assert all("--from=build" in argument for argument in copied), "no source, no build tools"


def test_no_secret_and_nothing_fetched_by_hand() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert ":latest" not in text
    assert not re.search(r"\b(curl|wget|ADD|sudo)\b", text)
    assert not re.search(r"TOKEN|PASSWORD|SECRET", text)


def test_the_context_holds_what_is_copied() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    copied = {name for argument in stages()[0].all("COPY") for name in argument.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


# What it does


@dataclass
class Image:
    """A folder that stands for the image's file system."""

    root: Path
    user: int | None
    environ: dict[str, str]

    def in_root(self, text: str) -> str:
        """A text with the image's own folders in this one."""
        return re.sub(r"(?<!\w)/(opt/presence|data|build)\b", rf"{self.root}/\1", text)

    def argv(self, *lists: str) -> list[str]:
        """Commands in exec form, with the program looked up as the image would."""
        argv = [self.in_root(part) for text in lists for part in json.loads(text)]
        program = shutil.which(argv[0], path=self.environ["PATH"])
        assert program is not None, argv
        return [program, *argv[1:]]


def python_and_user() -> tuple[str, int | None]:
    """An interpreter for the image, and the user to be there: the Dockerfile's own where this is
    root and that user could run the interpreter."""
    system = "/usr/bin/python3"
    if os.getuid() == 0 and os.access(system, os.X_OK):
        asked = "import sys; print(sys.version_info >= (3, 11))"
        answer = subprocess.run([system, "-c", asked], capture_output=True, text=True, check=True)
        if answer.stdout.strip() == "True":
            return system, USER
    return sys.executable, None


def find_uv() -> str:
    """The uv that runs these tests, or the one on the PATH."""
    found = os.environ.get("UV") or shutil.which("uv")
    if not found:
        missing("uv")
    assert found
    return found


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, built step by step."""
    python, user = python_and_user()
    root = Path(tempfile.mkdtemp(prefix="presence-image-"))
    root.chmod(0o755)
    built = Image(root, user, {"PATH": os.environ["PATH"]})
    try:
        folder = root
        for stage in stages():
            for instruction, argument in stage.steps:
                match instruction:
                    case "WORKDIR":
                        folder = root / argument.lstrip("/")
                        folder.mkdir(parents=True)
                    case "COPY" if argument.startswith("--from"):
                        assert Path(built.in_root(argument.split()[1])).exists(), argument
                    case "COPY":
                        copy_in(argument, folder)
                    case "RUN":
                        run_step(built, argument, folder, python)
                    case "ENV":
                        name, _, value = argument.partition("=")
                        value = value.replace("$PATH", built.environ["PATH"])
                        built.environ[name] = built.in_root(value)
                    case _:
                        pass
            # What is not copied on is not there any more.
            shutil.rmtree(root / "build", ignore_errors=True)
            folder = root
        yield built
    finally:
        shutil.rmtree(root, ignore_errors=True)


def copy_in(argument: str, folder: Path) -> None:
    *sources, target = argument.split()
    for source in sources:
        origin = ROOT / source
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(origin, folder / target, ignore=ignored)
        else:
            shutil.copy(origin, folder / target)


def run_step(image: Image, step: str, folder: Path, python: str) -> None:
    if image.user is None:
        step = re.sub(r" -[og] \d+", "", step)
    environ = os.environ | {"PYTHON": python, "UV": find_uv()}
    environ.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        ["sh", "-c", image.in_root(step)],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(400)
def test_versions_are_the_pinned_ones(image: Image) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = set(project["tool"]["uv"]["constraint-dependencies"])
    listed = subprocess.run(
        [find_uv(), "pip", "freeze", "--python", f"{image.root}/opt/presence/bin/python"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed = {line for line in listed.stdout.split() if "==" in line}
    assert "starlette" in {line.partition("==")[0] for line in installed}
    assert installed <= pinned
    assert not {line for line in installed if line.startswith(("pytest", "hypothesis"))}


@pytest.mark.timeout(400)
def test_serves_is_healthy_and_stops(image: Image) -> None:
    final = stages()[-1]
    port = free_port()
    environ = image.environ | {"PRESENCE_PORT": str(port), "HOME": "/", "TERM": "dumb"}
    check = image.argv(final.last("HEALTHCHECK").partition("CMD ")[2])

    def healthcheck() -> int:
        return subprocess.run(check, env=environ, capture_output=True, timeout=10).returncode

    assert healthcheck() == 1, "nothing is there yet"
    with (image.root / "log").open("wb") as log:
        process = subprocess.Popen(
            image.argv(final.last("ENTRYPOINT"), final.last("CMD")),
            cwd="/", env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            user=image.user, group=image.user,
            extra_groups=[] if image.user else None,
        )  # fmt: skip
    try:
        try:
            wait_until(lambda: healthcheck() == 0, what="healthcheck")
        except AssertionError as error:
            error.add_note((image.root / "log").read_text())
            raise
        url = f"http://127.0.0.1:{port}/v1/sites/blog"
        beat = {"sessionId": "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e", "currentPath": "/"}
        answer = plain.post(f"{url}/heartbeat", json=beat)
        assert (answer.status_code, answer.headers["presence-status"]) == (204, "created")
        assert plain.get(f"{url}/stats").json()["activeVisitors"] == 1
        if image.user is not None:
            assert (image.root / "data" / "lock").stat().st_uid == image.user
        process.send_signal(getattr(signal, final.last("STOPSIGNAL")))
        code = process.wait(15)
        assert code == 0, (image.root / "log").read_text()
        assert healthcheck() == 1, "nothing is left"
    finally:
        process.kill()
        process.wait()


def test_healthcheck_asks_where_the_service_listens() -> None:
    """An address of its own, IPv6, and a proxy of the environment that is not for it."""
    environ = os.environ | {
        "PRESENCE_HOST": "::1",
        "PRESENCE_PORT": str(free_port()),
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, f"{HERE}/healthcheck.py"],
        env=environ, capture_output=True, text=True, timeout=10,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"http://[::1]:{environ['PRESENCE_PORT']}/livez" in done.stderr
