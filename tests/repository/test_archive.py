"""What docs/archive.md shows is run as it stands there, line by line, against a real service."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from service.models import LoggedEvent
from service.store.keys import Keys
from tests import invariants
from tests.browser.site import LiveService
from tests.servers import Server, missing, wait_until

PAGE = (Path(__file__).parents[2] / "docs/archive.md").read_text()
KINDS = {"postgresql": "## PostgreSQL\n", "duckdb": "## DuckDB and Parquet\n"}
TOKEN = "the-token-of-the-site"
CURL = shutil.which("curl")


def blocks(kind: str, language: str) -> list[str]:
    """The code of one language in a chapter of the page, in order."""
    chapter = PAGE.partition(KINDS[kind])[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", chapter, re.DOTALL)


@dataclass
class Archive:
    """An archive as the page makes it, and what cron does."""

    kind: str
    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def set_up(self, events_url: str) -> None:
        """What is done once."""
        setup, load = blocks(self.kind, "sql")[:2]
        env = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)[0]
        shown = "https://presence.example.org/v1/sites/blog/events"
        assert shown in env
        (self.home / "presence.env").write_text(env.replace(shown, events_url))
        (self.home / "presence-load.sql").write_text(load)
        (self.home / "setup.sql").write_text(setup)
        (command,) = re.findall(r"Once, `(.*? -f setup\.sql)`", self.chapter)
        assert self.run(f"cd ~; {command}") == ""

    @property
    def chapter(self) -> str:
        return PAGE.partition(KINDS[self.kind])[2].partition("\n## ")[0]

    def cron(self, line: int = 0, change: tuple[str, str] = ("", "")) -> str:
        """What a line of the page's prints as cron runs it."""
        command = blocks(self.kind, "crontab")[line].strip()
        assert "%" not in command, "means something else to cron"
        assert "\n" not in command
        return self.run(command.split(" ", 5)[5].replace(*change))

    def query(self, sql: str) -> list[str]:
        """The rows of a query."""
        client = {
            "postgresql": "psql -qAtX -c",
            "duckdb": "duckdb -noheader -list ~/presence.duckdb -c",
        }
        return self.run(f'{client[self.kind]} "{sql}"').splitlines()

    def run(self, command: str) -> str:
        """What a shell command prints, on either of its outputs."""
        done = subprocess.run(
            ["sh", "-c", command], env=self.environ, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    def events(self) -> list[LoggedEvent]:
        """All that is kept, in the order of the log."""
        rows = self.query("select event from presence_events order by happened, id")
        events = [msgspec.json.decode(row, type=LoggedEvent) for row in rows]
        return sorted(events, key=lambda e: [int(n) for n in e.id.replace("/", "-").split("-")])


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """How to connect to a PostgreSQL of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else "")
    if not initdb or not shutil.which("psql"):
        missing("postgresql")
    folder = Path(tempfile.mkdtemp(prefix="presence-postgres-"))
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user)
    options = ["-D", f"{folder}/data"]
    subprocess.run(
        [initdb, *options, "-U", "postgres", "-A", "trust", "--no-sync"],
        user=user, cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(initdb).with_name("postgres")), *options, "-k", str(folder), "-F",
             "-c", "listen_addresses="],
            user=user, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    environ = {"PGHOST": str(folder), "PGUSER": "postgres", "PGDATABASE": "postgres"}
    try:
        ready = ["psql", "-qAtXc", "select 1"]
        wait_until(
            lambda: (
                subprocess.run(ready, env=os.environ | environ, capture_output=True).returncode == 0
            ),
            what="PostgreSQL",
        )
        yield environ
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    if CURL is None:
        missing("curl")
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if request.param == "postgresql":
        environ |= request.getfixturevalue("postgres")
        environ["PGDATABASE"] = "template1"
        kept = Archive("postgresql", home, environ)
        kept.query("drop database if exists presence with (force)")
        kept.query("create database presence")
        environ["PGDATABASE"] = "presence"
        return kept
    return Archive(request.param, home, environ)


@pytest.fixture
def service(shards: int, valkey: Server, key_prefix: str, tmp_path: Path) -> Iterator[LiveService]:
    (tmp_path / "sites.toml").write_text(f'[blog]\ntoken = "{TOKEN}"\n')
    live = LiveService(
        tmp_path, valkey.url, SITES_FILE=str(tmp_path / "sites.toml"), KEY_PREFIX=key_prefix,
        SHARDS=str(shards), SESSION_TIMEOUT="600", HEARTBEAT_INTERVAL="30",
    )  # fmt: skip
    try:
        yield live.start()
    finally:
        live.close()


def firsts(events: list[LoggedEvent]) -> set[str]:
    """The oldest event of each shard."""
    return set({event.id.partition("/")[2]: event.id for event in reversed(events)}.values())


@pytest.mark.parametrize("archive", ["duckdb"], indirect=True)
def test_a_month_is_a_parquet_file(archive: Archive) -> None:
    archive.set_up("http://127.0.0.1:1")
    for month in (9, 10, 11):
        archive.query(
            f"insert into presence_events select n, timestamp '2026-{month}-03' + interval (n) "
            "minute, 'joined', 's', '/', '{}' from "
            f"range({month * 100}, {month * 100 + 50}) as r(n)"
        )
    for _ in range(2):  # each night anew
        assert archive.cron(1) == ""
        files = sorted(archive.home.glob("presence-events/*/*/*.parquet"))
        assert len(files) == 3
        kept = f"'{archive.home}/presence-events/*/*/*.parquet'"
        assert archive.query(f"select count(distinct id), count(*) from {kept}") == ["150|150"]


@pytest.mark.parametrize("shards", [1, 3])
def test_every_event_is_kept_once(
    archive: Archive, service: LiveService, valkey: Server, key_prefix: str, shards: int
) -> None:
    sessions = [f"session-{n:010d}" for n in range(100)]

    def move_to(path: str, country: str = "DE") -> None:
        beats = [{"sessionId": one, "currentPath": path, "country": country} for one in sessions]
        service.beat_all("blog", beats, TOKEN)

    archive.set_up(f"http://127.0.0.1:{service.port}/v1/sites/blog/events")
    assert archive.cron() == ""  # nothing yet
    assert archive.events() == []
    for n in range(22):  # more than two pages; a path that JSON, CSV and SQL would each escape
        move_to(f"/{n}/\"it's\\, $1")
    # A run that breaks off keeps nothing of what it cannot read, and the next makes up for it.
    program = "psql -qAt1" if archive.kind == "postgresql" else "duckdb -bail"
    assert archive.cron(0, (f"| {program}", f"| head -c 9999 | {program}")) != ""
    assert archive.events() == []
    assert archive.cron() == ""
    assert len(archive.events()) == 2200
    assert archive.cron() == ""  # nothing new
    move_to("/last")
    assert archive.cron() == ""
    # Copied again from the beginning, nothing is there twice.
    for kept in (archive.events(), None):
        if kept is None:
            archive.query("update presence_cursor set next = ''")
            assert archive.cron() == ""
        events = archive.events()
        assert len({event.id for event in events}) == len(events) == 2300
        members = {
            member
            for keys in Keys(key_prefix, shards).of_site("blog")
            for member in valkey.client.zrange(keys.active, 0, -1)
        }
        assert invariants.here_after(map(invariants.as_logged, events)) == members
        assert len(members) == 100
    # What the log does not have any more is told, and what it has is copied.
    archive.query("update presence_cursor set next = '1'")
    assert set(re.findall(r"events before \S+ are missing\n", archive.cron())) == {
        f"events before {told} are missing\n" for told in firsts(events)
    }
    assert archive.cron() == ""
    assert len(archive.events()) == 2300
    rows = archive.query("select distinct path from presence_events where type = 'moved'")
    assert {f"/{n}/\"it's\\, $1" for n in range(1, 22)} | {"/last"} == set(rows)
