"""The guard of conftest.py sees what a test leaves behind, and puts it back."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from service.ops.logs import configure_logs
from service.store import sweeper
from tests.isolation import ProcessState


def _configure() -> None:
    configure_logs("error")


def _log() -> None:
    """The first line that a module logs binds its logger to the configuration of then."""
    configure_logs("critical")
    sweeper.log.error("of_a_test")


LEAKS: dict[str, Callable[[Path], object]] = {
    "structlog: wrapper_class": lambda _: _configure(),
    "structlog: processors": lambda _: structlog.get_config()["processors"].clear(),
    "cached logger: service.store.sweeper": lambda _: _log(),
    "logging: root": lambda _: logging.getLogger().addHandler(logging.NullHandler()),
    "logging: asyncio": lambda _: logging.getLogger("asyncio").setLevel("ERROR"),
    "environment: PRESENCE_OF_A_TEST": lambda _: os.environ.update(PRESENCE_OF_A_TEST="1"),
    "environment: PATH": lambda _: os.environ.pop("PATH"),
    f"signal handler: {signal.SIGTERM}": lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "working directory: ": os.chdir,
    "global: ('service.store.sweeper', 'POLL_S')": lambda _: setattr(sweeper, "POLL_S", 9.0),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_named_and_undone(name: str, tmp_path: Path) -> None:
    logging.getLogger("asyncio")
    before = ProcessState()
    assert before.restore() == []
    LEAKS[name](tmp_path)
    assert name in before.restore()
    assert before.restore() == []


def test_captured_logs_are_no_leak() -> None:
    before = ProcessState()
    with structlog.testing.capture_logs():
        sweeper.log.error("of_a_test")
    assert before.restore() == []


@pytest.mark.xdist_group("together")
def test_who_shares_a_fixture_is_on_one_worker(request: pytest.FixtureRequest) -> None:
    """With pytest 9.2, xdist 3.8 ignores groups: every worker then starts the servers of all."""
    if hasattr(request.config, "workerinput"):
        assert request.node.nodeid.endswith("@together")
