"""The ACL of deploy/redis.acl is exactly what the service needs, on both servers and a cluster."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.ops.doctor import Doctor
from service.redis.client import connect
from service.redis.scripts import LUA
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.conftest import MakeService, Service, patient_store
from tests.fork_server import run
from tests.restricted import ACL, PASSWORD, restrict, url_of
from tests.servers import Server, cluster, cluster_url

TOPOLOGIES = Path(__file__).parents[2] / "docs" / "topologies.md"
OPERATOR = {"Authorization": "Bearer operator"}
S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"

# Sent by clients as they connect, or only in another topology, or by redis-cli.
_NOT_IN_STATISTICS = {"auth", "select", "ping"}


@pytest.fixture(params=["valkey", "redis7"])
def restricted(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with the user of the file, and with the password of a test."""
    with Server(request.param) as server:
        restrict(server)
        yield server


def rights_for_a_cluster() -> list[str]:
    """What the documentation says is to be added."""
    told = re.search(r"add `([^`]+)` on a cluster", TOPOLOGIES.read_text())
    assert told
    return told[1].replace("\\|", "|").split()


async def do_everything(service: Service) -> None:
    """Every endpoint that speaks to Redis, with outcomes of each kind."""
    client, site = service.client, "/v1/sites/blog"

    async def post(what: str, body: Any) -> int:
        answer = await client.post(f"{site}/{what}", json=body, headers=OPERATOR)
        return answer.status_code

    place = {"country": "DE", "city": "Köln", "latitude": 50.9, "longitude": 7.0}
    beat = {"sessionId": S, "currentPath": "/a", "pageType": "post", "source": "news", **place}
    for path in ("/a", "/a", "/b"):
        assert await post("heartbeat", beat | {"currentPath": path}) == 204
    many = [{"sessionId": f"{n:032d}", "currentPath": f"/{n % 3}", **place} for n in range(20)]
    for _ in range(3):
        assert await post("heartbeats", {"heartbeats": many}) == 200
        many = [beat | {"currentPath": f"{beat['currentPath']}x"} for beat in many]
    assert await post("heartbeat?counts=1", beat) == 200
    assert await post("views", {"sessionId": S, "path": "/c", "pageType": "post"}) == 204
    assert await post("leave", {"sessionId": f"{0:032d}"}) == 204
    assert (await client.delete(f"{site}/sessions/{S}", headers=OPERATOR)).status_code == 204
    for what in (
        "stats", "active?path=/a", "history", "history?hours=3", "sessions", "sessions?path=/0xx",
        f"sessions/{1:032d}", "views", "views?format=csv", "events", "badge.svg",
    ):  # fmt: skip
        answer = await client.get(f"{site}/{what}", headers=OPERATOR)
        assert answer.status_code == 200, (what, answer.text)
    assert (await client.get("/v1/sites", headers=OPERATOR)).status_code == 200
    assert (await client.get("/readyz")).status_code == 200


async def use_users(service: Service) -> None:
    """All that only sites with users need."""
    keys = Keys("presence", service.store.keys.shards, has_users=lambda site: True)
    store = patient_store(url_of_store(service), keys, service.store.config)
    for path, user in [("/a", "anna"), ("/b", "anna"), ("/b", ""), ("/b", "bob")]:
        await store.heartbeat("team", Heartbeat(S, path, "", "", "", user))
    for page in (None, "/a"):
        await store.users("team", limit=10, cursor=None, path=page)
    await store.user_statuses("team", ["anna", "bob"])
    await store.erase_user("team", "anna")
    assert await store.user("team", "anna") is None
    await store.close()


async def fold(store: PresenceStore) -> None:
    """All that folding needs: the change was long ago, and nobody is in the shards before it."""
    for keys in store.keys.of_site("blog")[: -store.keys.layouts_of("blog").shards]:
        client: Any = store.connection.client
        for member in await client.zrange(keys.active, 0, -1):
            await store.end("blog", member.partition(" ")[0])
    store.folding.settle_s = 0
    store.keys.carried_within_ms, within_ms = 0, store.keys.carried_within_ms
    assert (await store.folding.fold("blog")).shards == store.keys.shards
    store.keys.carried_within_ms = within_ms


async def use(service: Service, key_prefix: str) -> None:
    """All that the service does with Redis, the sweeps and the doctor included."""
    await do_everything(service)
    await use_users(service)
    store = service.store
    _, nowhere = await store.stats_and_positions("empty")
    assert await store.changes("empty", nowhere)
    for keys in store.keys.of_site("blog"):
        await store.sweep(keys.tag)  # of whom the sweeper may have let go already
    _, positions = await store.stats_and_positions("blog")
    await service.client.post(
        "/v1/sites/blog/heartbeat", json={"sessionId": S, "currentPath": "/again"}
    )
    assert await store.changes("blog", positions)
    assert await store.last_events("blog", positions)
    assert (await store.layouts.change("blog", store.keys.shards + 1)).current.generation == 1
    again = Heartbeat(S, "/again", "", "", "")
    assert await store.heartbeat("blog", again) == "duplicate"  # in its new shard
    await fold(store)
    connection = connect(url_of_store(service))
    try:
        doctor = Doctor(connection, Keys(key_prefix))
        checkup = await doctor.check()
        assert not checkup.findings
        await connection.client.zincrby(Keys(key_prefix).of_site("blog")[0].pages, 5, "/again")
        await doctor.repair(await doctor.check())
        assert not (await doctor.check()).findings
    finally:
        await connection.close()


def url_of_store(service: Service) -> str:
    url: str = service.app.state.context.settings.redis_url
    return url


def test_every_command_of_the_scripts_is_allowed() -> None:
    called = {
        name.lower()
        for script in LUA.rglob("*.lua")
        for name in re.findall(r"\bredis\.p?call\('(\w+)'", script.read_text())
    }
    assert called <= set(re.findall(r"\+([a-z|]+)", ACL.read_text()))


async def test_it_is_enough_and_not_more(
    restricted: Server, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    restricted.client.execute_command("CONFIG", "RESETSTAT")
    service = await make_service(
        url_of(restricted), KEY_PREFIX="presence", ADMIN_TOKEN="operator", LEAVE_GRACE="0",
        NEW_SESSIONS_PER_MINUTE="60", VIEWS_DAYS="1",
    )  # fmt: skip
    await use(service, "presence")
    await service.store.retention.trim()
    denied = [
        entry
        for entry in restricted.client.execute_command("ACL", "LOG")
        if entry["reason"] != "auth"
    ]
    assert not denied
    allowed = set(re.findall(r"\+([a-z|]+)", ACL.read_text()))
    used = {
        name.removeprefix("cmdstat_").lower()
        for name in restricted.client.execute_command("INFO", "commandstats")
    }
    assert allowed - used - _NOT_IN_STATISTICS == set()


@pytest.mark.parametrize("kind", ["valkey", "redis7"])
async def test_it_is_enough_on_a_cluster(kind: str, make_service: MakeService) -> None:
    with cluster(kind) as nodes:
        for node in nodes:
            restrict(node, *rights_for_a_cluster())
        url = cluster_url(nodes).replace("//", f"//presence:{PASSWORD}@")
        service = await make_service(
            url, KEY_PREFIX="presence", ADMIN_TOKEN="operator", LEAVE_GRACE="0",
            NEW_SESSIONS_PER_MINUTE="60",
        )  # fmt: skip
        await use(service, "presence")
        await service.store.claim([], 6000, 10)
        # A process whose first call is to ask into how many shards sites are split.
        for command in (("stats", "blog"), ("sessions", "blog"), ("doctor", "blog")):
            done = await asyncio.to_thread(
                run, [sys.executable, "-m", "service", *command],
                env=os.environ | {"PRESENCE_REDIS_URL": url, "PRESENCE_KEY_PREFIX": "presence"},
                timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, (done.stdout + done.stderr).decode()
        for node in nodes:
            log = node.client.execute_command("ACL", "LOG")
            assert not [entry for entry in log if entry["reason"] != "auth"]


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("GET", "other:key"),
        ("DEBUG", "SLEEP", "0"), ("SET", "other", "1"), ("SHUTDOWN",), ("ACL", "LIST"),
        ("SUBSCRIBE", "x"), ("MONITOR",),
        ("EVAL", "return redis.call('GET', 'other')", "0"), ("REPLICAOF", "NO", "ONE"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_nothing_else_is_permitted(restricted: Server, command: tuple[str, ...]) -> None:
    with redis.Redis.from_url(url_of(restricted)) as client:  # noqa: SIM117
        with pytest.raises(redis.RedisError, match=r"(?i)permission|NOPERM|can't access"):
            client.execute_command(*command)


@pytest.mark.fault("F17")
@pytest.mark.parametrize("command", ["zadd", "xadd", "hset", "pexpireat", "evalsha", "hgetall"])
async def test_a_command_of_scripts_that_is_not_permitted_is_no_surprise(
    restricted: Server, make_service: MakeService, command: str
) -> None:
    """Such as one that is new in a release, under an ACL of the one before: a script would be
    broken off halfway, so no balancer sends it anything."""
    service = await make_service(url_of(restricted), KEY_PREFIX="presence")
    assert (await service.client.get("/readyz")).status_code == 200
    restricted.client.execute_command("ACL", "SETUSER", "presence", f"-{command}")
    answer = await service.client.get("/readyz")
    assert answer.status_code == 503
    assert f"does not permit {command.upper()}, which is needed" in answer.json()["detail"]
    if command != "hgetall":
        beat = {"sessionId": S, "currentPath": "/a"}
        answer = await service.client.post("/v1/sites/blog/heartbeat", json=beat)
        assert answer.status_code == 503
        assert "does not permit" in answer.json()["detail"]
    restricted.client.execute_command("ACL", "SETUSER", "presence", f"+{command}")
    assert (await service.client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("right", ["evalsha_ro", "eval_ro"])
async def test_an_acl_without_what_only_reads_will_do(
    restricted: Server, make_service: MakeService, right: str
) -> None:
    """As those of earlier releases; also where Redis has forgotten the scripts."""
    service = await make_service(url_of(restricted), KEY_PREFIX="presence")
    restricted.client.execute_command("ACL", "SETUSER", "presence", f"-{right}")
    restricted.client.script_flush()
    for path in ("/v1/sites/blog/stats", "/readyz"):
        assert (await service.client.get(path)).status_code == 200


@pytest.mark.fault("F17")
@pytest.mark.parametrize("password, detail", [("wrong-s3cret", "credentials")])
async def test_a_wrong_password_is_told_to_nobody(
    restricted: Server,
    make_service: MakeService,
    caplog: pytest.LogCaptureFixture,
    password: str,
    detail: str,
) -> None:
    service = await make_service(url_of(restricted, password))
    answer = await service.client.get("/v1/sites/blog/stats")
    assert answer.status_code == 503
    assert detail in answer.json()["detail"]
    assert "s3cret" not in answer.text
    assert "s3cret" not in caplog.text
