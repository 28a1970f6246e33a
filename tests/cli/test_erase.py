"""`presence erase` and `presence delete-site`, and that each asks first."""

import asyncio
from pathlib import Path

import pytest

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.cli.commands import run_command
from tests.conftest import patient_store
from tests.servers import Server

SESSION = "session-0000000{n}"
SECRET = "a secret of at least thirty-two bytes"


async def fill(url: str, prefix: str) -> None:
    store = patient_store(url, Keys(prefix, has_users=lambda site: site == "team"), StoreConfig())
    for site in ("team", "plain"):
        for n in (1, 2, 3):
            user = "anna" if site == "team" and n < 3 else ""
            await store.heartbeat(site, Heartbeat(SESSION.format(n=n), "/a", "", "", "", user))
    await store.close()


@pytest.fixture
def environ(valkey: Server, key_prefix: str, tmp_path: Path) -> dict[str, str]:
    asyncio.run(fill(valkey.url, key_prefix))
    file = tmp_path / "sites.toml"
    file.write_text(f'["team"]\nuser_secrets = ["{SECRET}"]\n["plain"]\n')
    return {
        "PRESENCE_REDIS_URL": valkey.url,
        "PRESENCE_KEY_PREFIX": key_prefix,
        "PRESENCE_SITES_FILE": str(file),
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("plain", "--session", "session-00000001"),
            "session session-00000001: 1 session ended, 2 events and 1 page view erased\n",
        ),
        (
            ("plain", "--session", "session-00000009"),
            "session session-00000009: 0 sessions ended, 0 events and 0 page views erased\n",
        ),
        (
            ("team", "--user", "anna"),
            "user anna: 2 sessions ended, 4 events and 2 page views erased\n",
        ),
    ],
)
def test_what_is_erased_is_said(environ: dict[str, str], args: tuple[str, ...], said: str) -> None:
    refused = run_command("erase", *args, environ=environ, typed="n\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Erase all that is kept of" in refused.stderr
    done = run_command("erase", *args, "--yes", environ=environ)
    assert (done.exit_code, done.stdout) == (0, said)
    again = run_command("erase", *args, environ=environ, typed="y\n")
    assert again.exit_code == 0
    assert ": 0 sessions ended, 0 events and 0 page views erased" in again.stdout
    assert run_command("doctor", environ=environ).exit_code == 0


@pytest.mark.parametrize(
    ("command", "args", "code", "said"),
    [
        ("erase", ("plain",), 2, "give either --session or --user"),
        ("erase", ("plain", "--session", "x", "--user", "y"), 2, "give either"),
        ("erase", ("plain", "--session", "x"), 2, "sessionId"),
        ("erase", ("plain", "--user", "anna", "--yes"), 1, "plain: this site has no users"),
        ("delete-site", ("nobody", "--yes"), 1, "nothing is kept of a site 'nobody'"),
    ],
)
def test_failures_are_one_line(
    environ: dict[str, str], command: str, args: tuple[str, ...], code: int, said: str
) -> None:
    result = run_command(command, *args, environ=environ)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_a_site_is_deleted_by_its_name(
    environ: dict[str, str], valkey: Server, key_prefix: str
) -> None:
    refused = run_command("delete-site", "team", environ=environ, typed="plain\n")
    assert refused.exit_code == 1
    assert "team: 3 here now, 3 page views. Type its name to delete it" in refused.stderr
    assert "nothing was deleted" in refused.stderr
    assert valkey.client.exists(f"{key_prefix}:{{team}}:active")
    done = run_command("delete-site", "team", environ=environ, typed="team\n")
    assert done.exit_code == 0
    assert done.stdout.startswith("team: ")
    assert not [*valkey.client.scan_iter(match=f"{key_prefix}:{{team}}*")]
    assert valkey.client.zrange(f"{key_prefix}:sites", 0, -1) == ["plain"]
    assert valkey.client.zrange(f"{key_prefix}:due", 0, -1) == ["plain"]
    assert run_command("doctor", environ=environ).exit_code == 0


def test_a_site_with_a_key_of_a_wrong_type_is_deleted_too(
    environ: dict[str, str], valkey: Server, key_prefix: str
) -> None:
    for yes, typed, said in (
        ((), "team\n", "team: a key of a wrong type is in the way of its numbers. Type its name"),
        (("--yes",), "", ""),
    ):
        asyncio.run(fill(valkey.url, key_prefix))
        valkey.client.set(f"{key_prefix}:{{team}}:pages", "by hand")
        done = run_command("delete-site", "team", *yes, environ=environ, typed=typed)
        assert (done.exit_code, done.stdout[:6]) == (0, "team: ")
        assert said in done.stderr
        assert not [*valkey.client.scan_iter(match=f"{key_prefix}:{{team}}*")]
