"""The Dockerfile in a clean Debian root. It fetches a Debian and takes a minute or two, so only
where TEST_CLEAN_ROOT is set."""

import os
import subprocess

import pytest

from tests.deploy.balancers import DEPLOY, program
from tests.repository.test_dockerfile import ROOT, stages
from tests.servers import free_port

SCRIPT = DEPLOY / "image" / "in-clean-root.sh"


def test_it_knows_every_instruction() -> None:
    """Of those that do something; the others are told about elsewhere."""
    names = {name for stage in stages() for name, _ in stage.steps}
    text = SCRIPT.read_text()
    assert {name for name in names if f'"{name} ' not in text} == {"VOLUME", "EXPOSE"}
    base = stages()[0].base
    assert base.endswith("-slim-bookworm"), "the script fetches that Debian"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    not os.environ.get("TEST_CLEAN_ROOT"), reason="takes minutes: set TEST_CLEAN_ROOT"
)
def test_clean_root() -> None:
    """Every step, the command, the health check, the end."""
    program("debootstrap")
    environ = os.environ | {"PORT": str(free_port())}
    done = subprocess.run(
        ["sh", str(SCRIPT)], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.rstrip().endswith("== done")
