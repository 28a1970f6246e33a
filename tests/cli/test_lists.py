"""`sessions`, `users` and `views`: columns on a terminal, lines with tabs in a pipe."""

import asyncio
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
from tests.servers import Server

LONG = "/docs/reference/" + "configuration/" * 10 + "tls"
IDS = [f"5f1c0a53-7d7b-7f3e-9d57-3a1d8f3f6b{n:02x}" for n in range(6)]
BEATS = [  # the last are such as only a hand can write to Redis
    (IDS[0], "/", "DE", "anna"),
    (IDS[1], "/日本語/カタログ", "JP", "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"),
    (IDS[2], "/שלום/עולם", "IL", ""),
    (IDS[3], LONG, "", "bob@example.org"),
    (IDS[4], "/\x1b[2J\x07\t/x", "", ""),
    (IDS[5], "/[red]é", "FR", "anna"),
]


def escaped(path: str) -> str:
    return path.replace("\x1b", "\\x1b").replace("\x07", "\\x07").replace("\t", "\\t")


async def fill(url: str, prefix: str, beats: list[tuple[str, str, str, str]]) -> None:
    store = patient_store(url, Keys(prefix, has_users=lambda site: True), StoreConfig())
    for session, path, country, user in beats:
        details = f'{{"name":"{user.title()}"}}' if user else ""
        await store.heartbeat("team", Heartbeat(session, path, country, "", details, user))
    await store.close()


@pytest.fixture
def environ(valkey: Server, key_prefix: str, tmp_path: Path) -> dict[str, str]:
    asyncio.run(fill(valkey.url, key_prefix, BEATS))
    file = tmp_path / "sites.toml"
    file.write_text('["team"]\nuser_secrets = ["a secret of at least thirty-two bytes"]\n')
    return {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }


LISTS = [
    pytest.param("sessions", 0, r"session +page +last seen", id="sessions"),
    pytest.param("views", 2, r" +at +page +session", id="views"),
    pytest.param("events", 4, r" +at +event +page", id="events"),
    pytest.param("users", 0, r"user +.*last seen +page", id="users"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("command, id_column, header", LISTS)
def test_columns_fit_the_terminal(
    environ: dict[str, str], tmp_path: Path, command: str, id_column: int, header: str, width: int
) -> None:
    lines = shown_on_terminal(command, "team", environ=environ, cwd=tmp_path, size=(width, 24))
    assert all(cell_len(line) <= width for line in lines), lines
    assert "\x1b" not in "".join(lines)
    assert "\x07" not in "".join(lines)
    if width >= 60:
        assert re.match(header, lines[0]), lines
        assert any(re.search(r"\b(?:ago|now)\b", line) for line in lines)
        # Whatever a path holds, what comes after it stands below its header.
        assert len(lines) == (1 + 6 if command != "users" else 1 + 4)
    if command != "users":
        assert all(f"…8f3f6b{n:02x}" in "\n".join(lines) for n in range(6)), lines
        assert IDS[0] not in "\n".join(lines)


@pytest.mark.parametrize("command, id_column, header", LISTS)
def test_full_ids(
    environ: dict[str, str], tmp_path: Path, command: str, id_column: int, header: str
) -> None:
    lines = shown_on_terminal(command, "team", "--full-ids", environ=environ, cwd=tmp_path)
    ids = [BEATS[1][3]] if command == "users" else IDS
    assert all(any(id in line for line in lines) for id in ids), lines
    help_text = " ".join(run_command(command, "--help", environ=environ).stdout.split())
    assert "--full-ids" in help_text
    assert "Piped, it writes one" in help_text


@pytest.mark.parametrize("force", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}], ids=str)
@pytest.mark.parametrize("command, id_column, header", LISTS)
def test_scripts_are_given_everything(
    environ: dict[str, str], command: str, id_column: int, header: str, force: dict[str, str]
) -> None:
    """Tabs, full ids and exact times, whatever a CI says of colours."""
    done = run_command(command, "team", environ=environ | force)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    whose = {user for _, _, _, user in BEATS if user} if command == "users" else set(IDS)
    assert {row[id_column] for row in rows} == whose
    times = [cell for row in rows for cell in row if re.fullmatch(r"20\d\d-.*\.\d{3}Z", cell)]
    assert len(times) == len(rows) * (1 if command in ("views", "events") else 2)
    if command != "users":
        page = 2 if command == "events" else 1
        assert {row[page] for row in rows} == {escaped(path) for _, path, _, _ in BEATS}
        assert {len(row) for row in rows} == {{"sessions": 7, "events": 8}.get(command, 6)}


@pytest.mark.parametrize("command, id_column, header", LISTS)
@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_terminal_without_unicode(
    environ: dict[str, str],
    tmp_path: Path,
    command: str,
    id_column: int,
    header: str,
    encoding: str,
) -> None:
    known = environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    lines = shown_on_terminal(command, "team", environ=known, cwd=tmp_path, size=(80, 24))
    assert all(cell_len(line) <= 80 for line in lines), lines
    assert any("~" in line for line in lines)
    assert any(("é" if encoding != "ascii" else "\\xe9") in line for line in lines)


def test_a_pipe_without_unicode(environ: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "sessions", "team"],
        env=CLEAN | environ | {"PYTHONIOENCODING": "iso-8859-1"}, cwd=ROOT, capture_output=True,
        encoding="iso-8859-1", timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "/\\u65e5" in done.stdout
    assert "/[red]é" in done.stdout


def test_no_color(environ: dict[str, str], tmp_path: Path) -> None:
    for is_on in (False, True):
        known = environ | ({"NO_COLOR": "1"} if is_on else {})
        with on_terminal("stats", "team", environ=known, cwd=tmp_path) as terminal:
            assert terminal.finish() == 0
            assert bool(re.search(r"\x1b\[[\d;]*3\dm", terminal.text)) != is_on


@pytest.mark.parametrize("command, said", [
    (("sessions", "team", "--path", "/none"), "nobody is on /none"),
    (("users", "team", "--path", "/none"), "no user is on /none of team"),
    (("views", "team", "--last", "0"), "no page view of team is shown"),
    (("events", "team", "--last", "0"), "no event of team is shown"),
])  # fmt: skip
def test_nothing_is_said_to_be_nothing(
    environ: dict[str, str], tmp_path: Path, command: tuple[str, ...], said: str
) -> None:
    assert shown_on_terminal(*command, environ=environ, cwd=tmp_path) == [said]
    assert run_command(*command, environ=environ).output == ""


def test_following_on_a_terminal(
    environ: dict[str, str], tmp_path: Path, valkey: Server, key_prefix: str
) -> None:
    """One header, below it what was and what comes in the same columns, and a new header when the
    width is another."""
    with on_terminal(
        "views", "team", "--follow", environ=environ, cwd=tmp_path, size=(60, 24)
    ) as terminal:
        terminal.read_until("8f3f6b05")
        header, *rows = terminal.lines
        assert re.match(r"at, UTC +page +session", header)
        assert len(rows) >= 6
        begin = header.index("session")
        late = [(f"late-session-{n:08}", f"/late/{n}", "DE", "") for n in range(3)]
        asyncio.run(fill(valkey.url, key_prefix, late[:1]))
        terminal.read_until(re.compile(r"/late/0.*\n"))
        assert terminal.lines[-1][begin:].startswith("…00000000"), terminal.lines
        assert re.match(r"\d\d:\d\d:\d\d  /late/0 ", terminal.lines[-1])
        assert all(cell_len(line) <= 60 for line in terminal.lines)
        assert terminal.plain.count("at, UTC") == 1
        terminal.resize(90, 24)
        asyncio.run(fill(valkey.url, key_prefix, late[1:]))
        terminal.read_until(re.compile(r"/late/2.*\n"))
        assert terminal.plain.count("at, UTC") == 2
        wider = terminal.lines[-3].index("session")
        assert terminal.lines[-1][wider:].startswith("…00000002"), terminal.lines
        assert terminal.finish(signal.SIGINT) == 0
        assert "Traceback" not in terminal.text
