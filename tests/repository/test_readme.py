"""The commands of README.md and docs/, run: those for redis-cli against a real Valkey, those for
curl against `presence serve`.

`python -m tests.repository.test_readme` writes what they print now below them, where that has
changed.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.redis.embedded import EmbeddedServer
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat, PageView
from tests.conftest import patient_store
from tests.servers import Server, free_port, missing, wait_until

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LATE = "Redis does not answer in time"  # of a machine that stood still for a second
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


# What stands on the pages


@dataclass(frozen=True)
class Example:
    """One command and the output shown below it."""

    command: str
    shown: str

    @property
    def id(self) -> str:
        """Short, for pytest."""
        return " ".join(self.command.replace("\\\n", "").split())[:70]


def examples(page: Path, word: str) -> list[Example]:
    """The commands of a page's `console` blocks in which a program is called, in order."""
    found = []
    for fence, body in BLOCK.findall(page.read_text()):
        if fence != "console":
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            match = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)\Z", part, re.DOTALL)
            assert match
            if word in match[1]:
                found.append(Example(match[1], match[2].rstrip()))
    return found


def pages_with(word: str) -> list[Path]:
    """The pages that have such commands."""
    return [page for page in PAGES if examples(page, word)]


def by_hand() -> Example:
    """The shell snippet that calls the script by hand, and the block below it."""
    blocks = [block for page in PAGES for block in BLOCK.findall(page.read_text())]
    (n,) = (n for n, (fence, body) in enumerate(blocks) if fence == "sh" and "--eval" in body)
    return Example(blocks[n][1], blocks[n + 1][1].rstrip())


def shape(output: str) -> Any:
    """What stays the same from run to run: times, ids and what is left of a life do not."""
    if output.startswith("{"):
        return _without_times(json.loads(output))
    text = re.sub(r"\d{13}-\d+", "ID", output)
    text = re.sub(r"\b(views|peak):\d\d\b", r"\1:MM", text)
    text = re.sub(r"\d{4,}(\.5)?\b", "N", text)
    return [line.rstrip() for line in text.splitlines()]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\d{13}-\d+", "ID", value)
    is_time = isinstance(value, int) and not isinstance(value, bool) and value > 10**12
    return "time" if is_time else value


# Where it is run


def run(command: str, environ: dict[str, str], cwd: Path = ROOT) -> str:
    """What a command prints."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=cwd, env=os.environ | environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rstrip()


def program(name: str) -> str:
    """The path of a program; skips or fails where there is none."""
    found = shutil.which(name)
    if not found:
        missing(name)
    assert found
    return found


def avoid_the_end_of_a_minute(seconds: float = 10.0) -> None:
    """What is written in one minute is to be read in the same one."""
    left_s = 60 - time.time() % 60
    if left_s < seconds:
        time.sleep(left_s + 0.1)


# Four sessions: one has moved, one comes from a search, one has gone.
ANNA, BORIS, CHEN, DORA = (
    "7d7b4f3e9d573a1d",
    "0b9d51c2a4e86f37",
    "c4a9e2d7816b5f03",
    "e1f0a3b5c7d92846",
)


async def fill(url: str) -> None:
    """Puts into a Redis what the pages show."""
    berlin = '{"city":"Berlin","latitude":"52.5","longitude":"13.4"}'
    post = (
        '{"type":"post","referrer":"search.example",'
        '"sources":"source search.example\\tdevice phone"}'
    )
    client = "9f86d081884c7d65"
    store = patient_store(url, Keys(), StoreConfig(new_sessions_per_minute=60))
    for step in (
        store.heartbeat("blog", Heartbeat(DORA, "/", "US", client, "")),
        store.heartbeat("blog", Heartbeat(ANNA, "/", "DE", client, berlin)),
        store.heartbeat("blog", Heartbeat(BORIS, "/", "", client, "")),
        store.heartbeat("blog", Heartbeat(CHEN, "/blog/hello", "US", client, post, "", True)),
        store.heartbeat("blog", Heartbeat(ANNA, "/pricing", "DE", client, "")),
        store.view("blog", PageView(BORIS, "/")),
        store.end("blog", DORA),
    ):
        await step
        await asyncio.sleep(0.005)  # so that each has a moment of its own
    await store.close()


@contextlib.contextmanager
def filled_valkey(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of commands whose `redis-cli` is a real one that talks to a filled Valkey,
    and prints as it does on a terminal; their `uv run presence` is this checkout's."""
    real = program("redis-cli")
    with Server("valkey") as server:
        avoid_the_end_of_a_minute()
        asyncio.run(fill(server.url))
        shim = folder / "redis-cli"
        shim.write_text(f'#!/bin/sh\nexec {real} -p {server.port} --no-raw "$@"\n')
        shim.chmod(0o755)
        uv = folder / "uv"
        uv.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -m service "$@"\n')
        uv.chmod(0o755)
        yield {"PATH": f"{folder}:{os.environ['PATH']}"}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a `presence serve` that begins with nothing."""
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port)],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        answers = ["curl", "-sf", "-o", os.devnull, f"http://127.0.0.1:{port}/readyz"]
        wait_until(lambda: subprocess.run(answers).returncode == 0, what="presence serve")
        yield port
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture(scope="module")
def valkey_environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with filled_valkey(tmp_path_factory.mktemp("bin")) as environ:
        yield environ


def redis_examples(page: Path) -> list[Example]:
    """Those that ask a Redis on its port, not the embedded one on its socket."""
    return [e for e in examples(page, "redis-cli") if " -s " not in e.command]


REDIS = [e for page in PAGES for e in redis_examples(page)]


@pytest.mark.parametrize("example", REDIS, ids=lambda e: e.id)
def test_redis_cli(valkey_environ: dict[str, str], example: Example) -> None:
    assert shape(run(example.command, valkey_environ)) == shape(example.shown)


def test_heartbeat_by_hand(tmp_path: Path) -> None:
    """Runs last of all on a Valkey of its own: it changes what is there."""
    example = by_hand()
    with filled_valkey(tmp_path) as environ:
        assert shape(run(example.command, environ)) == shape(example.shown)
        again = run(example.command, environ)
        assert "duplicate" in again
        active = run("redis-cli ZRANGE 'presence:{blog}:active' 0 -1", environ)
        assert "sent-by-hand-0001 DE /hello" in active


def test_every_key_has_a_command() -> None:
    """No key that the service writes is missing from the pages."""
    commands = "\n".join(example.command for example in REDIS)
    keys = Keys().of_site("blog")[0]
    names = {value for value in vars(keys).values() if isinstance(value, str)}
    names -= {keys.tag, keys.base, keys.session_prefix, keys.viewed_prefix}
    of_users = {keys.users, keys.user_pages, keys.user_seen}  # shown of a site that has some
    text = (ROOT / "docs" / "keys.md").read_text()
    for key in of_users:
        assert re.search(rf"redis-cli \w+ '{re.escape(key.replace('blog', 'team'))}'", text), key
    for key in (names - of_users) | {"presence:due", "presence:sites"}:
        assert re.search(re.escape(key) + r"[\s'\"]", commands), key
    for key in (keys.session_prefix, keys.viewed_prefix, f"{keys.uniques}:", f"{keys.base}minutes:",
                f"{keys.base}hours:", f"{keys.base}sources:"):  # fmt: skip
        assert key in commands, key


def test_redis_cli_on_the_embedded_server(tmp_path: Path) -> None:
    program("redis-cli")
    commands = [e for page in PAGES for e in examples(page, "redis-cli")]
    socket_examples = [e for e in commands if " -s " in e.command]
    assert socket_examples
    with EmbeddedServer(str(tmp_path / ".presence")) as server:
        asyncio.run(fill(f"unix://{server.socket_path}"))
        for example in socket_examples:
            shown = run(example.command.replace("redis-cli", "redis-cli --no-raw"), {}, tmp_path)
            assert shape(shown) == shape(example.shown)


@pytest.mark.parametrize("page", pages_with("curl"), ids=lambda page: page.name)
def test_curl(tmp_path: Path, page: Path) -> None:
    """In order: each finds what those before it have done."""
    program("curl")
    with serving(tmp_path) as port:
        avoid_the_end_of_a_minute()
        for example in examples(page, "curl"):
            command = example.command.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            output = run(command, {}, tmp_path)
            if LATE in output:  # as a reader would: again
                output = run(command, {}, tmp_path)
            assert shape(output) == shape(example.shown), example.command


def test_there_is_a_beginning_and_the_rest() -> None:
    """README shows a first heartbeat, the pages of docs/ all the other requests."""
    assert ROOT / "README.md" in pages_with("curl")
    assert sum(len(examples(page, "curl")) for page in PAGES) >= 12
    assert len(REDIS) >= 20


def update(page: Path, outputs: list[tuple[Example, str]]) -> None:
    """Writes what commands print now below them, where its shape has changed."""
    text, offset = page.read_text(), 0
    for example, output in outputs:
        old = f"$ {example.command}\n{example.shown}".rstrip()
        offset = text.index(old + "\n", offset)
        if shape(output) != shape(example.shown):
            end = offset + len(old) + (0 if example.shown else 1)
            text = f"{text[:offset]}$ {example.command}\n{output}\n{text[end + 1 :]}"
            print(f"updated: {page.name}: {example.id}")
        offset += 1
    page.write_text(text)


def main() -> None:
    """Brings what the pages show up to date."""
    with tempfile.TemporaryDirectory() as folder, filled_valkey(Path(folder)) as environ:
        for page in PAGES:
            update(page, [(e, run(e.command, environ)) for e in redis_examples(page)])
    for page in pages_with("curl"):
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as port:
            commands = [
                (example, example.command.replace(":8080", f":{port}"))
                for example in examples(page, "curl")
            ]
            update(page, [(e, run(command, {}, Path(folder))) for e, command in commands])


if __name__ == "__main__":
    main()
