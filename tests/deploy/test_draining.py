"""SIGTERM without a balancer that asks again: nothing that is on its way is lost."""

import contextlib
import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import plain
from tests.browser.site import LiveService
from tests.servers import Server, wait_until


def request(sessions: str = "", *, path: str = "/") -> bytes:
    """A heartbeat as it goes over the wire."""
    body = f'{{"sessionId":"{sessions or uuid.uuid4()}","currentPath":"{path}"}}'.encode()
    head = f"POST /v1/sites/blog/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Wire:
    """One connection, byte by byte."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)

    def send(self, data: bytes) -> None:
        """Sends."""
        self._socket.sendall(data)

    def answer(self) -> str:
        """The next answer, of those without a body."""
        got = b""
        while b"\r\n\r\n" not in got:
            piece = self._socket.recv(65536)
            assert piece, f"closed after {got!r}"
            got += piece
        return got.decode().lower()

    def rest(self) -> None:
        """Reads on to the end, which comes in order."""
        while self._socket.recv(65536):
            pass

    def is_closed(self) -> bool:
        """Waits for its end; whether that came in order, with nothing more before it."""
        return self._socket.recv(1) == b""

    def close(self) -> None:
        """Closes it."""
        self._socket.close()


@pytest.fixture
def connect() -> Iterator[Callable[[int], Wire]]:
    """Opens connections."""
    with contextlib.ExitStack() as stack:

        def open_one(port: int) -> Wire:
            wire = Wire(port)
            stack.callback(wire.close)
            return wire

        yield open_one


def is_draining(service: LiveService) -> bool:
    """Whether /readyz says so, on a connection of its own."""
    with contextlib.suppress(httpx.TransportError):
        return plain.get(f"{service.url}/readyz").status_code == 503
    return False


@pytest.fixture
def service(valkey: Server, key_prefix: str, tmp_path: Path) -> Iterator[LiveService]:
    """One that drains for as long as it takes."""
    made = LiveService(tmp_path, valkey.url, KEY_PREFIX=key_prefix, DRAIN="60")
    yield made.start()
    made.close()


def test_what_is_on_its_way_is_answered(
    service: LiveService, connect: Callable[[int], Wire]
) -> None:
    """Over connections that are idle, that are new, and whose request is here in part."""
    idle, used, begun, half_head = (connect(service.port) for _ in range(4))
    for wire in (idle, used, begun):
        wire.send(request())
        assert "204 no content" in wire.answer()
    slow = request()
    begun.send(slow[:-10])
    half_head.send(slow[:20])
    service.get("/livez")  # so all of it has come in
    os.kill(service.process_id, signal.SIGTERM)
    wait_until(lambda: is_draining(service), what="draining")
    fresh = connect(service.port)
    for wire, data in (
        (idle, request()), (fresh, request()), (begun, slow[-10:]), (half_head, slow[20:])
    ):  # fmt: skip
        wire.send(data)
        answer = wire.answer()
        assert "204 no content" in answer
        assert "connection: close" in answer
        assert wire.is_closed()
    assert service.get("/v1/sites/blog/active").headers["connection"] == "close"
    assert service.get("/v1/sites/blog/active").json()["activeVisitors"] == 6  # two sent the same
    used.close()
    service.stop()  # nobody is connected, so it does not wait for a minute


def test_the_end_of_the_drain(
    valkey: Server, key_prefix: str, tmp_path: Path, connect: Callable[[int], Wire]
) -> None:
    """Idle connections are closed then; what is here in part is waited for all the same."""
    service = LiveService(tmp_path, valkey.url, KEY_PREFIX=key_prefix, DRAIN="0.2")
    try:
        service.start()
        idle, begun = connect(service.port), connect(service.port)
        for wire in (idle, begun):
            wire.send(request())
            assert "204 no content" in wire.answer()
        slow = request()
        begun.send(slow[:-10])
        service.get("/livez")
        os.kill(service.process_id, signal.SIGTERM)
        assert idle.is_closed()
        begun.send(slow[-10:])
        answer = begun.answer()
        assert "204 no content" in answer
        assert "connection: close" in answer
        service.stop()
    finally:
        service.close()


@pytest.mark.parametrize("path, size", [("heartbeat", 30_000), ("heartbeats", 6_500_000)])
def test_a_refusal_is_not_lost_in_a_reset(
    service: LiveService, connect: Callable[[int], Wire], path: str, size: int
) -> None:
    """What is too large is refused at once, and what still comes of it is taken in."""
    wire = connect(service.port)
    head = f"POST /v1/sites/blog/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    wire.send(head.encode() + b" " * 100)
    assert wire.answer().startswith("http/1.1 413 ")
    for _ in range(100, size, size // 300):
        wire.send(b" " * (size // 300))
    wire.rest()


def test_a_second_interrupt_does_not_wait(
    service: LiveService, connect: Callable[[int], Wire]
) -> None:
    """Somebody at a keyboard is in a hurry; an orchestrator that says it twice is not."""
    idle = connect(service.port)
    idle.send(request())
    assert "204 no content" in idle.answer()
    os.kill(service.process_id, signal.SIGTERM)
    wait_until(lambda: is_draining(service), what="draining")
    os.kill(service.process_id, signal.SIGTERM)
    idle.send(request())
    assert "204 no content" in idle.answer()
    left_open = connect(service.port)
    os.kill(service.process_id, signal.SIGINT)
    assert left_open.is_closed()
    service.stop()
