"""What docs/users.md shows of signing a token is run, in each language that is at hand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.api.user_tokens import User, UserTokens
from service.sites import Site
from tests.browser.site import LiveService
from tests.servers import missing

PAGE = (Path(__file__).parents[2] / "docs/users.md").read_text()
SECRET = "a secret of thirty-two bytes, or more"
RUNNERS = {
    "python": [sys.executable, "-W", "error", "-"],
    "js": ["node", "--input-type=commonjs", "-"],
    "php": ["php"],
    "ruby": ["ruby", "-W", "-"],
    "go": ["go", "run", "main.go"],
}
# What surrounds the example in Go, which takes no program from stdin either.
GO = """package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

func main() {
%s}
"""


def snippet(language: str) -> str:
    """The example of a language; it is the only one on the page."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


@pytest.mark.parametrize("language", RUNNERS)
def test_signing_is_short(language: str) -> None:
    assert snippet(language).count("\n") <= 8


@pytest.mark.parametrize("language", RUNNERS)
def test_what_is_shown_signs_a_token(language: str, tmp_path: Path) -> None:
    command = RUNNERS[language]
    if shutil.which(command[0]) is None:
        if language == "go":
            pytest.skip("go is not installed")  # .ci/run does without: 20 s, 470 MB
        missing(command[0])
    if language == "go":
        (tmp_path / "main.go").write_text(GO % snippet("go"))
    done = subprocess.run(
        command,
        input=snippet(language),
        cwd=tmp_path,
        env=os.environ | {"USER_SECRET": SECRET, "GOCACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    site = Site(user_secrets=(SECRET,))
    assert UserTokens().verify("team", site, done.stdout.strip())[:2] == (
        "ok", User("anna", "Anna", "", ("/docs/*",)),
    )  # fmt: skip


def test_what_is_shown_to_a_newcomer_works(tmp_path: Path) -> None:
    """From an empty folder, command by command."""
    if shutil.which("curl") is None:
        missing("curl")
    (sites,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "sites.toml").write_text(sites)
    shown = re.findall(r"```sh\n(.*?)```|^\$ (curl .*?)$", PAGE, re.DOTALL | re.MULTILINE)
    commands = [block or line for block, line in shown]
    live = LiveService(tmp_path, "embedded://", SITES_FILE="sites.toml").start()
    try:
        script = "\n".join(commands).replace("uv run presence serve\n", "")
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{live.port}")
        presence = f'"{sys.executable}" -m service'
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("uv run presence", presence)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
    finally:
        live.stop()
        live.close()
    assert done.returncode == 0, done.stderr
    rest = done.stdout
    for answer in (
        "presence-user: ok",
        '{"users":[{"userId":"anna","name":"Anna",',
        '{"statuses":[{"userId":"anna","online":true,',
        "HTTP/1.1 204",
    ):
        _, found, rest = rest.partition(answer)
        assert found, (answer, done.stdout)
