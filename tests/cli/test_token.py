"""`presence token`: what a site's backend would sign, for trying."""

from pathlib import Path

import pytest

from service.api.user_tokens import User, UserTokens
from service.sites import load_sites
from tests.cli.commands import Finished, run_command

SITES = """
[team]
user_secrets = ["a newer secret of 32 bytes or so", "an old secret of thirty-two bytes"]
[plain]
"""


@pytest.fixture
def sites_file(tmp_path: Path) -> Path:
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    return file


def token(file: Path | None, *args: str) -> Finished:
    environ = {"PRESENCE_SITES_FILE": str(file)} if file else {}
    return run_command("token", *args, environ=environ)


@pytest.mark.parametrize(
    "args, user",
    [
        (["anna"], User("anna")),
        (["anna", "--name", "Anna Ek"], User("anna", "Anna Ek")),
        (["anna", "--avatar", "https://e.org/a.png"], User("anna", avatar="https://e.org/a.png")),
        (
            ["anna", "--sees", "/docs/*", "--sees", "/caf%C3%A9", "--hours", "24"],
            User("anna", sees=("/docs/*", "/café")),
        ),
        (["anna", "--sees", "*"], User("anna", sees=("/*",))),
    ],
)
def test_it_holds(sites_file: Path, args: list[str], user: User) -> None:
    done = token(sites_file, "team", *args)
    assert (done.exit_code, done.stderr) == (0, "")
    site = load_sites(sites_file).by_id["team"]
    assert UserTokens().verify("team", site, done.stdout.strip())[:2] == ("ok", user)


@pytest.mark.parametrize(
    "args, code, what",
    [
        (["plain", "anna"], 1, "plain has no users: give it user_secrets"),
        (["nowhere", "anna"], 1, "nowhere has no users"),
        (["team", "anna b"], 2, "USER must be 1 to 64 of"),
        (["team", "anna", "--name", "x" * 65], 2, "--name must be at most 64 characters"),
        (["team", "anna", "--avatar", "http://e.org"], 2, "--avatar must be an https URL"),
        (["team", "anna", "--sees", "docs"], 2, "--sees must begin with exactly one /"),
        (["team", "anna", "--sees", "/a*b"], 2, "--sees must be a path, with * at the end"),
        (["team", "anna", *["--sees", "/a"] * 11], 2, "--sees may be given 10 times at most"),
        (["team", "anna", "--hours", "25"], 2, "--hours"),
        (["team"], 2, "USER"),
    ],
)
def test_what_is_wrong(sites_file: Path, args: list[str], code: int, what: str) -> None:
    done = token(sites_file, *args)
    assert (done.exit_code, done.stdout) == (code, "")
    assert what in done.stderr
    assert "secret of" not in done.stderr


def test_without_a_sites_file(tmp_path: Path) -> None:
    done = token(None, "team", "anna")
    assert done.exit_code == 1
    assert "user_secrets in PRESENCE_SITES_FILE" in done.stderr
