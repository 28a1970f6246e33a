"""Runs commands of the command line."""

import os
import sys
from dataclasses import dataclass

from click.testing import CliRunner

from service.cli import main
from tests.fork_server import run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


@dataclass(frozen=True)
class Finished:
    """What a command that has ended printed, and its exit code."""

    exit_code: int
    stdout_bytes: bytes
    stderr: str

    @property
    def stdout(self) -> str:
        """With line ends as they are read in text."""
        return self.stdout_bytes.decode().replace("\r\n", "\n")

    @property
    def output(self) -> str:
        """All of it."""
        return self.stdout + self.stderr


def run_command(*args: str, environ: dict[str, str], typed: str = "") -> Finished:
    """Runs a command in this process, with what is typed at it; `serve`, which configures logs and
    listens to signals, in one of its own."""
    if args[:1] == ("serve",):
        done = run(
            [sys.executable, "-m", "service", *args],
            cwd=ROOT, env=os.environ | environ, timeout=60,
        )  # fmt: skip
        return Finished(done.returncode, done.stdout, done.stderr.decode())
    result = CliRunner().invoke(main, args, input=typed, env=environ)
    return Finished(result.exit_code, result.stdout_bytes, result.stderr)
