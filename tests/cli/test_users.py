"""`presence users`, and what the other commands say of users."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.cli.commands import ROOT, Finished, run_command
from tests.conftest import patient_store
from tests.fork_server import start
from tests.servers import Server

BEATS = [
    ("session-00000001", "/docs/x", "anna", '{"name":"Anna B."}'),
    ("session-00000002", "/docs/y", "anna", '{"name":"Anna B."}'),
    ("session-00000003", "/docs/x", "bob", ""),
    ("session-00000004", "/docs/x", "", ""),
]


async def fill(
    url: str, prefix: str, site: str = "team", beats: list[tuple[str, str, str, str]] = BEATS
) -> None:
    store = patient_store(url, Keys(prefix, has_users=lambda site: True), StoreConfig())
    for session, path, user, details in beats:
        await store.heartbeat(site, Heartbeat(session, path, "", "", details, user))
    await store.close()


@pytest.fixture
def environ(valkey: Server, key_prefix: str, tmp_path: Path) -> dict[str, str]:
    asyncio.run(fill(valkey.url, key_prefix))
    file = tmp_path / "sites.toml"
    file.write_text(
        '["team"]\nuser_secrets = ["a secret of at least thirty-two bytes"]\n["plain"]\n'
    )
    return {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }


def rows(result: Finished) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_who_is_here(environ: dict[str, str]) -> None:
    anna, bob = rows(run_command("users", "team", environ=environ))
    assert (anna[:3], anna[5:]) == (["anna", "Anna B.", "2"], ["/docs/x", "/docs/y"])
    assert (bob[:3], bob[5:]) == (["bob", "", "1"], ["/docs/x"])
    assert all(re.fullmatch(r"20\d\d-.*Z", cell) for cell in anna[3:5])


def test_stats_say_how_many_they_are(environ: dict[str, str]) -> None:
    told = run_command("stats", "team", environ=environ)
    assert re.match(r"\d+ active on team, 2 users at 20", told.stdout), told.stdout
    told = run_command("stats", "plain", environ=environ)
    assert " active on plain at 20" in told.stdout


def test_of_one_page_and_only_so_many(environ: dict[str, str]) -> None:
    on_page = run_command("users", "team", "--path", "/docs/y?q", environ=environ)
    assert [row[0] for row in rows(on_page)] == ["anna"]
    limited = run_command("users", "team", "--limit", "1", environ=environ)
    assert [row[0] for row in rows(limited)] == ["anna"]
    assert "there are 2: --limit 0 shows all of team" in limited.stderr
    everybody = run_command("users", "team", "--limit", "0", environ=environ)
    assert [row[0] for row in rows(everybody)] == ["anna", "bob"]
    assert not everybody.stderr


@pytest.mark.parametrize(
    "args, code, said",
    [
        (("plain",), 1, "plain: this site has no users: give it user_secrets"),
        (("team", "--path", "x"), 2, "--path must begin with"),
        (("team", "--limit", "-1"), 2, "not a whole number"),
    ],
)
def test_failures_are_one_line(
    environ: dict[str, str], args: tuple[str, ...], code: int, said: str
) -> None:
    result = run_command("users", *args, environ=environ)
    assert result.exit_code == code
    assert said in result.stderr
    assert not result.stdout


def test_watching_goes_on_until_it_is_stopped(environ: dict[str, str]) -> None:
    with start(
        [sys.executable, "-m", "service", "users", "team", "--watch"],
        cwd=ROOT, env=os.environ | environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        shown = 0
        for line in process.stdout:
            shown += line.startswith("2 users on team at 20")
            if shown == 2:
                break
        process.send_signal(2)
        assert process.wait(20) == 0


def test_a_path_is_no_markup(environ: dict[str, str]) -> None:
    url, prefix = environ["PRESENCE_REDIS_URL"], environ["PRESENCE_KEY_PREFIX"]
    path = "/a[/b]" + "/long" * 30
    beats = [(f"session-1000000{n}", path, f"user-{n}", "") for n in range(2)]
    asyncio.run(fill(url, prefix, beats=beats))
    done = run_command("users", "team", "--path", path, "--limit", "1", environ=environ)
    assert done.exit_code == 0
    assert done.stderr == f"there are 2: --limit 0 shows all of {path} of team\n"


def test_watching_a_page_says_so(environ: dict[str, str]) -> None:
    """With exact times, which are for programs."""
    with start(
        [sys.executable, "-m", "service", "users", "team", "--path", "/docs/y", "--watch"],
        cwd=ROOT, env=os.environ | environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        headline, _, _, anna = (next(process.stdout) for _ in range(4))
        process.send_signal(2)
        process.wait(20)
    assert headline.startswith("1 user on /docs/y of team at 20")
    assert len(re.findall(r"20\d\d-\S+\.\d{3}Z", anna)) == 2, anna


def test_sessions_say_whose_they_are(environ: dict[str, str]) -> None:
    of_team = rows(run_command("sessions", "team", environ=environ))
    assert {row[0][-1]: row[6] for row in of_team} == {
        "1": "anna", "2": "anna", "3": "bob", "4": "",
    }  # fmt: skip
    of_blog = rows(run_command("sessions", "plain", environ=environ))
    assert of_blog == []


def test_users_of_the_demo_are_seen_without_a_sites_file(
    environ: dict[str, str], valkey: Server, key_prefix: str
) -> None:
    """`serve --demo` makes up a secret that no other process has; readers need none."""
    del environ["PRESENCE_SITES_FILE"]
    assert run_command("users", "demo", environ=environ).exit_code == 1
    asyncio.run(fill(valkey.url, key_prefix, "demo"))
    assert [row[0] for row in rows(run_command("users", "demo", environ=environ))] == [
        "anna",
        "bob",
    ]
    of_demo = rows(run_command("sessions", "demo", environ=environ))
    assert {row[6] for row in of_demo} == {"anna", "bob", ""}
    assert run_command("doctor", "demo", environ=environ).stdout == "demo: all is well\n"
    users = Keys(key_prefix, has_users=lambda site: True).of_site("demo")[0].users
    valkey.client.hdel(users, "anna")
    assert "invariant 6" in run_command("doctor", environ=environ).stdout
    # Of other sites nothing is known, whatever Redis has.
    assert run_command("users", "team", environ=environ).exit_code == 1
