"""`presence share`: make, list and revoke, and what the service says of the token then."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from service.api.share_tokens import digest_of
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from tests.cli.commands import Finished, run_command
from tests.cli.terminal import shown_on_terminal
from tests.servers import Server


@pytest.fixture
def environ(valkey: Server, key_prefix: str, tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "sites.toml"
    file.write_text('["team"]\npublic = false\n["open"]\n')
    return {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }


def share(environ: dict[str, str], *args: str) -> Finished:
    return run_command("share", *args, environ=environ)


async def _digests(environ: dict[str, str]) -> frozenset[str]:
    connection = connect(environ["PRESENCE_REDIS_URL"])
    store = PresenceStore(connection, Keys(environ["PRESENCE_KEY_PREFIX"]), StoreConfig())
    try:
        return await store.share_digests("team")
    finally:
        await store.close()


async def test_make_list_and_revoke(environ: dict[str, str], tmp_path: Path) -> None:
    def run(*args: str) -> "asyncio.Future[Finished]":  # a command has a loop of its own
        return asyncio.get_running_loop().run_in_executor(None, share, environ, *args)

    made = await run("team", "lobby")
    token = made.stdout.strip()
    assert (made.exit_code, made.stderr) == (0, "")
    assert await _digests(environ) == {digest_of(token.encode())}

    again = await run("team", "lobby")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "team has a share lobby already" in again.stderr

    hall = json.loads((await run("team", "hall", "--json")).stdout)
    assert hall["name"] == "hall"
    assert digest_of(hall["token"].encode()) in await _digests(environ)

    listed = await run("team")
    assert re.fullmatch(r"hall\t20[\dT:.-]+Z\nlobby\t20[\dT:.-]+Z\n", listed.stdout)
    as_json = json.loads((await run("team", "--json")).stdout)
    assert [row["name"] for row in as_json["shares"]] == ["hall", "lobby"]
    assert token not in listed.stdout

    revoked = await run("team", "--revoke", "lobby")
    assert (revoked.exit_code, revoked.output) == (0, "")
    assert await _digests(environ) == {digest_of(hall["token"].encode())}
    again = await run("team", "--revoke", "lobby")
    assert again.exit_code == 1
    assert "team has no share lobby" in again.stderr


# arguments -> exit code, what is said
@pytest.mark.parametrize(
    "args, code, said",
    [
        (["team", "lobby", "--revoke", "lobby"], 2, "not both"),
        (["team", "Lobby"], 2, "name must begin with a-z or 0-9"),
        (["team", "--revoke", "-"], 2, "name must begin with a-z or 0-9"),
        (["Team"], 2, "is not a site"),
        (["team"], 0, "team has no shares"),
        (["open", "lobby"], 0, "open is public here"),
        ([], 2, "SITE"),
    ],
)
def test_what_it_says(environ: dict[str, str], args: list[str], code: int, said: str) -> None:
    done = share(environ, *args)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_on_a_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    share(environ, "team", "lobby")
    heading, row = shown_on_terminal("share", "team", environ=environ, cwd=tmp_path)
    assert heading.split() == ["share", "made"]
    assert row.split()[0] == "lobby"
