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

PAGE = (Path(__file__).parents[2] / "docs/users.md").read_text()
SECRET = "a secret of thirty-two bytes, or more"
RUNNERS = {
    "python": [sys.executable, "-W", "error", "-"],
    "js": ["node", "--input-type=commonjs", "-"],
    "php": ["php"],
    "ruby": ["ruby", "-"],
    "go": [],
}


def snippet(language: str) -> str:
    """The example of a language; it is the only one on the page."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


@pytest.mark.parametrize("language", RUNNERS)
def test_signing_is_short(language: str) -> None:
    assert snippet(language).count("\n") <= 8


@pytest.mark.parametrize("language", RUNNERS)
def test_what_is_shown_signs_a_token(language: str) -> None:
    command = RUNNERS[language]
    if not command or shutil.which(command[0]) is None:
        pytest.skip(f"{language} is not at hand")  # Go needs a module from the network
    done = subprocess.run(
        command,
        input=snippet(language),
        env=os.environ | {"USER_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    site = Site(user_secrets=(SECRET,))
    assert UserTokens().verify("team", site, done.stdout.strip())[:2] == (
        "ok", User("anna", "Anna", "", ("/docs/*",)),
    )  # fmt: skip
