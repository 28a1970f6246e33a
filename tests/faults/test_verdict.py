"""The verdict finds what it is there to find, and the proxy does what it is told."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.load import Ack
from tests.faults.proxy import Proxy
from tests.faults.report import ROWS, table
from tests.faults.verdict import Loss, check_answer, check_views, replay
from tests.servers import wait_until

PROBLEM = {"content-type": "application/problem+json", "retry-after": "1"}


def ack(path: str, outcome: str, at: float, **other: Any) -> Ack:
    status = 204 if outcome else 503
    headers = other.pop("headers", {} if outcome else PROBLEM)
    body = other.pop("body", b"" if outcome else b'{"status":503}')
    return Ack("blog", "s", path, other.pop("status", status), outcome, at, at + 0.1, headers, body)


CREATED, MOVED = ack("/a", "created", 1), ack("/b", "moved", 2)
FAILED = ack("/c", "", 3)


@pytest.mark.parametrize("path", ["/b", "/c"])
def test_what_failed_may_have_been_written_or_not(path: str) -> None:
    assert replay("s", [CREATED, MOVED, FAILED], path, []) == 0
    again = ack("/b", "duplicate" if path == "/b" else "moved", 4)
    assert replay("s", [CREATED, MOVED, FAILED, again], "/b", []) == 0


@pytest.mark.parametrize(
    "acks, path",
    [
        ([CREATED, MOVED], "/a"),  # set back
        ([CREATED, MOVED], None),  # lost
        ([CREATED, ack("/b", "created", 2)], "/b"),  # forgotten in between
        ([ack("/a", "moved", 1)], "/a"),  # another's answer
        ([CREATED, ack("/a", "moved", 2)], "/a"),
    ],
)
def test_what_does_not_fit_is_found(acks: list[Ack], path: str | None) -> None:
    with pytest.raises(AssertionError):
        replay("s", acks, path, [])


def test_a_loss_excuses_its_window_alone() -> None:
    loss = Loss(since=1.5, begun=2.5, over=2.9)
    assert replay("s", [CREATED, MOVED], "/a", [loss]) == 0
    with pytest.raises(AssertionError):
        replay("s", [CREATED, MOVED], None, [loss])
    assert replay("s", [CREATED, MOVED], None, [loss._replace(since=0.0)]) == 0
    after = ack("/d", "moved", 4)
    with pytest.raises(AssertionError):
        replay("s", [CREATED, MOVED, after], "/b", [loss])


def test_a_second_try_is_counted() -> None:
    assert replay("s", [CREATED, ack("/b", "duplicate", 2)], "/b", []) == 1


def test_views() -> None:
    written = Counter({("s", "/a"): 1, ("s", "/b"): 1})
    acks = [CREATED, MOVED, FAILED]
    assert check_views(acks, written, []) == []
    for wrong in (
        Counter({("s", "/a"): 2, ("s", "/b"): 1}),
        Counter({("s", "/a"): 1, ("s", "/b"): 1, ("s", "/x"): 1}),
        Counter({("s", "/a"): 1}),
    ):
        with pytest.raises(AssertionError):
            check_views(acks, wrong, [])
    assert check_views(acks, Counter({("s", "/a"): 1}), [Loss(1.5, 2.5, 2.9)]) == [MOVED]


@pytest.mark.parametrize(
    "wrong",
    [
        ack("/", "", 1, status=500),
        ack("/", "", 1, headers={"content-type": "application/problem+json"}),
        ack("/", "", 1, headers={"content-type": "text/plain", "retry-after": "1"}),
        ack("/", "", 1, status=0),
        ack("/", "nonsense", 1),
        CREATED.__class__("blog", "s", "/", 204, "created", 1.0, 6.0, {}, b""),
    ],
)
def test_answers(wrong: Ack) -> None:
    for right in (CREATED, MOVED, FAILED):
        check_answer(right)
    with pytest.raises((AssertionError, KeyError)):
        check_answer(wrong)


def test_every_row_is_in_the_table() -> None:
    assert list(ROWS) == [f"F{n}" for n in range(1, 27)]
    lines = [{"fault": "F2", "answers": 1234, "failures": 5, "lost": 3, "lost_window_s": 0.0204}]
    (told,) = [line for line in table(lines).splitlines() if line.startswith("| F2 ")]
    assert "5 of 1,234 answers were 503" in told
    assert "3 acknowledged views lost, the oldest 0.020 s before" in told


@pytest.fixture
def echo() -> Iterator[Proxy]:
    """A proxy before a server that says everything back."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    def answer(sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(1000):
                    sock.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    with Proxy(listening.getsockname()[1]) as proxy:
        yield proxy
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_proxy(echo: Proxy) -> None:
    def connected() -> socket.socket:
        return socket.create_connection(("127.0.0.1", echo.port), timeout=5)

    with connected() as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        echo.delay_s = 0.1
        began = time.monotonic()
        client.sendall(b"later")
        assert client.recv(100) == b"later"
        assert time.monotonic() - began >= 0.2
        echo.delay_s = 0.0
        echo.dropped = {"down"}
        client.sendall(b"lost")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(5)
        echo.dropped = set()
        echo.cut_replies(1)
        client.sendall(b"whole")
        assert client.recv(100) == b"wh"
        assert client.recv(100) == b""
    with connected() as client:
        client.sendall(b"x")
        assert client.recv(100) == b"x"
        assert echo.open == 1
        echo.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    wait_until(lambda: echo.open == 0)
    assert len(echo.connected_at) == 2
    assert 1 <= echo.connects_per_second() <= 2
