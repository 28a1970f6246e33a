"""At the start: the fast path where it works; then only the limits; then uvicorn's own protocol."""

from typing import Any

import pytest

from service.server import self_check
from service.server.fallback_protocol import AsgiProtocol
from service.server.fast_path import FastPathProtocol
from service.server.minimal_protocol import MinimalProtocol
from service.server.self_check import checked_protocol
from tests.server.test_fast_path import break_uvicorn


class Log:
    """Keeps what is logged as errors."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def error(self, event: str, **values: Any) -> None:
        self.lines.append({"event": event, **values})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(self_check, "log", log)
    return log


def test_the_fast_path_works_with_this_uvicorn(log: Log) -> None:
    assert checked_protocol() is FastPathProtocol
    assert not log.lines


@pytest.mark.parametrize(
    "broken, cause, instead",
    [
        ("RequestResponseCycle", "TypeError", AsgiProtocol),
        ("_start_asgi_task", "TimeoutError", MinimalProtocol),
        ("connection_made", "AttributeError", MinimalProtocol),
    ],
)
def test_where_it_does_not_another_serves(
    log: Log, monkeypatch: pytest.MonkeyPatch, broken: str, cause: str, instead: type[Any]
) -> None:
    break_uvicorn(monkeypatch, broken)
    if cause == "TimeoutError":  # both checks wait for it, at work all the time
        monkeypatch.setattr(self_check, "ANSWER_S", 0.1)
    assert checked_protocol() is instead
    failures = ["fast_path_unusable", "limits_unusable"]
    assert [line["event"] for line in log.lines] == failures[: 1 + (instead is MinimalProtocol)]
    assert all(cause in line["cause"] for line in log.lines)


def test_limits_that_do_not_hold_are_noticed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.self_check.MOST_HEAD_BYTES", 16)
    break_uvicorn(monkeypatch, "RequestResponseCycle")
    assert checked_protocol() is MinimalProtocol
    assert "was not refused" in log.lines[1]["cause"]
