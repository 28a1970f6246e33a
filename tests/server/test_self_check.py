"""At the start: the fast path where it works, uvicorn's own protocol where it does not."""

from typing import Any

import pytest

from service.server import self_check
from service.server.fast_path import FastPathProtocol
from service.server.protocol import PlainProtocol
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
    "broken, cause",
    [
        ("RequestResponseCycle", "TypeError"),
        ("_start_asgi_task", "TimeoutError"),
        ("connection_made", "AttributeError"),
    ],
)
def test_where_it_does_not_uvicorn_serves(
    log: Log, monkeypatch: pytest.MonkeyPatch, broken: str, cause: str
) -> None:
    break_uvicorn(monkeypatch, broken)
    assert checked_protocol() is PlainProtocol
    assert [line["event"] for line in log.lines] == ["fast_path_unusable"]
    assert cause in log.lines[0]["cause"]
