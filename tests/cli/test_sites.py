"""`presence sites`: which sites Redis knows, the fullest first."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.cli.commands import ROOT, run_command
from tests.cli.terminal import CLEAN, on_terminal, shown_on_terminal
from tests.conftest import patient_store
from tests.fork_server import start
from tests.servers import Server

SITES = {"a.example": 1, "blog": 3, "docs": 12, "empty": 0, "shop": 3}
ORDER = ["docs", "blog", "shop", "a.example", "empty"]


async def fill(url: str, prefix: str, sites: dict[str, int]) -> None:
    store = patient_store(url, Keys(prefix), StoreConfig())
    for site, count in sites.items():
        beats = [Heartbeat(f"session-{n:08}", "/", "", "", "") for n in range(max(1, count))]
        await store.heartbeats(site, beats)
        if not count:
            await store.end(site, "session-00000000")
    await store.close()


@pytest.fixture
def environ(valkey: Server, key_prefix: str) -> dict[str, str]:
    asyncio.run(fill(valkey.url, key_prefix, SITES))
    return {"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix}


@pytest.mark.parametrize("limit, shown", [("100", 5), ("0", 5), ("5", 5), ("2", 2)])
def test_piped(environ: dict[str, str], limit: str, shown: int) -> None:
    done = run_command("sites", "--limit", limit, environ=environ)
    assert done.exit_code == 0
    assert done.stdout == "".join(f"{site}\t{SITES[site]}\n" for site in ORDER[:shown])
    assert done.stderr == ("" if shown == 5 else "there are 5: --limit 0 shows all of them\n")
    as_json = run_command("sites", "--limit", limit, "--json", environ=environ)
    found = json.loads(as_json.stdout)
    assert found["sites"] == [{"site": s, "activeVisitors": SITES[s]} for s in ORDER[:shown]]
    assert (found["total"], as_json.stdout.count("\n")) == (5, 1)
    assert found["asOf"] > 1_700_000_000_000


def test_split_sites_are_summed(valkey: Server, key_prefix: str) -> None:
    async def split() -> None:
        store = patient_store(valkey.url, Keys(key_prefix, 4), StoreConfig())
        beats = [Heartbeat(f"session-{n:08}", "/", "", "", "") for n in range(20)]
        await store.heartbeats("blog", beats)
        await store.close()

    asyncio.run(split())
    environ = {
        "PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix, "PRESENCE_SHARDS": "4",
    }  # fmt: skip
    assert run_command("sites", environ=environ).stdout == "blog\t20\n"


def test_more_than_a_page(environ: dict[str, str], valkey: Server, key_prefix: str) -> None:
    valkey.client.zadd(Keys(key_prefix).sites, {f"site-{n:04}": 0 for n in range(2500)})
    lines = run_command("sites", "--limit", "0", environ=environ).stdout.splitlines()
    assert len(lines) == len(set(lines)) == 2505
    assert lines[:5] == ["docs\t12", "blog\t3", "shop\t3", "a.example\t1", "empty\t0"]


def test_what_redis_cannot_say(
    environ: dict[str, str], valkey: Server, key_prefix: str, tmp_path: Path
) -> None:
    active = Keys(key_prefix).of_site("docs")[0].active
    valkey.client.delete(active)
    valkey.client.set(active, "x", ex=60)
    lines = run_command("sites", environ=environ).stdout.splitlines()
    assert lines[0] == "blog\t3"
    assert lines[-1] == "docs\t"
    found = json.loads(run_command("sites", "--json", environ=environ).stdout)
    assert found["sites"][-1] == {"site": "docs", "activeVisitors": None}
    assert shown_on_terminal("sites", environ=environ, cwd=tmp_path)[-1].split() == ["?", "docs"]


def test_nothing_is_known(valkey: Server, key_prefix: str, tmp_path: Path) -> None:
    environ = {"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix}
    assert run_command("sites", environ=environ).output == ""
    assert json.loads(run_command("sites", "--json", environ=environ).stdout)["sites"] == []
    headline, hint = shown_on_terminal("sites", environ=environ, cwd=tmp_path)
    assert headline.startswith("0 active on 0 sites at ")
    assert "first heartbeat" in hint


@pytest.mark.parametrize("width", [30, 60, 100])
def test_on_a_terminal(environ: dict[str, str], tmp_path: Path, width: int) -> None:
    lines = shown_on_terminal("sites", environ=environ, cwd=tmp_path, size=(width, 24))
    headline, blank, heading, *rows = lines
    assert all(cell_len(line) <= width for line in lines)
    assert headline.startswith("19 active on 5 sites")
    assert (blank, heading) == ("", "active by site")
    assert [line.split()[-1] for line in rows] == ORDER
    bars = [line.count("█") for line in rows]
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > 3 * bars[3]


def test_watching(environ: dict[str, str], tmp_path: Path, valkey: Server, key_prefix: str) -> None:
    with on_terminal("sites", "--watch", environ=environ, cwd=tmp_path, size=(60, 7)) as terminal:
        terminal.read_until("active on 5 sites")
        terminal.read_while(lambda: not terminal.frames)
        asyncio.run(fill(valkey.url, key_prefix, {"new": 30}))
        terminal.read_while(lambda: "on 6 sites" not in terminal.frames[-1][0])
        frame = [line.rstrip() for line in terminal.frames[-1]]
        assert len(frame) == 7
        assert frame[2] == "active by site, and 2 more"
        assert frame[3].endswith(" new")
        assert terminal.finish(signal.SIGINT) == 0
        assert terminal.is_restored


@pytest.mark.parametrize(
    "options, first", [((), r"19 active on 5 sites at 20"), (("--json",), "{")]
)
def test_watching_into_a_pipe(
    environ: dict[str, str], options: tuple[str, ...], first: str
) -> None:
    with start(
        [sys.executable, "-m", "service", "sites", "--watch", *options],
        cwd=ROOT, env=CLEAN | environ | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        frames = 0
        for line in process.stdout:
            frames += bool(re.match(first, line))
            if options:
                assert json.loads(line)["total"] == 5
            if frames == 2:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
