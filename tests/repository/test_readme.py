"""The README's own commands, run: those for redis-cli against a real Valkey, those for curl against
`presence serve`, the browser client in Node.js.

`python -m tests.repository.test_readme` writes what they print now into the README,
where that has changed.
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
from service.store.store import Heartbeat, PageView
from tests.conftest import patient_store
from tests.servers import Server, free_port, missing, wait_until

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


# What stands in the README


@dataclass(frozen=True)
class Example:
    """One command and the output shown below it."""

    command: str
    shown: str

    @property
    def id(self) -> str:
        """Short, for pytest."""
        return " ".join(self.command.replace("\\\n", "").split())[:70]


def examples(word: str) -> list[Example]:
    """The commands of `console` blocks in which a program is called, in order."""
    found = []
    for fence, body in BLOCK.findall(README.read_text()):
        if fence != "console":
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            match = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)\Z", part, re.DOTALL)
            assert match
            if word in match[1]:
                found.append(Example(match[1], match[2].rstrip()))
    return found


def by_hand() -> Example:
    """The shell snippet that calls the script by hand, and the block below it."""
    blocks = BLOCK.findall(README.read_text())
    n = next(n for n, (fence, body) in enumerate(blocks) if fence == "sh" and "--eval" in body)
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
    """Puts into a Redis what the README shows."""
    berlin = '{"city":"Berlin","latitude":"52.5","longitude":"13.4"}'
    post = '{"type":"post","referrer":"search.example"}'
    client = "9f86d081884c7d65"
    store = patient_store(url, Keys(), StoreConfig(new_sessions_per_minute=60))
    for step in (
        store.heartbeat("blog", Heartbeat(DORA, "/", "US", client, "")),
        store.heartbeat("blog", Heartbeat(ANNA, "/", "DE", client, berlin)),
        store.heartbeat("blog", Heartbeat(BORIS, "/", "", client, "")),
        store.heartbeat("blog", Heartbeat(CHEN, "/blog/hello", "US", client, post)),
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
    and prints as it does on a terminal."""
    real = program("redis-cli")
    with Server("valkey") as server:
        avoid_the_end_of_a_minute()
        asyncio.run(fill(server.url))
        shim = folder / "redis-cli"
        shim.write_text(f'#!/bin/sh\nexec {real} -p {server.port} --no-raw "$@"\n')
        shim.chmod(0o755)
        yield {"PATH": f"{folder}:{os.environ['PATH']}"}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a `presence serve` as the README starts it."""
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", str(port)],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        answers = ["curl", "-sf", "-o", os.devnull, f"http://127.0.0.1:{port}/livez"]
        wait_until(lambda: subprocess.run(answers).returncode == 0, what="presence serve")
        yield port
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture(scope="module")
def valkey_environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with filled_valkey(tmp_path_factory.mktemp("bin")) as environ:
        yield environ


REDIS = [e for e in examples("redis-cli") if " -s " not in e.command]


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
    """No key that the service writes is missing from the section."""
    commands = "\n".join(example.command for example in REDIS)
    keys = Keys().of_site("blog")[0]
    names = {value for value in vars(keys).values() if isinstance(value, str)}
    names -= {keys.tag, keys.base, keys.session_prefix, keys.viewed_prefix}
    for key in names | {"presence:due", "presence:sites"}:
        assert re.search(re.escape(key) + r"[\s'\"]", commands), key
    for key in (keys.session_prefix, keys.viewed_prefix, f"{keys.uniques}:", f"{keys.base}minutes:",
                f"{keys.base}hours:"):  # fmt: skip
        assert key in commands, key


def test_redis_cli_on_the_embedded_server(tmp_path: Path) -> None:
    program("redis-cli")
    socket_examples = [e for e in examples("redis-cli") if " -s " in e.command]
    assert socket_examples
    with EmbeddedServer(str(tmp_path / ".presence")) as server:
        asyncio.run(fill(f"unix://{server.socket_path}"))
        for example in socket_examples:
            shown = run(example.command.replace("redis-cli", "redis-cli --no-raw"), {}, tmp_path)
            assert shape(shown) == shape(example.shown)


def test_curl(tmp_path: Path) -> None:
    """In order: each finds what those before it have done."""
    program("curl")
    commands = examples("curl")
    assert len(commands) >= 8
    with serving(tmp_path) as port:
        avoid_the_end_of_a_minute()
        for example in commands:
            command = example.command.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            assert shape(run(command, {}, tmp_path)) == shape(example.shown), example.command


def main() -> None:
    """Brings what the README shows up to date."""
    text = README.read_text()

    def update(outputs: list[tuple[Example, str]]) -> None:
        nonlocal text
        place = 0
        for example, output in outputs:
            old = f"$ {example.command}\n{example.shown}".rstrip()
            place = text.index(old + "\n", place)
            if shape(output) != shape(example.shown):
                end = place + len(old) + (0 if example.shown else 1)
                text = f"{text[:place]}$ {example.command}\n{output}\n{text[end + 1 :]}"
                print(f"updated: {example.id}")
            place += 1

    with tempfile.TemporaryDirectory() as folder, filled_valkey(Path(folder)) as environ:
        update([(example, run(example.command, environ)) for example in REDIS])
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as port:
        update(
            [
                (example, run(example.command.replace(":8080", f":{port}"), {}, Path(folder)))
                for example in examples("curl")
            ]
        )
    README.write_text(text)


if __name__ == "__main__":
    main()
