"""`presence doctor` on a terminal: its checks with their marks, then what was found."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from service.store.config import StoreConfig
from service.store.keys import Keys, ShardKeys
from service.store.writer import Heartbeat
from tests.cli.commands import run_command
from tests.cli.terminal import on_terminal
from tests.conftest import patient_store
from tests.servers import Server

SESSION = "session-00000001"
CHECKS = ("types", "1 counters", "2 sessions", "3 events", "4 totals", "5 expiry", "6 users")


async def fill(url: str, prefix: str) -> None:
    store = patient_store(url, Keys(prefix, has_users=lambda site: True), StoreConfig())
    await store.heartbeat("team", Heartbeat(SESSION, "/x", "DE", "", "", "anna"))
    await store.close()


@pytest.fixture
def environ(valkey: Server, key_prefix: str, tmp_path: Path) -> dict[str, str]:
    asyncio.run(fill(valkey.url, key_prefix))
    file = tmp_path / "sites.toml"
    file.write_text('["team"]\nuser_secrets = ["a secret of at least thirty-two bytes"]\n')
    return {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }


def examined(
    environ: dict[str, str], cwd: Path, *args: str, size: tuple[int, int] = (80, 40)
) -> tuple[int, list[str], list[str]]:
    """The exit code, the lines of the checks (after a repair, the last), and what follows."""
    with on_terminal("doctor", *args, environ=environ, cwd=cwd, size=size) as terminal:
        code = terminal.finish()
        lines = terminal.lines
    begin = max(n for n, line in enumerate(lines) if re.search("check +looks at", line))
    return code, lines[begin + 1 : begin + 1 + len(CHECKS)], lines[begin + 2 + len(CHECKS) :]


def marks(lines: list[str]) -> str:
    assert [re.sub(r"^\S+ +", "", line)[:4] for line in lines] == [c[:4] for c in CHECKS]
    return "".join(line[0] for line in lines)


def break_type(redis: "Server", keys: ShardKeys) -> None:
    redis.client.delete(keys.events)
    redis.client.set(keys.events, "x", ex=60)


def break_active(redis: "Server", keys: ShardKeys) -> None:
    redis.client.delete(keys.active)
    redis.client.set(keys.active, "x", ex=60)


@pytest.mark.parametrize(
    "harm, wanted",
    [
        (lambda redis, keys: None, "✓✓✓✓✓✓✓"),
        (lambda redis, keys: redis.client.zincrby(keys.pages, 3, "/x"), "✓✗✓✓✓✓✓"),
        (lambda redis, keys: redis.client.zincrby(keys.pages, 3, "/\x1b[2J\x07"), "✓✗✓✓✓✓✓"),
        (lambda redis, keys: redis.client.delete(keys.session(SESSION)), "✓✓✗✓✓✓✓"),
        (lambda redis, keys: redis.client.xtrim(keys.events, maxlen=0), "✓✓✓✗✓✓✓"),
        (lambda redis, keys: redis.client.hincrby(keys.totals, "views", 1), "✓✓✓✓✗✓✓"),
        (lambda redis, keys: redis.client.persist(keys.active), "✓✓✓✓✓✗✓"),
        (lambda redis, keys: redis.client.hdel(keys.users, "anna"), "✓✓✓✓✓✓✗"),
        (break_type, "✗✓✓–✓✓✓"),
        (break_active, "✗–––✓✓–"),
    ],
)
def test_each_check_has_its_mark(
    environ: dict[str, str], tmp_path: Path, valkey: Server, key_prefix: str,
    harm: Callable[[Server, ShardKeys], object], wanted: str,
) -> None:  # fmt: skip
    keys = Keys(key_prefix, has_users=lambda site: True).of_site("team")[0]
    harm(valkey, keys)
    code, checks, rest = examined(environ, tmp_path)
    assert (marks(checks), code) == (wanted, int("✗" in wanted)), checks
    assert (rest == ["team: all is well"]) == (code == 0)
    assert not re.search("[\x1b\x07]", "".join(rest))
    if code:
        assert rest[0].startswith("team: "), rest
        assert rest[1].startswith(f"  {key_prefix}:"), rest


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (200, 24)])
@pytest.mark.parametrize(
    "encoding, wanted", [("utf-8", "✓✓✓✓✓✓–"), ("ascii", "oooooo-"), ("iso-8859-1", "oooooo-")]
)
def test_whatever_the_terminal(
    environ: dict[str, str], tmp_path: Path, size: tuple[int, int], encoding: str, wanted: str
) -> None:
    """Without users there is nothing to look at; `ok`, `!!` and `--` stand for the marks."""
    del environ["PRESENCE_SITES_FILE"]
    environ |= {"PYTHONIOENCODING": encoding, "PYTHONUTF8": str(int(encoding == "utf-8"))}
    code, checks, rest = examined(environ, tmp_path, "team", size=size)
    assert (marks(checks), code) == (wanted, 0)
    assert all(cell_len(line) <= size[0] for line in checks)
    assert all("…" not in line and "~" not in line for line in checks)
    assert rest == ["team: all is well"]


def test_after_a_repair_the_checks_are_made_again(
    environ: dict[str, str], tmp_path: Path, valkey: Server, key_prefix: str
) -> None:
    valkey.client.zincrby(Keys(key_prefix).of_site("team")[0].pages, 3, "/x")
    code, checks, rest = examined(environ, tmp_path, "--repair")
    assert (code, marks(checks), rest) == (0, "✓✓✓✓✓✓✓", ["team: all is well"])


def test_piped_there_are_only_the_results(environ: dict[str, str]) -> None:
    assert run_command("doctor", environ=environ).stdout == "team: all is well\n"
