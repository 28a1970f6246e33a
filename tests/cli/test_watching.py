"""`--watch` on a terminal: frames that fit it, whatever its size, and the screen is given back."""

import asyncio
import re
import signal
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET, UnsetType
from rich.cells import cell_len

from service.cli.columns import Space
from service.cli.dashboard import bar_of, dashboard
from service.models import CountryCount, DeviceCount, PathCount, PathViews, SourceCount, Stats
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.cli.terminal import Terminal, on_terminal
from tests.conftest import patient_store
from tests.servers import Server

NOW = 1_795_549_741_251
NAMES = ["/", "/" + "long/" * 90, "/日本語/カタログ", "/שלום/עולם", "/👩‍👩‍👧", "/\x1b[2J", "/é"]
NAMES += [f"/page/{n}" for n in range(20)]
FULL = Stats(
    activeVisitors=1234, activeByPath=[PathCount(p, 60 - n) for n, p in enumerate(NAMES)],
    totalPageViews=10**6, uniqueVisitors=10**5, uniqueVisitorsToday=10, trackingSince=NOW,
    pageStats=[PathViews(p, 9_000 - n, None) for n, p in enumerate(NAMES)], totalPaths=700,
    activeByCountry=[CountryCount(c or None, 9) for c in ("DE", "", "FR", "US", "JP")],
    visitorLocations=[], sessionTimeoutMs=120_000, sweepBacklog=3, asOf=NOW,
)  # fmt: skip
EMPTY = Stats(0, [], 0, 0, 0, None, [], 0, [], [], 120_000, 0, NOW)
SIZES = [(1, 1), (20, 3), (40, 8), (60, 12), (60, 24), (80, 24), (99, 50), (100, 30), (250, 80)]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("stats", [FULL, EMPTY], ids=["full", "empty"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_dashboard_fits(size: tuple[int, int], stats: Stats, encoding: str) -> None:
    width, height = size
    lines = dashboard("blog", stats, 50, Space(width, height, encoding))
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    text = "\n".join(line.plain for line in lines)
    assert "\x1b" not in text
    text.encode(encoding)


@pytest.mark.parametrize(
    "pages, elsewhere, top, heading",
    [
        (27, 0, 50, "active by page"),
        (27, 0, 5, "active by page, and 22 more"),
        (50, 0, 5, "active by page, and 45 more"),
        (50, 0, 50, "active by page"),
        (50, 1, 5, "active by page, and more"),  # of which no more are read
        (50, 1, 50, "active by page, and more"),
    ],
)
def test_it_says_how_many_pages_it_leaves_out(
    pages: int, elsewhere: int, top: int, heading: str
) -> None:
    rows = [PathCount(f"/{n}", 60 - n) for n in range(pages)]
    here = sum(row.count for row in rows) + elsewhere
    stats = msgspec.structs.replace(FULL, activeByPath=rows, activeVisitors=here)
    lines = dashboard("blog", stats, top, Space(60, None))
    assert heading in [line.plain for line in lines]


@pytest.mark.parametrize("size", [(60, None), (120, None), (120, 30), (40, 8)], ids=str)
def test_it_says_how_people_came(size: tuple[int, int | None]) -> None:
    """Where pages say it; those who came by no link are `direct`."""
    stats = msgspec.structs.replace(
        FULL,
        activeBySource=[SourceCount("news.example", 3), SourceCount(None, 2)],
        activeByMedium=[],
        activeByDevice=[DeviceCount("phone", 4), DeviceCount(None, 1)],
    )
    width, height = size
    text = "\n".join(line.plain for line in dashboard("blog", stats, 3, Space(width, height)))
    if height != 8:
        for said in ("active by source", "news.example", "direct", "active by device", "unknown"):
            assert said in text, said
    assert "active by medium" not in text
    assert len(text.splitlines()) <= (height or 1000)
    assert "active by source" not in str(dashboard("blog", FULL, 3, Space(width, height)))


@pytest.mark.parametrize(
    "size, headings",
    [
        ((60, 24), "active by page, and 22 more|active by country|page views, and 695 more"),
        ((60, 9), "active by page, and 26 more|active by country, and 4 more"),
        ((120, 24), "active by page, and 19 more|page views, and 691 more"),
    ],
    ids=str,
)
def test_lists_share_the_height(size: tuple[int, int], headings: str) -> None:
    lines = [line.plain for line in dashboard("blog", FULL, 50, Space(*size))]
    assert len(lines) == size[1], lines
    found = [line for line in lines if line.startswith(("active by", "page views"))]
    assert "|".join(line.split("  ")[0] for line in found) == headings


@pytest.mark.parametrize(
    "users, said",
    [(UNSET, "blog  at"), (0, "blog, 0 users "), (1, "blog, 1 user "), (7, "7 users")],
)
def test_users_are_told_where_a_site_knows_them(users: int | UnsetType, said: str) -> None:
    (first, *_) = dashboard("blog", msgspec.structs.replace(EMPTY, activeUsers=users), 5, Space(80))
    assert said in first.plain


def test_without_a_height_all_is_there() -> None:
    text = "\n".join(line.plain for line in dashboard("blog", FULL, 50, Space(60)))
    assert all(f"/page/{n}" in text for n in range(20))


@pytest.mark.parametrize(
    "share, unicode, ascii",
    [
        (0.0, "▏", "#"), (0.001, "▏", "#"), (0.1, "▊", "#"), (0.5, "████", "####"),
        (0.55, "████▍", "####"), (1.0, "████████", "########"),
    ],
)  # fmt: skip
def test_bars(share: float, unicode: str, ascii: str) -> None:
    assert bar_of(share, 8, Space(80)) == unicode
    assert bar_of(share, 8, Space(80, None, "ascii")) == ascii


# On a real terminal


async def fill(url: str, prefix: str, names: list[str]) -> None:
    store = patient_store(url, Keys(prefix, has_users=lambda site: True), StoreConfig())
    for n, name in enumerate(names):
        beat = Heartbeat(f"session-{n:08}", name, "DE", "", "", f"user-{n}")
        await store.heartbeat("team", beat)
    await store.close()


@pytest.fixture
def environ(valkey: Server, key_prefix: str, tmp_path: Path) -> dict[str, str]:
    asyncio.run(fill(valkey.url, key_prefix, NAMES))
    file = tmp_path / "sites.toml"
    file.write_text('["team"]\nuser_secrets = ["a secret of at least thirty-two bytes"]\n')
    return {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }


def frame_of(terminal: Terminal, size: tuple[int, int]) -> list[str]:
    """The last frame that was drawn for a size: lines are padded to the width, and there are as
    many as the screen has."""

    def found() -> list[list[str]]:
        frames = terminal.frames
        return [f for f in frames if (cell_len(f[0]), len(f)) == size]

    terminal.read_while(lambda: not found())
    return found()[-1]


@pytest.mark.parametrize("command", ["stats", "users"])
def test_a_watcher_fits_its_terminal_and_gives_it_back(
    environ: dict[str, str], tmp_path: Path, command: str
) -> None:
    args = (command, "team", "--watch")
    with on_terminal(*args, environ=environ, cwd=tmp_path, size=(100, 30)) as terminal:
        for size in [(100, 30), (60, 12), (120, 40), (40, 6)]:
            terminal.resize(*size)
            frame = frame_of(terminal, size)
            assert all(cell_len(line) == size[0] for line in frame), frame
            assert "27" in frame[0]
            assert "team" in frame[0]
            if command == "stats" and size[0] > 40:
                assert "27 active on team, 27 users" in frame[0]
        assert terminal.finish(signal.SIGINT) == 0
        assert terminal.is_restored
        # Nothing is left of it, and nothing was ever erased before it was drawn anew.
        assert terminal.text.startswith("\x1b[?1049h")
        assert terminal.text.rstrip().endswith("\x1b[?1049l")
        assert not re.search(r"\x1b\[[0-3]?[JK]", terminal.text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_however_it_ends_the_screen_is_restored(
    environ: dict[str, str], tmp_path: Path, number: int
) -> None:
    with on_terminal("stats", "team", "--watch", environ=environ, cwd=tmp_path) as terminal:
        terminal.read_until("active by page")
        assert terminal.finish(number) == 0
        assert terminal.is_restored
        assert "Traceback" not in terminal.text


def test_stopped_for_a_while_it_gives_the_screen_back(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Ctrl-Z, and later `fg`."""
    enter, leave = "\x1b[?1049h", "\x1b[?1049l"
    with on_terminal("stats", "team", "--watch", environ=environ, cwd=tmp_path) as terminal:
        for times in (1, 2):
            terminal.read_while(lambda: "27 users" not in terminal.text.rpartition(enter)[2])
            terminal.process.send_signal(signal.SIGTSTP)

            def has_not_come_back(times: int = times) -> bool:
                if terminal.text.count(leave) == times:
                    terminal.process.send_signal(signal.SIGCONT)
                return terminal.text.count(enter) == times

            terminal.read_while(has_not_come_back)
            between = terminal.text.rpartition(leave)[2].rpartition(enter)[0]
            assert "\x1b[?25h" in between
        terminal.read_while(lambda: "27 users" not in terminal.text.rpartition(enter)[2])
        assert "\x1b[?25l" in terminal.text.rpartition(enter)[2]
        assert terminal.finish(signal.SIGINT) == 0
        assert terminal.is_restored


def test_a_terminal_that_cannot_move_its_cursor(environ: dict[str, str], tmp_path: Path) -> None:
    dumb = environ | {"TERM": "dumb"}
    with on_terminal("stats", "team", "--watch", environ=dumb, cwd=tmp_path) as terminal:
        terminal.read_until(re.compile("(?s)27 active on team.*27 active on team"))
        assert terminal.finish(signal.SIGINT) == 0
        assert "\x1b[?" not in terminal.text
        assert "\x1b[H" not in terminal.text


def test_a_watcher_outlives_redis(tmp_path: Path) -> None:
    """What was last known stays on the screen, below what is wrong."""
    with Server("valkey") as server:
        asyncio.run(fill(server.url, "presence", ["/here"]))
        environ = {"PRESENCE_REDIS_URL": server.url}
        with on_terminal("stats", "team", "--watch", environ=environ, cwd=tmp_path) as terminal:
            terminal.read_until("/here")
            server.kill()
            terminal.read_until("; trying again")
            terminal.read_while(lambda: "trying again" not in terminal.frames[-1][0])
            assert any("/here" in line for line in terminal.frames[-1])
            server.start()
            terminal.read_while(lambda: "trying again" in terminal.frames[-1][0])
            assert terminal.finish(signal.SIGINT) == 0
            assert terminal.is_restored
