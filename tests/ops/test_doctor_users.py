"""The doctor, where a site knows who somebody is: what is broken by hand is named, and mended."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.ops.doctor import Doctor
from service.ops.invariants import EVENT_REPLAY, HASHES, TTLS, USERS
from service.store.config import StoreConfig
from service.store.keys import Keys, ShardKeys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.cli.commands import run_command
from tests.conftest import patient_store
from tests.servers import Server

SITE = "team"
IDS = [f"session-{n:08d}" for n in range(8)]

Harm = Callable[[Any, ShardKeys], object]
# name: harm, and the invariants, each with the end of the key, of what is found
HARM: dict[str, tuple[Harm, list[tuple[int, str]]]] = {
    "row lost": (
        lambda c, k: c.hdel(k.users, "anna"),
        [(USERS, "users")],
    ),
    "row of nobody": (
        lambda c, k: c.hset(k.users, "zoe", "\t\t\t\tsession-99999999 1 -- /a"),
        [(USERS, "users"), (USERS, "user_seen")],
    ),
    "session on another page": (
        lambda c, k: c.hset(k.users, "anna", "\t\tAnna\t\tsession-00000000 1 -- /z"),
        [(USERS, "users")],
    ),
    "page lost": (lambda c, k: c.zrem(k.user_pages, "/a\tanna"), [(USERS, "user_pages")]),
    "page of nobody": (lambda c, k: c.zadd(k.user_pages, {"/z\tzoe": 0}), [(USERS, "user_pages")]),
    "gone, it says": (lambda c, k: c.zadd(k.user_seen, {"anna": 1}), [(USERS, "user_seen")]),
    "left, it said": (lambda c, k: c.zrem(k.user_seen, "bob"), [(USERS, "user_seen")]),
    "seen, and no more": (lambda c, k: c.zadd(k.user_seen, {"yan": 5}), [(USERS, "user_seen")]),
    "kept for ever": (lambda c, k: c.persist(k.users), [(TTLS, "users")]),
    "another's session": (
        lambda c, k: c.hset(k.session(IDS[0]), "user", "zoe"),
        [(HASHES, f"session:{IDS[0]}")],
    ),
    "a change of user lost": (
        lambda c, k: c.xdel(k.events, c.xrevrange(k.events)[0][0]),
        [(EVENT_REPLAY, "events")],
    ),
}


async def fill(store: PresenceStore) -> None:
    """Anna is here with two tabs, Bob has left, Carl was nobody before."""
    details = '{"name":"Anna","avatar":"https://example.org/a.png"}'
    for n, user in enumerate(["anna", "anna", "bob", ""]):
        await store.heartbeat(SITE, Heartbeat(IDS[n], "/a", "", "", details, user))
    await store.end(SITE, IDS[2])
    await store.heartbeat(SITE, Heartbeat(IDS[3], "/a", "", "", "", "carl"))


@pytest.mark.parametrize("name", HARM)
async def test_what_is_broken_is_named_and_mended(
    valkey: Server, key_prefix: str, name: str
) -> None:
    keys = Keys(key_prefix, has_users=lambda site: site == SITE)
    store = patient_store(valkey.url, keys, StoreConfig())
    doctor = Doctor(store.connection, keys)
    await fill(store)
    assert (await doctor.check()).findings == []
    harm, expected = HARM[name]
    (shard,) = keys.of_site(SITE)
    harm(valkey.client, shard)
    checkup = await doctor.check()
    assert [(f.invariant, f.key) for f in checkup.findings] == [
        (invariant, shard.base + key) for invariant, key in expected
    ]
    assert await doctor.repair(checkup)
    assert (await doctor.check()).findings == []
    await store.close()


async def test_what_rows_still_say_survives_a_repair(valkey: Server, key_prefix: str) -> None:
    keys = Keys(key_prefix, has_users=lambda site: site == SITE)
    store = patient_store(valkey.url, keys, StoreConfig())
    doctor = Doctor(store.connection, keys)
    await fill(store)
    before = [await store.user(SITE, user) for user in ("anna", "bob", "carl")]
    (shard,) = keys.of_site(SITE)
    valkey.client.delete(shard.user_pages)
    valkey.client.zrem(shard.user_seen, "bob")
    done = await doctor.repair(await doctor.check())
    assert [line.rpartition(" places")[2] for line in done] == [", 2 users"]
    after = [await store.user(SITE, user) for user in ("anna", "bob", "carl")]
    for was, now in zip(before, after, strict=True):
        assert was
        assert now
        assert (was.name, was.avatar, was.since, was.sessions, was.paths) == (
            now.name, now.avatar, now.since, now.sessions, now.paths,
        )  # fmt: skip
        assert was.online or was.lastSeen == now.lastSeen
    await store.close()


def test_the_command_line_names_them(valkey: Server, key_prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'[{SITE}]\nuser_secrets = ["a secret of at least thirty-two bytes"]\n')
    keys = Keys(key_prefix, has_users=lambda site: True)

    async def harmed() -> None:
        store = patient_store(valkey.url, keys, StoreConfig())
        await fill(store)
        await store.close()

    asyncio.run(harmed())
    (shard,) = keys.of_site(SITE)
    valkey.client.zrem(shard.user_pages, "/a\tanna")
    environ = {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }
    done = run_command("doctor", environ=environ)
    assert done.exit_code == 1
    assert "invariant 6" in done.stdout
    assert "has not anna on /a" in done.stdout
    done = run_command("doctor", "--repair", environ=environ)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"{SITE}: all is well")
