"""Sites in one piece and in three, asked over HTTP and on the command line: the same answers."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from service.cli import main
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.cli.commands import run_command
from tests.conftest import Clock, MakeService, Service, patient_store
from tests.servers import Server

OPERATOR = {"Authorization": "Bearer operator"}
SITE = "/v1/sites/blog"
SESSIONS = [f"session-{n:010d}" for n in range(60)]
Pair = tuple[Service, Service]


@pytest.fixture
async def pair(make_service: MakeService, backend_url: str, key_prefix: str) -> Pair:
    """A service whose sites are whole, and one whose sites are in three, after the same hour."""
    made = []
    for shards in ("1", "3"):
        service = await make_service(
            backend_url, SHARDS=shards, ADMIN_TOKEN="operator", KEY_PREFIX=f"{key_prefix}-{shards}"
        )
        service.store.clock = clock = Clock()
        await an_hour(service, clock)
        made.append(service)
    whole, split = made
    return whole, split


async def an_hour(service: Service, clock: Clock) -> None:
    """Heartbeats one by one and many at a time, page views, goodbyes, an end and a timeout."""
    client = service.client

    async def post(endpoint: str, body: Any, status: int = 204) -> None:
        answer = await client.post(f"{SITE}/{endpoint}", json=body, headers=OPERATOR)
        assert answer.status_code == status, answer.text

    def beat(n: int, path: str) -> dict[str, Any]:
        where = {"country": "DE", "city": "Köln", "latitude": 50.94, "longitude": 6.96}
        return {
            "sessionId": SESSIONS[n],
            "currentPath": path,
            "pageType": "post" if path.endswith("1") else "page",
            "referrer": "https://example.org/",
        } | (where if n % 3 == 0 else {"country": "FR"} if n % 3 == 1 else {})

    await post("heartbeats", {"heartbeats": [beat(n, "/gone") for n in range(5)]}, 200)
    clock.advance(130_000)  # and they are gone
    for round_ in range(3):
        many = [beat(n, f"/{n % (4 + round_)}") for n in range(60)]
        await post("heartbeats", {"heartbeats": many}, 200)
        await post("heartbeat", beat(7 + round_, f"/alone/{round_}"))
        await post("views", {"sessionId": SESSIONS[round_], "path": "/view", "pageType": "page"})
        await post("leave", {"sessionId": SESSIONS[20 + round_]})
        clock.advance(61_000)
    ended = await client.delete(f"{SITE}/sessions/{SESSIONS[30]}", headers=OPERATOR)
    assert ended.status_code == 204
    for keys in service.store.keys.of_site("blog"):
        await service.store.sweep(keys.tag)  # the service does so when it comes to it


def as_it_is(answer: str) -> Any:
    return answer


def parsed(answer: str) -> Any:
    return json.loads(answer)


def without_peaks(answer: str) -> Any:
    """A peak is the sum of what each shard noted at its own moment."""
    history = json.loads(answer)
    for point in history["points"]:
        del point["peakActive"]
    return history


def by_session(answer: str) -> Any:
    """Shards are listed one after the other."""
    page = json.loads(answer)
    assert page["nextCursor"] is None
    return sorted(page["sessions"], key=lambda row: str(row["sessionId"]))


def _without_ids(rows: list[Any]) -> Any:
    """Each shard's log has ids of its own."""
    for row in rows:
        del row["id"]
    return sorted(rows, key=str)


def views(answer: str) -> Any:
    return _without_ids(json.loads(answer)["views"])


def view_lines(answer: str) -> Any:
    return _without_ids([json.loads(line) for line in answer.splitlines()])


def events(answer: str) -> Any:
    page = json.loads(answer)
    assert not page["more"]
    return _without_ids(page["events"])


def event_lines(answer: str) -> Any:
    *rows, last = [json.loads(line) for line in answer.splitlines()]
    del last["next"]
    return _without_ids([*rows, last])


def csv_rows(answer: str) -> Any:
    head, *rows = answer.splitlines()
    return head, sorted(row.partition(",")[2] for row in rows)


@pytest.mark.parametrize(
    "path, seen",
    [
        (f"{SITE}/active", parsed),
        (f"{SITE}/active?path=/1", parsed),
        (f"{SITE}/active?path=/nobody", parsed),
        (f"{SITE}/stats", parsed),
        (f"{SITE}/stats?limit=2", parsed),
        (f"{SITE}/history?minutes=30", without_peaks),
        (f"{SITE}/history?minutes=30&every=10", without_peaks),
        (f"{SITE}/history?hours=3", without_peaks),
        (f"{SITE}/badge.svg", as_it_is),
        (f"{SITE}/badge.svg?path=/1&label=here", as_it_is),
        (f"{SITE}/sessions?limit=1000", by_session),
        (f"{SITE}/sessions?limit=1000&path=/1", by_session),
        (f"{SITE}/sessions/{SESSIONS[12]}", parsed),
        (f"{SITE}/views?limit=1000", views),
        (f"{SITE}/views?format=ndjson", view_lines),
        (f"{SITE}/views?format=csv", csv_rows),
        (f"{SITE}/events?limit=1000", events),
        (f"{SITE}/events?format=ndjson&limit=1000", event_lines),
    ],
)
async def test_every_read(pair: Pair, path: str, seen: Callable[[str], Any]) -> None:
    whole, split = [await service.client.get(path, headers=OPERATOR) for service in pair]
    assert (whole.status_code, split.status_code) == (200, 200)
    assert seen(split.text) == seen(whole.text)
    assert len(whole.text) > 30


async def test_the_list_of_sites(pair: Pair) -> None:
    rows = []
    for service in pair:
        await service.store.claim([], 6_000, 0)  # a new site is noted behind its first heartbeat
        rows.append((await service.client.get("/v1/sites", headers=OPERATOR)).json())
    assert rows[0] == rows[1]
    assert [row["site"] for row in rows[0]["sites"]] == ["blog"]
    assert rows[0]["sites"][0]["activeVisitors"] > 50


async def test_counts_with_a_heartbeat(pair: Pair) -> None:
    body = {"sessionId": "session-of-its-own", "currentPath": "/1"}
    answers = [
        (await service.client.post(f"{SITE}/heartbeat?counts=1", json=body)).json()
        for service in pair
    ]
    for answer in answers:
        del answer["heartbeatIntervalMs"]  # told apart by chance
    assert answers[0] == answers[1]
    assert answers[0]["activeOnPath"] > 5


@pytest.mark.parametrize(
    "endpoint, rows, go_on",
    [
        ("sessions?limit=7", "sessions", ("nextCursor", "cursor")),
        ("views?limit=7", "views", ("next", "after")),
        ("events?limit=7", "events", ("next", "after")),
    ],
)
async def test_pages_miss_nothing_and_repeat_nothing(
    pair: Pair, endpoint: str, rows: str, go_on: tuple[str, str]
) -> None:
    everything = []
    for service in pair:
        found: list[str] = []
        more = ""
        while True:
            url = f"{SITE}/{endpoint}{more}"
            page = (await service.client.get(url, headers=OPERATOR)).json()
            found += [
                str([row.get(name) for name in ("sessionId", "path", "type", "at")])
                for row in page[rows]
            ]
            if not page[rows] or not page[go_on[0]]:
                break
            assert len(page[rows]) <= 7
            more = f"&{go_on[1]}={page[go_on[0]]}"
        assert len(set(found)) == len(found)
        everything.append(sorted(found))
    assert everything[0] == everything[1]
    assert len(everything[0]) > 50


# On the command line


async def _fill(url: str, prefix: str, shards: int) -> None:
    store = patient_store(url, Keys(prefix, shards), StoreConfig())
    beats = [
        Heartbeat(one, f"/{n % 4}", "DE" if n % 2 else "", "", "") for n, one in enumerate(SESSIONS)
    ]
    await store.agree_on_shards()
    await store.heartbeats("blog", beats)
    await store.close()


def _ids_and_paths(text: str) -> Any:
    return sorted(line.split("\t")[:2] for line in text.splitlines())


def _paths_and_ids(text: str) -> Any:
    return sorted(line.split("\t")[1:3] for line in text.splitlines())


def _sessions_and_paths(text: str) -> Any:
    return sorted([line.split("\t")[n] for n in (1, 2, 4)] for line in text.splitlines())


def _but_the_moment(text: str) -> Any:
    return re.sub(r"20\d\d-\S+", "", text)


@pytest.mark.parametrize(
    "command, seen",
    [
        (("stats", "blog"), _but_the_moment),
        (("sessions", "blog"), _ids_and_paths),
        (("sessions", "blog", "--path", "/1", "--limit", "0"), _ids_and_paths),
        (("views", "blog", "--last", "100"), _paths_and_ids),
        (("events", "blog", "--last", "100"), _sessions_and_paths),
        (("events", "blog", "--after", "0"), _sessions_and_paths),
        (("export", "blog", "--format", "ndjson"), lambda text: len(text.splitlines())),
        (("export", "blog", "--format", "csv"), lambda text: len(text.splitlines())),
        (("doctor",), as_it_is),
        (("doctor", "blog", "--repair"), as_it_is),
    ],
)
def test_every_command(
    valkey: Server, key_prefix: str, command: tuple[str, ...], seen: Callable[[str], Any]
) -> None:
    shown = []
    for shards in (1, 3):
        prefix = f"{key_prefix}-{shards}"
        asyncio.run(_fill(valkey.url, prefix, shards))
        environ = {
            "PRESENCE_REDIS_URL": valkey.url,
            "PRESENCE_KEY_PREFIX": prefix,
            "PRESENCE_SHARDS": str(shards),
        }
        result = CliRunner().invoke(main, command, env=environ)
        assert result.exit_code == 0, result.output
        shown.append(seen(result.stdout))
    assert shown[0] == shown[1]
    assert shown[0]


@pytest.mark.parametrize("command", [("stats", "blog"), ("doctor",), ("serve", "--port", "0")])
def test_no_command_reads_what_is_split_otherwise(
    valkey: Server, key_prefix: str, command: tuple[str, ...]
) -> None:
    asyncio.run(_fill(valkey.url, key_prefix, 3))
    environ = {"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix}
    result = run_command(*command, environ=environ | {"PRESENCE_SHARDS": "4"})
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "presence: PRESENCE_SHARDS is 4, but what is in Redis below "
        f"{key_prefix}: was written with 3: set it to that, or choose another "
        "PRESENCE_KEY_PREFIX to begin anew"
    ]
    assert not result.stdout
