"""What the service and `presence webhooks` tell of webhooks, and that nothing of it is secret."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from service.ops.delete_site import delete_site
from service.store.writer import Heartbeat
from tests.cli.commands import Finished, run_command
from tests.cli.terminal import shown_on_terminal
from tests.conftest import MakeService, Service
from tests.servers import Server
from tests.webhooks.conftest import until
from tests.webhooks.receiver import SECRET, Receiver, sites_file

OPERATOR = {"Authorization": "Bearer operator-token"}
USERS = ["site.occupied", "user.online", "user.offline"]
SESSION = "session-0000000001"


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path, receiver: Receiver) -> Service:
    """An app with one endpoint, told of users."""
    file = tmp_path / "sites.toml"
    file.write_text(sites_file(receiver.url, events=USERS, settle=0))
    made: Service = await make_service(ADMIN_TOKEN="operator-token", SITES_FILE=str(file))
    return made


async def status_of(service: Service) -> dict[str, Any]:
    answer = await service.client.get("/v1/sites/blog/webhooks", headers=OPERATOR)
    assert answer.status_code == 200
    (status,) = answer.json()["webhooks"]
    return dict(status)


async def ask_for_test(service: Service, name: str = "backend") -> httpx.Response:
    path = f"/v1/sites/blog/webhooks/{name}/test"
    return await service.client.post(path, headers=OPERATOR)


async def test_it_says_how_sending_goes(service: Service, receiver: Receiver) -> None:
    receiver.answers.append("500")
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", "anna"))
    await until(lambda: "user.online" in receiver.types)
    while (status := await status_of(service))["delivered"] < 2:
        pass
    lag, success, error = (status.pop(name) for name in ("lag", "lastSuccess", "lastError"))
    assert status == {
        "name": "backend",
        "origin": f"http://127.0.0.1:{receiver.port}",
        "events": sorted(USERS),
        "format": "standard",
        "served": True,
        "paused": False,
        "delivered": 2,
        "dropped": 0,
    }
    assert (lag, error["reason"]) == (0, "answered 500")
    assert error["at"] <= success


async def test_a_test_is_sent_and_ends_a_pause(service: Service, receiver: Receiver) -> None:
    receiver.answers.extend(["410", "500"])
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", ""))
    while not (status := await status_of(service))["paused"]:
        pass
    assert (status["lag"], status["dropped"], status["served"]) == (None, 1, False)

    refused = (await ask_for_test(service)).json()
    assert (refused["taken"], refused["status"], refused["reason"]) == (False, 500, "answered 500")
    assert (await status_of(service))["paused"]

    taken = (await ask_for_test(service)).json()
    assert (taken["taken"], taken["status"], taken["reason"]) == (True, 204, None)
    one = receiver.received[-1]
    body: Any = Verifier(SECRET).verify(one.body, one.headers)
    (event,) = body["events"]
    assert (event["type"], event["seq"], event["activeVisitors"]) == ("webhook.test", 0, 1)
    assert not (await status_of(service))["paused"]


async def test_who_may(service: Service) -> None:
    client = service.client
    for method, path in (("GET", "webhooks"), ("POST", "webhooks/backend/test")):
        answer = await client.request(method, f"/v1/sites/blog/{path}")
        assert answer.status_code == 401
        other = {"Authorization": "Bearer another"}
        answer = await client.request(method, f"/v1/sites/blog/{path}", headers=other)
        assert answer.status_code == 403
        answer = await client.request(method, f"/v1/sites/nowhere/{path}", headers=OPERATOR)
        assert answer.status_code == 404
    assert (await ask_for_test(service, "other")).status_code == 404


async def test_metrics_name_endpoints(service: Service, receiver: Receiver) -> None:
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", ""))
    await until(lambda: receiver.taken)
    labels = 'site="blog",webhook="backend"'
    line = f'presence_webhook_events_total{{outcome="delivered",{labels}}} 1.0'

    async def shown() -> str:
        return (await service.client.get("/metrics")).text

    while line not in (text := await shown()):
        pass
    for name in ("lag_seconds", "paused"):
        assert f"presence_webhook_{name}{{{labels}}} 0.0" in text


async def test_a_service_without_webhooks_has_nothing_of_them(make_service: MakeService) -> None:
    """Not a metric, task or key."""
    import asyncio

    service = await make_service(ADMIN_TOKEN="operator-token")
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", ""))
    assert "webhook" not in (await service.client.get("/metrics")).text
    assert not [task for task in asyncio.all_tasks() if "webhook" in task.get_name()]
    keys = await service.store.connection.client.keys("*")
    assert not [key for key in keys if "webhook" in key]
    answer = await service.client.get("/v1/sites/blog/webhooks", headers=OPERATOR)
    assert answer.json()["webhooks"] == []


async def test_nothing_names_a_user_who_is_erased(service: Service, receiver: Receiver) -> None:
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", "anna"))
    await until(lambda: "user.online" in receiver.types)
    while "user:anna" not in await service.store.webhooks.kept("blog", "backend"):
        pass
    answer = await service.client.delete("/v1/sites/blog/users/anna", headers=OPERATOR)
    assert answer.status_code == 204
    assert "anna" not in str(await service.store.webhooks.kept("blog", "backend"))
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", "ben"))
    await until(lambda: "ben" in [event.get("userId") for event in receiver.taken])
    told = [event["type"] for event in receiver.taken if event.get("userId") == "anna"]
    assert told == ["user.online"]
    assert "anna" not in str(await service.store.webhooks.kept("blog", "backend"))


async def test_a_message_that_waits_does_not_name_who_is_erased(
    service: Service, receiver: Receiver
) -> None:
    """It is given up, and the endpoint is told what is here without them."""
    receiver.always = "500"
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", "anna"))
    await until(lambda: receiver.received)
    answer = await service.client.delete("/v1/sites/blog/users/anna", headers=OPERATOR)
    assert answer.status_code == 204
    erased_after = len(receiver.received)
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", "ben"))
    receiver.always = "204"
    await until(lambda: "ben" in [event.get("userId") for event in receiver.taken])
    # One try may have been under way.
    assert "anna" not in str([one.body for one in receiver.received[erased_after + 1 :]])
    assert receiver.types[0] == "events.lost"
    assert sorted(receiver.types[1:]) == ["site.occupied", "user.online"]
    assert "anna" not in str(await service.store.webhooks.kept("blog", "backend"))


async def test_a_site_that_is_deleted_leaves_nothing(service: Service, receiver: Receiver) -> None:
    await service.store.heartbeat("blog", Heartbeat(SESSION, "/", "", "", "", "anna"))
    await until(lambda: "user.online" in receiver.types)
    store = service.store
    await delete_site(store.connection, store.keys, "blog", lambda keys: None)
    assert "anna" not in str(await store.webhooks.kept("blog", "backend"))


def webhooks(environ: dict[str, str], *args: str) -> Finished:
    return run_command("webhooks", *args, environ=environ)


@pytest.mark.server
def test_the_command(valkey: Server, key_prefix: str, tmp_path: Path, receiver: Receiver) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(sites_file(receiver.url))
    environ = {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }
    origin = f"http://127.0.0.1:{receiver.port}"
    listed = webhooks(environ, "blog")
    assert listed.exit_code == 0
    assert listed.stdout.split("\t") == ["backend", origin, "unserved", "", "0", "0", "", "\n"]
    (row,) = json.loads(webhooks(environ, "blog", "--json").stdout)["webhooks"]
    assert (row["name"], row["lag"]) == ("backend", None)

    taken = webhooks(environ, "blog", "--test", "backend")
    assert (taken.exit_code, taken.stdout[:31]) == (0, "backend has taken the test: 204")
    assert receiver.types == ["webhook.test"]

    receiver.answers.append("503")
    refused = webhooks(environ, "blog", "--test", "backend")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "backend has not taken the test: answered 503" in refused.stderr
    unknown = webhooks(environ, "blog", "--test", "other")
    assert unknown.exit_code == 1
    assert "blog has no webhook other; those of the sites file: backend" in unknown.stderr
    none = webhooks(environ, "other", "--json")
    assert json.loads(none.stdout)["webhooks"] == []


@pytest.mark.server
@pytest.mark.parametrize("width, is_wide", [(160, True), (80, False), (40, False)])
def test_on_a_terminal_it_fits(
    valkey: Server, key_prefix: str, tmp_path: Path, width: int, is_wide: bool
) -> None:
    """And says how long ago things were; the name and the state are always there."""
    file = tmp_path / "sites.toml"
    file.write_text(sites_file("http://127.0.0.1:9/hook"))
    now_ms = int(valkey.client.time()[0]) * 1000
    fields = {
        "until": f"{now_ms + 600_000}", "delivered": "12345", "success": f"{now_ms - 3_600_000}",
        "error": f"{now_ms - 120_000} the connection is refused",
    }  # fmt: skip
    valkey.client.hset(f"{key_prefix}:webhook:blog:backend", mapping=fields)
    environ = {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }
    lines = shown_on_terminal("webhooks", "blog", environ=environ, cwd=tmp_path, size=(width, 24))
    header, row = lines
    assert max(map(len, lines)) <= width
    assert re.match(r"webhook +(to +)?state", header)
    assert re.match(r"backend +(http\S+ +)?failing", row)
    if is_wide:
        assert "http://127.0.0.1:9 " in row
        assert row.endswith("12345        0       1 h ago  2 min ago: the connection is refused")


@pytest.mark.server
def test_who_is_erased_goes_from_webhooks_that_are_not_in_the_file_any_more(
    valkey: Server, key_prefix: str, tmp_path: Path, receiver: Receiver
) -> None:
    """By the command: it looks at all keys, which no request may."""
    file = tmp_path / "sites.toml"
    file.write_text(sites_file(receiver.url))
    for name, site in (("removed", "blog"), ("backend", "blog"), ("removed", "blog-2")):
        users = {"user:anna": "online", "user:ben": "online", "fence": "1"}
        valkey.client.hset(f"{key_prefix}:webhook:{site}:{name}", mapping=users)
    environ = {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }
    erased = run_command("erase", "blog", "--user", "anna", "--yes", environ=environ)
    assert erased.exit_code == 0
    for name, site, left in (
        ("removed", "blog", {"user:ben", "fence"}),
        ("backend", "blog", {"user:ben", "fence"}),
        ("removed", "blog-2", {"user:anna", "user:ben", "fence"}),
    ):
        assert set(valkey.client.hkeys(f"{key_prefix}:webhook:{site}:{name}")) == left
