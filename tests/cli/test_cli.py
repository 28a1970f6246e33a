"""The command line: reading commands against a real Valkey, `serve` as real processes."""

import asyncio
import contextlib
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import __version__
from service.redis.scripts import load
from service.settings import SETTINGS, Settings
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests import fork_server, plain
from tests.cli.commands import Finished, run_command
from tests.conftest import patient_store
from tests.servers import Server, binary_of, free_port, wait_until

IDS = [str(uuid.UUID(int=n)) for n in range(1, 6)]
COMMANDS = (
    "serve",
    "sites",
    "stats",
    "sessions",
    "users",
    "views",
    "events",
    "export",
    "doctor",
    "lua",
    "config",
)
ENVIRON = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}


@dataclass
class Shell:
    """Runs commands with a Redis that holds five sessions of the site blog."""

    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: str, **environ: str) -> Finished:
        return run_command(*args, environ=self.environ | environ)


async def _fill(url: str, prefix: str, site: str = "blog", base: str = "/") -> None:
    store = patient_store(url, Keys(prefix), StoreConfig())
    beats = [Heartbeat(i, f"{base}{n % 2}", "DE" if n else "", "", "") for n, i in enumerate(IDS)]
    await store.heartbeats(site, beats)
    await store.close()


@pytest.fixture
def shell(valkey: Server, key_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in os.environ:
        if name.startswith("PRESENCE_"):
            monkeypatch.delenv(name)
    asyncio.run(_fill(valkey.url, key_prefix))
    return Shell({"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix})


# Usage


def test_help_and_version(shell: Shell) -> None:
    assert __version__ in shell("--version").stdout
    assert shell("-h").exit_code == 0
    for name in COMMANDS:
        assert name in shell("--help").stdout
        result = shell(name, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.stdout
        assert all(len(line) <= 80 for line in result.stdout.splitlines())
        assert "<=" not in result.stdout


def test_commands_come_in_the_order_in_which_they_are_needed(shell: Shell) -> None:
    listed = shell("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed[:5]] == list(COMMANDS[:5])
    assert all(line.endswith(".") and not line.endswith("...") for line in listed), listed


@pytest.mark.parametrize(
    "args, environ, code, said",
    [
        (("nonsense",), {}, 2, "No such command"),
        (("stats",), {}, 2, "Missing argument"),
        (("stats", "No Site"), {}, 2, "a site begins with"),
        (("doctor", "No Site"), {}, 2, "'No Site' is not a site: a site begins with"),
        (("stat", "blog"), {}, 2, "Did you mean 'stats'?"),
        (("sites", "--limit", "-1"), {}, 2, "'-1' is not a whole number from 0 up"),
        (("sites",), {"PRESENCE_REDIS_URL": "redis://127.0.0.1:1"}, 1, "cannot be reached"),
        (
            ("stats", "blog", "--watch"),
            {"PRESENCE_REDIS_URL": "redis://127.0.0.1:1"},
            1,
            "cannot be reached (PRESENCE_REDIS_URL is redis://127.0.0.1:1)",
        ),
        (("users", "blog"), {}, 1, "presence: blog: this site has no users"),
        (("export", "blog"), {}, 2, "--format"),
        (("export", "blog", "--format", "xml"), {}, 2, "xml"),
        (("sessions", "blog", "--path", "x"), {}, 2, "presence: --path must begin with"),
        (("stats", "blog"), {"PRESENCE_PROT": "1"}, 2, "did you mean PRESENCE_PORT?"),
        (("config",), {"PRESENCE_PORT": "x"}, 2, "presence: PRESENCE_PORT: 'x' is not a whole"),
        (("stats", "blog"), {"PRESENCE_REDIS_URL": "redis+sentinel://h"}, 2, "name the primary"),
        (("stats", "blog"), {"PRESENCE_REDIS_URL": "redis://127.0.0.1:1"}, 1, "cannot be reached"),
        (("doctor",), {"PRESENCE_REDIS_URL": "redis://127.0.0.1:1"}, 1, "cannot be reached"),
        (("views", "blog"), {"PRESENCE_REDIS_URL": "memory://"}, 1, "nothing to read"),
        (("events", "blog", "--after", "x"), {}, 2, "presence: after must be a stream id such as"),
        (("events", "blog", "-n", "1001"), {}, 2, "'1001' is not a whole number from 0 to 1000"),
        (
            ("events", "blog", "--follow"),
            {"PRESENCE_REDIS_URL": "redis://127.0.0.1:1"},
            1,
            "cannot be reached",
        ),
        (("serve", "--workers", "2"), {"PRESENCE_REDIS_URL": "memory://"}, 2, "one process"),
        (("serve", "--demo", "--workers", "2"), {}, 2, "--demo is for one process"),
        (("serve", "--port", "70000"), {}, 2, "'70000' is not a whole number from 0 to 65535"),
        (("serve", "--port", "abc"), {}, 2, "'abc' is not a whole number from 0 to 65535"),
        (("serve", "--port", ""), {}, 2, "'' is not a whole number from 0 to 65535"),
        (("serve", "--port", "8_080"), {}, 2, "'8_080' is not a whole number from 0 to 65535"),
        (("serve", "--workers", "+1"), {}, 2, "'+1' is not a whole number from 1 to 256"),
        (("views", "blog", "-n", "1_0"), {}, 2, "'1_0' is not a whole number from 0 to 100000"),
        (("sites", "--limit", "+1"), {}, 2, "'+1' is not a whole number from 0 up"),
        (("token", "blog", "ada", "--hours", "1e1"), {}, 2, "'1e1' is not a number of hours, such"),
        (("serve", "--host", ""), {}, 2, "--host: '' is empty: give a value, such as 127.0.0.1"),
        (("serve",), {"PRESENCE_HOST": ""}, 2, "PRESENCE_HOST: '' is empty: give a value"),
        (("serve",), {"PRESENCE_HOST": "[::1]"}, 2, "leave them out, as in ::1"),
        (("serve", "--workers", "0"), {}, 2, "'0' is not a whole number from 1 to 256"),
        (("stats", "blog", "--top", "1.5"), {}, 2, "'1.5' is not a whole number from 1 to 50"),
        (("views", "blog", "-n", "x"), {}, 2, "'x' is not a whole number from 0 to 100000"),
        (
            ("config",),
            {"PRESENCE_CLIENT_IP_HEADER": "CF-Connecting-IP"},
            2,
            "presence: PRESENCE_CLIENT_IP_HEADER is believed only of proxies that PRESENCE_TRUSTED",
        ),
        (("lua", "heartbeats"), {}, 2, "'heartbeat', 'layout', 'leave'"),
        (("export", "blog", "--format", "csv", "-o", "/no/such/x.csv"), {}, 1, "cannot write"),
    ],
)
def test_failures_are_one_line(
    shell: Shell, args: tuple[str, ...], environ: dict[str, str], code: int, said: str
) -> None:
    result = shell(*args, **environ)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert not result.stdout
    if result.stderr.startswith("presence: "):
        assert result.stderr.count("\n") == 1


def test_nothing_is_started_where_nothing_was_kept(shell: Shell, tmp_path: Path) -> None:
    result = shell("stats", "blog", PRESENCE_REDIS_URL=f"embedded://{tmp_path}/x")
    assert result.exit_code == 1
    assert "nothing is kept in" in result.stderr
    assert "set PRESENCE_REDIS_URL" in result.stderr
    assert not (tmp_path / "x").exists()


# Reading


def test_stats(shell: Shell) -> None:
    result = shell("stats", "blog")
    assert result.exit_code == 0
    assert result.stdout.startswith("5 active on blog at 20")
    for pattern in (r"3\s+/0", r"2\s+/1", r"4\s+DE", r"1\s+unknown", "5 page views", "5 unique"):
        assert re.search(pattern, result.stdout), pattern


def test_stats_of_an_unknown_site(shell: Shell) -> None:
    assert shell("stats", "nobody").stdout.startswith("0 active on nobody")


def test_sessions(shell: Shell) -> None:
    lines = [line.split("\t") for line in shell("sessions", "blog").stdout.splitlines()]
    assert {line[0] for line in lines} == set(IDS)
    assert {line[1] for line in lines} == {"/0", "/1"}
    on_page = shell("sessions", "blog", "--path", "/1?x=y").stdout.splitlines()
    assert {line.split("\t")[0] for line in on_page} == {IDS[1], IDS[3]}
    limited = shell("sessions", "blog", "--limit", "2")
    assert len(limited.stdout.splitlines()) == 2
    assert "--limit 0 shows all" in limited.stderr
    assert len(shell("sessions", "blog", "--limit", "0").stdout.splitlines()) == 5


def test_views(shell: Shell) -> None:
    lines = [line.split("\t") for line in shell("views", "blog").stdout.splitlines()]
    assert [line[1:3] for line in lines] == [[f"/{n % 2}", i] for n, i in enumerate(IDS)]
    assert len(shell("views", "blog", "--last", "2").stdout.splitlines()) == 2


def test_events(shell: Shell) -> None:
    lines = [line.split("\t") for line in shell("events", "blog").stdout.splitlines()]
    assert [line[1:5] for line in lines] == [
        ["joined", f"/{n % 2}", "", i] for n, i in enumerate(IDS)
    ]
    assert len(shell("events", "blog", "--last", "2").stdout.splitlines()) == 2
    told = [json.loads(line) for line in shell("events", "blog", "--json").stdout.splitlines()]
    assert [event["sessionId"] for event in told] == IDS
    assert [event.get("next") for event in told] == [None] * 4 + [told[-1]["id"]]
    rest = shell("events", "blog", "--after", told[2]["id"]).stdout.splitlines()
    assert [line.split("\t")[4] for line in rest] == IDS[3:]
    everything = shell("events", "blog", "--after", "0", "--json").stdout
    assert everything == shell("events", "blog", "--json").stdout
    assert shell("events", "blog", "--json", "--after", told[-1]["next"]).output == ""


def test_events_that_are_gone_are_told(shell: Shell, valkey: Server, key_prefix: str) -> None:
    after = shell("events", "blog", "--json").stdout.splitlines()[-1]
    valkey.client.delete(Keys(key_prefix).of_site("blog")[0].events)
    asyncio.run(_come_late(shell))
    done = shell("events", "blog", "--after", json.loads(after)["next"])
    assert done.stdout.split("\t")[1:3] == ["joined", "/late"]
    assert re.fullmatch(r"some events before \S+ are not kept any more\n", done.stderr)


def test_events_are_followed_over_a_restart_of_redis(tmp_path: Path) -> None:
    """Nothing is skipped or repeated, and what was wrong is said once."""
    with Server("valkey", "--appendonly", "yes", "--appendfsync", "always") as server:
        shell = Shell({"PRESENCE_REDIS_URL": server.url, "PRESENCE_KEY_PREFIX": "presence"})
        asyncio.run(_fill(server.url, "presence"))
        with start("events", "blog", "-f", "--json", cwd=tmp_path, **shell.environ) as process:
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline()) for _ in IDS]
            server.kill()
            wait_until(
                lambda: "trying again" in (tmp_path / "stderr").read_text(), what="a message"
            )
            server.start()
            for _ in range(3):
                asyncio.run(_come_late(shell))
            seen += [json.loads(process.stdout.readline()) for _ in range(3)]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
    assert [event["path"] for event in seen][-3:] == ["/late"] * 3
    assert len({event["id"] for event in seen}) == 8
    assert not any("gapBefore" in event for event in seen)
    assert (tmp_path / "stderr").read_text().count("trying again") == 1


@pytest.mark.parametrize("to_file", [False, True])
def test_export(shell: Shell, tmp_path: Path, to_file: bool) -> None:
    for kind in ("csv", "ndjson"):
        path = tmp_path / f"views.{kind}"
        result = shell("export", "blog", "--format", kind, *(("-o", str(path)) if to_file else ()))
        assert result.exit_code == 0
        text = path.read_bytes().decode() if to_file else result.stdout_bytes.decode()
        assert bool(result.stdout) != to_file
        if kind == "csv":
            assert text.startswith("id,at,sessionId,path,")
            assert text.count("\r\n") == 6
        else:
            assert [json.loads(line)["sessionId"] for line in text.splitlines()] == IDS
    assert not list(tmp_path.glob("*.part"))


def test_export_of_nothing(shell: Shell) -> None:
    assert shell("export", "nobody", "--format", "csv").stdout.count("\n") == 1
    assert shell("export", "nobody", "--format", "ndjson").stdout == ""


def test_config(shell: Shell) -> None:
    result = shell(
        "config",
        PRESENCE_ADMIN_TOKEN="hush-hush",
        PRESENCE_REDIS_URL="redis://user:hush-hush@host:1/0",
        PRESENCE_PORT="81",
    )
    rows = {row.split("\t")[0]: row.split("\t") for row in result.stdout.splitlines()}
    assert list(rows) == [f"PRESENCE_{setting.name}" for setting in SETTINGS]
    assert rows["PRESENCE_PORT"][1:3] == ["81", "environment"]
    assert rows["PRESENCE_HOST"][1:3] == ["127.0.0.1", "default"]
    assert rows["PRESENCE_ADMIN_TOKEN"][1] == "********"
    assert rows["PRESENCE_REDIS_URL"][1] == "redis://:********@host:1/0"
    assert "hush" not in result.output


def test_lua(shell: Shell) -> None:
    """What is printed is what Redis is sent, byte for byte."""
    assert shell("lua", "heartbeat").stdout == load("heartbeat").text


def test_doctor(shell: Shell, valkey: Server, key_prefix: str) -> None:
    assert shell("doctor").stdout == "blog: all is well\n"
    keys = Keys(key_prefix).of_site("blog")[0]
    valkey.client.zincrby(keys.pages, 3, "/0")
    valkey.client.persist(keys.session(IDS[0]))
    result = shell("doctor", "blog")
    assert result.exit_code == 1
    assert "blog: invariant 1," in result.stdout
    assert f"{keys.pages} counts 6 for /0; it should be 3\n" in result.stdout
    repaired = shell("doctor", "--repair")
    assert repaired.exit_code == 0
    assert repaired.stdout.count("repaired: ") == 2
    assert repaired.stdout.endswith("blog: all is well\n")
    valkey.client.hincrby(keys.totals, "views", 1)
    assert shell("doctor", "--repair").exit_code == 1


@pytest.mark.parametrize(
    "most, said",
    [
        ((), "no path was viewed so seldom"),
        (("--at-most", "2"), "gave up the rows of 1 path viewed at most 2 times: /1 (2)"),
        (("--at-most", "9"), "gave up the rows of 2 paths viewed at most 9 times: /0 (3), /1 (2)"),
    ],
)
def test_doctor_tells_what_gave_up_its_row(shell: Shell, most: tuple[str, ...], said: str) -> None:
    result = shell("doctor", "blog", "--prune-paths", *most)
    assert (result.exit_code, result.stdout) == (0, f"blog: {said}\nblog: all is well\n")


def test_doctor_names_a_few_of_many_that_gave_up_their_rows(
    shell: Shell, valkey: Server, key_prefix: str
) -> None:
    keys = Keys(key_prefix).of_site("blog")[0]
    valkey.client.zadd(keys.top, {f"/once/{n}": 1 for n in range(1_200)})
    result = shell("doctor", "--prune-paths")
    assert result.stdout.startswith(
        "blog: gave up the rows of 1,200 paths viewed once: /once/0 (1)"
    )
    assert ", and 1,195 more\n" in result.stdout


def test_doctor_names_the_key_that_keeps_paths_from_being_given_up(
    shell: Shell, valkey: Server, key_prefix: str
) -> None:
    """And gives up those of all other sites."""
    keys = Keys(key_prefix)
    asyncio.run(_fill(valkey.url, key_prefix, "other"))
    valkey.client.set(keys.of_site("blog")[0].top, "by hand")
    result = shell("doctor", "--prune-paths", "--at-most", "9")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert f"{keys.of_site('blog')[0].top} is a string" in result.stdout
    assert "blog: a key of a wrong type is in the way of its paths\n" in result.stdout
    assert "other: gave up the rows of 2 paths" in result.stdout


def test_doctor_gives_paths_up_whose_types_cannot_be_forgotten(
    shell: Shell, valkey: Server, key_prefix: str
) -> None:
    keys = Keys(key_prefix).of_site("blog")[0]
    valkey.client.set(keys.types, "by hand")
    result = shell("doctor", "--prune-paths", "--at-most", "9")
    assert "blog: gave up the rows of 2 paths" in result.stdout
    assert f"{keys.types} is a string" in result.stdout


def test_what_stats_writes_into_a_pipe_is_not_broken(
    shell: Shell, valkey: Server, key_prefix: str
) -> None:
    path = "/" + "docs/" * 100
    asyncio.run(_fill(valkey.url, key_prefix, "long", path))
    lines = shell("stats", "long").stdout.splitlines()
    assert any(line.split() == ["3", f"{path}0"] for line in lines), lines


def test_how_seldom_is_only_said_of_paths_to_prune(shell: Shell) -> None:
    for args in (("--at-most", "2"), ("--prune-paths", "--at-most", "0")):
        result = shell("doctor", *args)
        assert result.exit_code == 2
        assert "--at-most" in result.stderr


def test_doctor_counts_what_it_does_not_show(shell: Shell, valkey: Server, key_prefix: str) -> None:
    keys = Keys(key_prefix).of_site("blog")[0]
    valkey.client.zadd(keys.pages, {f"/ghost/{n}": 1 for n in range(50)})
    assert "  … and 30 more\n" in shell("doctor").stdout


# As processes


def start(*args: str, cwd: Path, **environ: str) -> "subprocess.Popen[str]":
    """A command as a process of its own; its stdout is a pipe, its stderr a file in `cwd`. What
    serves is started as people do, by Python: how it starts and ends is what is tested here."""
    with (cwd / "stderr").open("ab") as stderr:
        popen = subprocess.Popen if args[0] == "serve" else fork_server.start
        return popen(
            [sys.executable, "-m", "service", *args],
            cwd=cwd,
            env=ENVIRON | {"PYTHONUNBUFFERED": "1"} | environ,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )


@dataclass
class Serving:
    """A service that runs as a process."""

    process: "subprocess.Popen[str]"
    cwd: Path
    screen: str = ""

    @property
    def url(self) -> str:
        match = re.search(r"listens +(\S+)", self.screen)
        assert match, self.screen
        return match[1]

    @property
    def curl(self) -> list[str]:
        (line,) = [line for line in self.screen.splitlines() if line.startswith("curl ")]
        return shlex.split(line)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)

    @property
    def log(self) -> str:
        return (self.cwd / "stderr").read_text()


@contextlib.contextmanager
def serving(cwd: Path, *args: str, **environ: str) -> Iterator[Serving]:
    """`presence serve` in a folder, on any free port."""
    process = start("serve", "--port", "0", *args, cwd=cwd, **environ)
    service = Serving(process, cwd)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            service.screen += line
            if line.startswith("Ctrl-C"):
                break
        assert "Ctrl-C" in service.screen, service.log
        wait_until(lambda: _ready(service.url), what=service.log)
        yield service
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _ready(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return plain.get(f"{url}/readyz").status_code == 200
    return False


def beat(service: Serving, session: str = IDS[0], path: str = "/") -> str:
    answer = plain.post(
        f"{service.url}/v1/sites/demo/heartbeat",
        json={"sessionId": session, "currentPath": path},
    )
    assert answer.status_code == 204, answer.text
    return answer.headers["presence-status"]


def active(service: Serving) -> Any:
    return plain.get(f"{service.url}/v1/sites/demo/stats").json()["activeVisitors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with a space in its name, and a Valkey to start in it."""
    binary_of("valkey")
    (tmp_path / "my site").mkdir()
    return tmp_path / "my site"


def test_the_demo_lives_at_first_sight(folder: Path) -> None:
    with serving(folder, "--demo") as service:
        assert f"{service.url}/demo/" in service.screen
        assert f"{service.url}/sites/demo" in service.screen
        assert plain.get(f"{service.url}/demo/").status_code == 200
        wait_until(lambda: active(service) > 10, 10, "visitors")
        assert service.stop(signal.SIGTERM) == 0, service.log
        assert "Traceback" not in service.log


def test_the_demo_wants_its_site(shell: Shell, tmp_path: Path) -> None:
    sites = tmp_path / "sites.toml"
    sites.write_text('["blog"]\n')
    result = shell("serve", "--demo", PRESENCE_SITES_FILE=str(sites))
    assert result.exit_code == 2
    assert "needs the site 'demo'" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_from_an_empty_folder_and_again(folder: Path, workers: str, number: int) -> None:
    with serving(folder, "--workers", workers) as service:
        assert len(service.screen.splitlines()) < 24
        assert f"{folder}/.presence" in service.screen
        assert f"{service.url}/docs" in service.screen
        assert f"{service.url}/metrics" in service.screen
        curl = subprocess.run(service.curl, capture_output=True, text=True, check=True)
        assert curl.stdout.startswith("HTTP/1.1 204")
        assert "presence-status: created" in curl.stdout.lower()
        assert "server:" not in curl.stdout.lower()
        assert active(service) == 1
        assert "presence_http_requests" in plain.get(f"{service.url}/metrics").text
        # Other commands read from the server that runs.
        for command in (["stats", "demo"], ["sessions", "demo"], ["doctor"]):
            with start(*command, cwd=folder) as reader:
                assert reader.wait(20) == 0
        assert service.stop(number) == 0, service.log
        assert "Traceback" not in service.log
    # ... and from what was kept.
    with start("sessions", "demo", cwd=folder) as reader:
        assert reader.stdout is not None
        assert len(reader.stdout.read().splitlines()) == 1
    with serving(folder) as service:
        assert active(service) == 1
        assert beat(service) == "created"


@pytest.mark.fault("B21")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_start_makes_a_token_for_operators(folder: Path, workers: str) -> None:
    file = folder / ".presence" / "admin-token"
    for is_first in (True, False):
        with serving(folder, "--workers", workers) as service:
            assert ("made a token for operators" in service.screen) == is_first
            assert f"Authorization: Bearer $(cat {shlex.quote(str(file))})" in service.screen
            token = file.read_text().strip()
            assert token not in service.screen + service.log
            assert file.stat().st_mode & 0o777 == 0o600
            # Of the same session, however long this takes: soon a duplicate, later a refresh.
            assert (beat(service) == "created") == is_first
            site = f"{service.url}/v1/sites/demo"
            bearer = {"Authorization": f"Bearer {token}"}
            for url in (f"{service.url}/v1/sites", f"{site}/sessions", f"{site}/views"):
                assert plain.get(url).status_code == 401
                for name in ("localhost", "127.0.0.1:8080"):
                    assert plain.get(url, headers={"Host": name}).status_code == 401
                assert plain.get(url, headers=bearer).status_code == 200
            batch = {"heartbeats": [{"sessionId": IDS[0], "currentPath": "/"}]}
            assert plain.post(f"{site}/heartbeats", json=batch).status_code == 200
            assert service.stop() == 0
        file.chmod(0o644)


def test_workers_die_with_their_parent_and_so_does_the_server(folder: Path) -> None:
    with serving(folder, "--workers", "2") as service:
        assert beat(service) == "created"
        service.process.kill()
        service.process.wait()
        wait_until(lambda: _refuses(service.url), 10, "the workers' end")
    with serving(folder) as service:
        assert active(service) == 1


def _refuses(url: str) -> bool:
    try:
        plain.get(f"{url}/livez")
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        return False
    return False


def test_metrics_of_workers_are_one(folder: Path) -> None:
    with serving(folder, "--workers", "2") as service:
        for n in range(20):
            beat(service, str(uuid.UUID(int=n + 100)))
        text = plain.get(f"{service.url}/metrics").text
        assert 'presence_heartbeats_total{outcome="created"} 20.0' in text


def test_a_second_owner_and_a_port_that_is_taken(folder: Path, tmp_path: Path) -> None:
    with serving(folder) as service:
        with start("serve", "--port", "0", cwd=folder) as second:
            assert second.wait(20) == 1
        (line,) = service.log.splitlines()
        assert line.startswith(f"presence: {folder}/.presence is in use by another presence")
        port = service.url.rpartition(":")[2]
        with start("serve", "--port", port, cwd=tmp_path) as third:
            assert third.wait(20) == 1
        (line,) = (tmp_path / "stderr").read_text().splitlines()
        assert line == (
            f"presence: cannot listen on 127.0.0.1 port {port}: Address already in use; "
            "choose another with --port, or --port 0 for any that is free"
        )
        assert not (tmp_path / ".presence").exists()
        assert beat(service) == "created"


def test_without_a_binary_memory_takes_over_loudly(tmp_path: Path) -> None:
    script = (
        "import sys, service.redis.embedded as e; e.find_binary = lambda: None; "
        "from service.cli import main; main(sys.argv[1:])"
    )
    arguments = [sys.executable, "-c", script, "serve", "--port", str(free_port())]
    refused = subprocess.run(
        [*arguments, "--workers", "2"], cwd=tmp_path, env=ENVIRON, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("presence: memory:// is inside one process")
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=ENVIRON | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        service = Serving(process, tmp_path)
        assert process.stdout is not None
        for line in process.stdout:
            service.screen += line
            if line.startswith("Ctrl-C"):
                break
        wait_until(lambda: _ready(service.url))
        assert "in memory: lost" in service.screen
        assert beat(service) == "created"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 0
        assert stderr.count("WARNING") == 3


def test_serve_on_redis(valkey: Server, key_prefix: str, tmp_path: Path) -> None:
    sites = tmp_path / "sites.toml"
    sites.write_text('[shop]\norigins = ["https://shop.example"]\n')
    environ = {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(sites),
    }
    with serving(tmp_path, "--host", "0.0.0.0", **environ) as service:
        assert valkey.url in service.screen
        assert "PRESENCE_ADMIN_TOKEN" in service.screen
        curl = subprocess.run(service.curl, capture_output=True, text=True, check=True)
        assert curl.stdout.startswith("HTTP/1.1 204")
        assert service.stop() == 0
        assert service.log == ""


def test_serve_warns_when_redis_is_away(tmp_path: Path) -> None:
    url = "redis://:hush-hush@127.0.0.1:1"
    process = start("serve", "--port", "0", cwd=tmp_path, PRESENCE_REDIS_URL=url)
    with process:
        log = tmp_path / "stderr"
        wait_until(lambda: "answers are 503" in log.read_text(), what="the warning")
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "hush" not in process.stdout.read() + log.read_text()


def test_a_reader_that_stops_reading_is_no_failure(shell: Shell, tmp_path: Path) -> None:
    asyncio.run(_many_views(shell))
    with start("export", "blog", "--format", "csv", cwd=tmp_path, **shell.environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
    assert (tmp_path / "stderr").read_text() == ""


@pytest.mark.parametrize(
    "command",
    [
        "export blog --format csv | head -n 1",
        "export blog --format csv | true",
        "views blog | true",
    ],
)
def test_a_pipe_on_a_terminal(shell: Shell, tmp_path: Path, command: str) -> None:
    """No bar runs into what the program behind the pipe prints, and no traceback follows it."""
    import pty

    asyncio.run(_many_views(shell))
    parent, child = pty.openpty()
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m service {command}"],
        cwd=tmp_path, env=ENVIRON | shell.environ | {"TERM": "xterm"}, stdout=child, stderr=child,
        timeout=30,
    )  # fmt: skip
    os.close(child)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux tells that nobody has the other end
        while data := os.read(parent, 65_536):
            seen += data
    os.close(parent)
    assert done.returncode == 0
    header = b"id,at,sessionId,path,pageType,referrer,country\r\n"
    assert seen.replace(b"\r\r", b"\r") == (header if "head" in command else b"")


@pytest.mark.parametrize(
    "command, said",
    [
        ("export blog --format csv >&-", "presence: stdout is closed; name a file with --output"),
        ("export blog --format csv >/dev/full", "presence: cannot write: No space left on device"),
        ("views blog >/dev/full", "presence: cannot write: No space left on device"),
        ("stats blog >/dev/full", "presence: cannot write: No space left on device"),
    ],
)
def test_what_cannot_be_written_is_one_line(shell: Shell, command: str, said: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m service {command}"],
        env=ENVIRON | shell.environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, said + "\n")


async def _many_views(shell: Shell) -> None:
    url, prefix = shell.environ["PRESENCE_REDIS_URL"], shell.environ["PRESENCE_KEY_PREFIX"]
    store = patient_store(url, Keys(prefix), StoreConfig(heartbeat_dedup_ms=0))
    for n in range(20):
        await store.heartbeats(
            "blog", [Heartbeat(IDS[0], f"/{n}/{m}", "", "", "") for m in range(200)]
        )
    await store.close()


@pytest.mark.parametrize(
    "args, first, code",
    [
        (("views", "blog", "--follow"), IDS[0], 0),
        (("events", "blog", "--follow"), IDS[0], 0),
        (("stats", "blog", "--watch"), "5 active", 0),
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_following_goes_on_until_ctrl_c(
    shell: Shell, tmp_path: Path, args: tuple[str, ...], first: str, code: int, shards: int
) -> None:
    """Also into the shards of a site that is split anew meanwhile."""
    with start(*args, cwd=tmp_path, **shell.environ) as process:
        assert process.stdout is not None
        assert first in process.stdout.readline()
        asyncio.run(_come_late(shell, shards))
        for line in process.stdout:
            if "/late" in line:
                break
        else:
            pytest.fail("the late view was never shown")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == code
    assert (tmp_path / "stderr").read_text() == ""


async def _come_late(shell: Shell, shards: int = 1) -> None:
    url, prefix = shell.environ["PRESENCE_REDIS_URL"], shell.environ["PRESENCE_KEY_PREFIX"]
    store = patient_store(url, Keys(prefix), StoreConfig())
    await store.layouts.change("blog", shards)
    await store.heartbeat("blog", Heartbeat(str(uuid.uuid4()), "/late", "", "", ""))
    await store.close()


def test_logs_are_json(tmp_path: Path, valkey: Server) -> None:
    with serving(tmp_path, PRESENCE_REDIS_URL=valkey.url, PRESENCE_LOG_LEVEL="debug") as service:
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.log.splitlines()]
        assert {"level", "event", "timestamp", "logger"} <= lines[0].keys()


def test_on_a_terminal_there_are_tables(shell: Shell, tmp_path: Path) -> None:
    import pty

    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "service", "export", "blog", "--format", "ndjson", "-o", "x"],
        cwd=tmp_path, env=ENVIRON | shell.environ | {"TERM": "xterm"}, stderr=child,
    ) as process:  # fmt: skip
        assert process.wait(20) == 0
    os.close(child)
    seen = os.read(parent, 65_536).decode()
    os.close(parent)
    assert "5 page views in x" in seen
    assert "━" in seen


@pytest.mark.parametrize("columns", ["80", "100", "200"])
@pytest.mark.parametrize(
    "command",
    [("config",), ("sessions", "blog", "--full-ids"), ("views", "blog", "--full-ids")],
)
def test_no_name_id_or_time_is_broken(
    shell: Shell, tmp_path: Path, command: tuple[str, ...], columns: str
) -> None:
    import fcntl
    import pty
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, int(columns), 0, 0))
    environ = ENVIRON | shell.environ | {"TERM": "xterm", "COLUMNS": columns}
    with subprocess.Popen(
        [sys.executable, "-m", "service", *command], cwd=tmp_path, env=environ, stdout=child
    ) as process:
        assert process.wait(20) == 0
    os.close(child)
    seen = b""
    with contextlib.suppress(OSError):
        while piece := os.read(parent, 65_536):
            seen += piece
    os.close(parent)
    text = re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())
    whole = {
        "config": r"PRESENCE_NEW_SESSIONS_PER_MINUTE\b",
        "sessions": r"[\w-]{36}  .*\b(?:ago|now) ",
        "views": r"\b(?:ago|now) .*  [\w-]{36}",
    }[command[0]]
    assert re.search(whole, text), text


@pytest.mark.parametrize(
    "command",
    [
        ("stats",),
        ("sessions",),
        ("views",),
        ("events",),
        ("events", "--json"),
        ("export", "--format", "csv"),
    ],
    ids=lambda command: command[0],
)
def test_a_site_that_nobody_knows(shell: Shell, command: tuple[str, ...]) -> None:
    said = "nothing was ever heard of blgo; sites known: blog\n"
    assert shell(*command, "blgo").stderr == said
    assert said not in shell(*command, "blog").stderr


def test_of_many_sites_some_are_named(shell: Shell, valkey: Server, key_prefix: str) -> None:
    valkey.client.zadd(Keys(key_prefix).sites, {f"b{n:02}": 0 for n in range(20)})
    (line,) = shell("sessions", "blgo").stderr.splitlines()
    assert line.endswith("b08, b09, …; `presence sites` lists them")
    assert shell("sessions", "b03").stderr == ""


def test_doctor_of_a_site_that_nobody_knows(shell: Shell) -> None:
    result = shell("doctor", "blgo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "presence: nothing is kept of a site 'blgo'\n"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("pauses_s", [[0.0], [0.03, 0.03], [0.5, 0.0, 0.1]])
def test_ctrl_c_ends_it_without_a_traceback(
    tmp_path: Path, valkey: Server, workers: str, pauses_s: list[float]
) -> None:
    """A terminal sends it to all processes of the group, and people press it more than once."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve", "--port", "0", "--workers", workers],
        cwd=tmp_path, env=ENVIRON | {"PRESENCE_REDIS_URL": valkey.url},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        for pause_s in pauses_s:  # too early, or again while it ends: all of it must do
            time.sleep(pause_s)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        _, log = process.communicate(timeout=30)
    assert "Traceback" not in log
    assert "KeyboardInterrupt" not in log


def test_listening_socket_is_ready_before_the_screen(tmp_path: Path, valkey: Server) -> None:
    """Whoever takes the printed line at once is not refused."""
    process = start("serve", "--port", "0", cwd=tmp_path, PRESENCE_REDIS_URL=valkey.url)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        port = int(process.stdout.readline().rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), 5).close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_told_to_stop_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while the app is made is not lost, wherever Python is just then."""
    from service.server import run as server

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    create: Any = vars(server)["create_app"]

    def told(settings: Settings, **options: bool) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return create(settings, **options)

    monkeypatch.setattr(server, "create_app", told)
    access = logging.getLogger("uvicorn.access")  # whose settings uvicorn changes
    for name in ("propagate", "handlers"):
        monkeypatch.setattr(access, name, getattr(access, name))
    try:
        with server.listen("127.0.0.1", 0) as sock:
            assert server.run_here(Settings.from_env({"PRESENCE_REDIS_URL": "memory://"}), sock)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_told_to_stop_before_the_workers_start(valkey: Server) -> None:
    """As above, and in a process of its own, for it writes its environment."""
    program = (
        "from service.server.run import listen, run_workers\n"
        "from service.settings import Settings\n"
        "with listen('127.0.0.1', 0) as sock:\n"
        "    assert run_workers(Settings.from_env(), sock, 2, is_told=lambda: True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path.cwd(),
        env=ENVIRON | {"PRESENCE_REDIS_URL": valkey.url},
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
