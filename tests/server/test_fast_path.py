"""The fast path answers as uvicorn and the ASGI app do, byte for byte: the same requests go
over real sockets to both."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.intake import CROWD, SPREAD, Sender
from service.app import create_app
from service.errors import StoreUnreachable
from service.server.fallback_protocol import AsgiProtocol
from service.server.fast_path import FastPathProtocol
from service.server.minimal_protocol import MinimalProtocol
from service.server.protocol import PlainProtocol
from service.settings import Settings
from service.store.batching.batch import Batch
from service.store.writer import Heartbeat
from tests.conftest import Clock

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
SITES = """
["blog"]
["shop"]
origins = ["https://shop.example"]
token = "shop-token"
"""


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    while not condition():  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.002)


@dataclass
class Served:
    """A running server, and the way of each request: `short`, `again` where its head was that of
    one before, or `long`, through the app."""

    server: uvicorn.Server
    port: int
    app: Any
    ways: list[str]
    received: dict[int, int]  # bytes by the port of the client
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def store(self) -> Any:
        return self.app.state.context.store

    async def has_answered(self, port: int, sent: int) -> None:
        """Returns when all that was sent from a port was read, and answered so far as it is a
        whole request."""

        def is_done() -> bool:
            connections: set[Any] = self.server.server_state.connections
            here = [protocol for protocol in connections if protocol.client[1] == port]
            if not here:
                return port in self.received  # the server has closed it
            return self.received[port] >= sent and not _is_busy(here[0].cycle)

        await until(is_done)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        return reader, writer


def _is_busy(cycle: Any) -> bool:
    return cycle and not (cycle.response_complete or getattr(cycle, "more_body", False))


@pytest.fixture(autouse=True)
def _uvicorn_looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no event for its end, and looks for it every 100 ms, several times: of most tests here
    that would be nearly all the time they take."""
    sleeping = SimpleNamespace(**vars(asyncio))
    sleeping.sleep = lambda seconds: asyncio.sleep(seconds / 20)
    monkeypatch.setattr("uvicorn.server.asyncio", sleeping)


@pytest.fixture(autouse=True)
def _lingers_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of a request that was refused is here already, or never comes."""
    monkeypatch.setattr("service.server.timeouts.LINGER_S", 0.2)


@pytest.fixture
def sites_file(tmp_path: Path) -> str:
    path = tmp_path / "sites.toml"
    path.write_text(SITES)
    return str(path)


@asynccontextmanager
async def serving(
    protocol: type[HttpToolsProtocol], keep_alive_s: float = 5, /, **settings: str
) -> AsyncIterator[Served]:
    """The app over a socket, spoken to by a protocol."""
    ways: list[str] = []
    received: dict[int, int] = {}

    class Watched(protocol):  # type: ignore[valid-type,misc]
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            received[self.client[1]] = 0

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            received[self.client[1]] += len(data)

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            ways.append("long")
            super()._start_asgi_task(cycle, app)

        def _begin(self, name: str, body: bytes, sender: Sender | None = None) -> None:
            ways.append("again" if sender else "short")
            super()._begin(name, body, sender)

    given = {"REDIS_URL": "memory://", "REQUESTS_PER_SECOND": "0"} | settings
    app: Any = create_app(
        Settings.from_env({f"PRESENCE_{name}": value for name, value in given.items()})
    )
    app.state.context.store.clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            app, http=Watched, ws="none", log_config=None,
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=5,
            timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
        )  # fmt: skip
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[sock]))
        await until(lambda: server.started)
        served = Served(server, sock.getsockname()[1], app, ways, received)
        try:
            yield served
        except BaseException:
            for writer in served.opened:  # lest a later test fails with this one
                writer.transport.abort()
            raise
        finally:
            server.should_exit = True
            await running


def request(
    body: bytes | dict[str, Any] | None = None,
    *headers: str,
    target: str = "/v1/sites/blog/heartbeat",
    method: str = "POST",
    version: str = "1.1",
    length: int | None = None,
) -> bytes:
    """The bytes of a request; of a heartbeat where nothing else is said."""
    if body is None:
        body = {"sessionId": S, "currentPath": "/a"}
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def with_host(host: str, *args: Any, **more: Any) -> bytes:
    """The bytes of a request with another Host."""
    return request(*args, **more).replace(b"Host: localhost", f"Host: {host}".encode())


def beat(path: str) -> dict[str, str]:
    return {"sessionId": S, "currentPath": path}


CLOSING = request(None, "Connection: close")
BOT = "User-Agent: Googlebot/2.1"
_BODY = json.dumps({"sessionId": S, "currentPath": "/a"}).encode()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_BODY), _BODY)

# What is sent, in pieces; the last of each makes the server close the connection, so that an
# answer too many would be seen. Then the way each request takes.
CASES: dict[str, tuple[list[bytes], str]] = {
    "a heartbeat": ([request(), CLOSING], "short long"),
    "each outcome": (
        [request(), request(), request(beat("/b")), request(beat("/a?query")), CLOSING],
        "short again again again long",
    ),
    "the same head, another site": (
        [
            request(None, "Origin: https://shop.example"),
            request(None, "Origin: https://shop.example", target="/v1/sites/shop/heartbeat"),
            request(None, "Origin: https://shop.example", target="/v1/sites/none/heartbeat"),
            CLOSING,
        ],
        "short again again long long",
    ),
    "an origin that is long": (
        [
            request(None, f"Origin: https://{'x' * 300}", target=f"/v1/sites/{name}/heartbeat")
            for name in ("blog", "shop", "blog")
        ]
        + [CLOSING],
        "short again long again long",
    ),
    "the same head and an origin that may not": (
        [
            request(None, "Origin: https://evil.example"),
            request(None, "Origin: https://evil.example", target="/v1/sites/shop/heartbeat"),
            request(None, "Origin: https://evil.example", target="/v1/sites/shop/heartbeat"),
            request(None, "Origin: https://evil.example"),
            CLOSING,
        ],
        "short again long again long again long",
    ),
    "the same head of a crawler": ([request(None, BOT)] * 3 + [CLOSING], "short short short long"),
    "the same head, other bodies": (
        [request(), request(b"{"), request(b""), request(b"x" * 100), request(), CLOSING],
        "short again long again long again long again long",
    ),
    "the same head, spelled in its own way": (
        [request().replace(b"Content-Length: ", b"content-length:")] * 2 + [CLOSING],
        "short again long",
    ),
    "the same head, a length in its own way": (
        [
            request(),
            request().replace(b"Content-Length: ", b"Content-Length: 0"),
            request().replace(b"Content-Length: ", b"Content-Length:  "),
            request(),
            CLOSING,
        ],
        "short again short short long",
    ),
    "the same head, a body that is too long": (
        [request(), request(b'"' + b"x" * 3000 + b'"'), CLOSING],
        "short long",
    ),
    "the same head, another method": (
        [request(), request(method="PUT"), request(method="post"), CLOSING],
        "short long",
    ),
    "the same head, another version": ([request(), request(version="1.0")], "short long"),
    "the same head, another target": (
        [request(), request(target="/v1/sites/blog/heartbeat?counts=1"), request(), CLOSING],
        "short long again long",
    ),
    "the same head, and more than one request": (
        [request(), request() + request(), request() + request()[:30], request()[30:], CLOSING],
        "short short long short short long",
    ),
    "the same head, and less than one request": (
        [request()[:30], request()[30:], request(), request()[:-5], request()[-5:], CLOSING],
        "short short long long",
    ),
    "the same head, behind empty lines": (
        [b"\r\n" + request(), b"\r\n" + request(), request(), CLOSING],
        "short short short long",
    ),
    "a head behind an empty line, and then behind a request line": (
        [b"\r\n" + request(), b"POST /v1/sites/blog/heartbeat HTTP/1.1\r\n" + request()],
        "short",
    ),
    "many heads": (
        [*[request(None, f"X-Forwarded-For: 192.0.2.{n % 3}") for n in range(6)], CLOSING],
        "short short short short again short long",
    ),
    "all that may be known": (
        [
            request(
                beat("/é")
                | {
                    "pageType": "blog",
                    "referrer": "https://www.example.org/x",
                    "country": "de",
                    "city": "Köln",
                    "latitude": 50.94,
                    "longitude": 6.96,
                    "other": [1],
                },
                "Origin: https://example.org",
            ),
            CLOSING,
        ],
        "short long",
    ),
    "a crawler": ([request(None, BOT), CLOSING], "short long"),
    "prefetched": ([request(None, "Sec-Purpose: prefetch;prerender"), CLOSING], "short long"),
    "no JSON": ([request(b"{"), CLOSING], "short long long"),
    "no body": ([request(b""), CLOSING], "short long long"),
    "a bad field": ([request(beat("a")), CLOSING], "short long long"),
    "a member twice": ([request(b'{"sessionId": 1, "sessionId": 2}'), CLOSING], "short long long"),
    "no UTF-8": ([request(b'{"sessionId": "\xff"}'), CLOSING], "short long long"),
    "an unknown site": ([request(target="/v1/sites/x/heartbeat"), CLOSING], "short long long"),
    "an origin that may": (
        [
            request(None, "Origin: https://shop.example", target="/v1/sites/shop/heartbeat"),
            CLOSING,
        ],
        "short long",
    ),
    "an origin that may not": (
        [request(None, "Origin: https://evil.example", target="/v1/sites/shop/heartbeat"), CLOSING],
        "short long long",
    ),
    "no origin, but a token": (
        [
            request(None, "Authorization: Bearer shop-token", target="/v1/sites/shop/heartbeat"),
            CLOSING,
        ],
        "short long",
    ),
    "counts": ([request(target="/v1/sites/blog/heartbeat?counts=1"), CLOSING], "long long"),
    "a query": ([request(target="/v1/sites/blog/heartbeat?"), CLOSING], "long long"),
    "a query that ends as a heartbeat": (
        [request(target="/v1/sites/blog?/heartbeat"), CLOSING],
        "long long",
    ),
    "an escape": ([request(target="/v1/sites/%62log/heartbeat"), CLOSING], "long long"),
    "no site id": ([request(target="/v1/sites/Blog/heartbeat"), CLOSING], "long long"),
    "a whole URL": (
        [request(target="http://localhost/v1/sites/blog/heartbeat"), CLOSING],
        "long long",
    ),
    "two Hosts": ([request(None, "Host: 127.0.0.1"), CLOSING], "short long long"),
    "two Hosts alike": ([request(None, "Host: localhost"), CLOSING], "short long long"),
    "a bad Host": ([with_host("a, b"), CLOSING], "short long long"),
    "a bad Host of another kind": ([with_host("a@b", b"", method="GET"), CLOSING], "long long"),
    "an empty Host": ([with_host(""), CLOSING], "short long"),
    "a whole URL of another host": (
        [request(target="http://other/v1/sites/blog/heartbeat"), CLOSING],
        "long long",
    ),
    "a whole URL without a path": (
        [request(b"", method="GET", target="http://localhost"), CLOSING],
        "long long",
    ),
    "no Host": ([request().replace(b"Host: localhost\r\n", b""), CLOSING], "short long long"),
    "no Host of another kind": (
        [request(b"", method="GET").replace(b"Host: localhost\r\n", b""), CLOSING],
        "long long",
    ),
    "no Host in HTTP/1.0": (
        [request(version="1.0").replace(b"Host: localhost\r\n", b"")],
        "long",
    ),
    "another header twice": ([request(None, "Accept: a", "Accept: b"), CLOSING], "short long"),
    "another method": ([request(b"", method="GET"), CLOSING], "long long"),
    "a preflight": (
        [
            request(
                b"",
                "Origin: https://a.example",
                "Access-Control-Request-Method: POST",
                method="OPTIONS",
            ),
            CLOSING,
        ],
        "long long",
    ),
    "another resource": ([request(target="/v1/sites/blog/leave"), CLOSING], "long long"),
    "a longer path": ([request(target="/v1/sites/blog/x/heartbeat"), CLOSING], "long long"),
    "the last on its connection": ([CLOSING], "long"),
    "HTTP/1.0": ([request(version="1.0")], "long"),
    "HTTP/1.0 that would stay": ([request(None, "Connection: keep-alive", version="1.0")], "long"),
    "chunked": ([request(CHUNKED, "Transfer-Encoding: chunked"), CLOSING], "short long"),
    "a body too long": ([request(b'"' + b"x" * 3000 + b'"'), CLOSING], "long"),
    "a body too long that is not sent": ([request(b"{", length=3000)], "long"),
    "a chunked body too long": (
        [request(b"1000\r\n" + b" " * 4096 + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked")],
        "long",
    ),
    "pieces": (
        [request()[:20], request()[20:-30], request()[-30:-1], request()[-1:], CLOSING],
        "long long",
    ),
    "a body of its own": ([request()[:-56], request()[-56:], CLOSING], "long long"),
    "waits to be told to go on": (
        [request(None, "Expect: 100-continue")[:-56], request()[-56:], CLOSING],
        "long long",
    ),
    "two at once": ([request() + request(beat("/b")), CLOSING], "short long long"),
    "three at once, one of another kind": (
        [request() + request(b"", method="GET") + request(beat("/b")), CLOSING],
        "short long long long",
    ),
    "a refusal and one behind it": ([request(b"{") + request(), CLOSING], "short long long long"),
    "an answer in two parts and one behind it": (
        [request(None, BOT) + request(), CLOSING],
        "short short long",
    ),
    "no HTTP": ([request(), b"nonsense\r\n\r\n"], "short"),
    "no HTTP behind a heartbeat": ([request() + b"nonsense\r\n\r\n"], "short"),
    "an upgrade": (
        [request(None, "Connection: Upgrade", "Upgrade: websocket"), CLOSING],
        "short long",
    ),
    "headers that contradict": (
        [request(None, "Content-Length: 3", "Transfer-Encoding: chunked")],
        "",
    ),
}


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection is closed, also with something unread."""
    back = b""
    with contextlib.suppress(ConnectionResetError):
        while more := await reader.read(65_536):
            back += more
    return back


async def answered(served: Served, pieces: list[bytes]) -> bytes:
    """All that comes back until the server closes, without what differs from second to second."""
    reader, writer = await served.connect()
    # From the beginning: a reader whose connection is reset keeps to itself what it has received.
    reading = asyncio.create_task(read_all(reader))
    port, sent = writer.get_extra_info("sockname")[1], 0
    for piece in pieces:
        writer.write(piece)
        sent += len(piece)
        await served.has_answered(port, sent)
    back = await reading
    writer.close()
    return re.sub(rb"(date|x-request-id): [^\r]+\r\n", b"", back)


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol, MinimalProtocol])
@pytest.mark.parametrize(
    "head", ["GET /v1/sites/blog/active?path=/é HTTP/1.1", "Get / HTTP/1.1", "GET / HTTP/1.1\r\nx"]
)
async def test_what_is_no_http_is_told_so(protocol: type[HttpToolsProtocol], head: str) -> None:
    """As all else that is refused: a page can read it."""
    async with serving(protocol) as served:
        reader, writer = await served.connect()
        writer.write(f"{head}\r\nHost: localhost\r\n\r\n".encode())
        answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"content-type: application/problem+json" in answer
        assert b"access-control-allow-origin: *" in answer
        assert "percent-encode" in json.loads(body)["detail"]
        writer.close()


@pytest.mark.parametrize("case", CASES)
async def test_both_ways_answer_alike(case: str, sites_file: str) -> None:
    pieces, ways = CASES[case]
    async with (
        serving(FastPathProtocol, SITES_FILE=sites_file) as fast,
        serving(PlainProtocol, SITES_FILE=sites_file) as plain,
    ):
        both = await asyncio.gather(answered(fast, pieces), answered(plain, pieces))
        assert both[0] == both[1]
        assert both[0].startswith(b"HTTP/1.1 ")
        assert " ".join(fast.ways) == ways
        assert await fast.store.active("blog") == await plain.store.active("blog")
        assert counters(fast) == counters(plain)


# Host, target -> the status of a request to it
@pytest.mark.fault("B21")
@pytest.mark.parametrize(
    "host, prefix, is_served",
    [
        *[(host, "", True) for host in ("a_b.", "[::1]:8080", "localhost:", "")],
        *[(host, "", False) for host in ("a, b", "a b", "a@b", "a/b", "a:x", "[]", "::1", "é")],
        ("localhost", "http://localhost:80", True),
        ("localhost", "http://other", False),
        ("other", "http://localhost", False),
        ("a@b", "http://a@b", False),
        ("localhost", "ftp://localhost", False),
    ],
)
@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol, MinimalProtocol])
async def test_a_host_that_is_none_is_refused(
    protocol: type[HttpToolsProtocol], host: str, prefix: str, is_served: bool
) -> None:
    heartbeat, livez = f"{prefix}/v1/sites/blog/heartbeat", f"{prefix}/livez"
    pieces = [
        with_host(host, None, target=heartbeat),
        with_host(host, b"", method="GET", target=livez),
        with_host(host, b"", method="GET", target=f"{livez}/none"),
        with_host(host, None, "Connection: close", target=heartbeat),
    ]
    async with serving(protocol) as served:
        back = await answered(served, pieces)
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", back)
    assert statuses == ([b"204", b"200", b"404", b"204"] if is_served else [b"400"] * 4)
    assert is_served or back.count(b"application/problem+json") == 4


def counters(served: Served) -> list[str]:
    """What is counted of requests and outcomes."""
    text = served.app.state.context.metrics.render().decode()
    return [
        line
        for line in text.splitlines()
        if line.startswith(("presence_heartbeats_", "presence_http_requests_", "presence_dropped_"))
    ]


@pytest.mark.parametrize(
    "settings, answers",
    [
        ({"NEW_SESSIONS_PER_MINUTE": "1"}, [204, 429]),
        ({"REQUESTS_PER_SECOND": "1"}, [204, 204, 429]),
        # An interval below two seconds, so that there is one Retry-After to choose from.
        (
            {
                "REDIS_URL": "redis://127.0.0.1:1",
                "HEARTBEAT_INTERVAL": "1.5",
                "HEARTBEAT_DEDUP": "1",
            },
            [503],
        ),
    ],
)
async def test_refusals_are_alike(settings: dict[str, str], answers: list[int]) -> None:
    pieces = [request(beat("/a") | {"sessionId": f"session-{n:012d}"}) for n in range(len(answers))]
    async with (
        serving(FastPathProtocol, **settings) as fast,
        serving(PlainProtocol, **settings) as plain,
    ):
        texts: list[list[bytes]] = []
        for served in (fast, plain):
            reader, writer = await served.connect()
            texts.append([])
            for piece, status in zip(pieces, answers, strict=True):
                writer.write(piece)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 %d " % status)
                length = re.search(rb"content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                texts[-1].append(re.sub(rb"(date|x-request-id): [^\r]+\r\n", b"", head) + body)
            writer.close()
        assert texts[0] == texts[1]
        assert counters(fast) == counters(plain)


@pytest.mark.parametrize("protocol", [FastPathProtocol, PlainProtocol])
@pytest.mark.parametrize(
    "settings, low, high",
    [
        ({}, 15, 30),
        ({"HEARTBEAT_DEDUP": "25"}, 25, 30),  # one that came earlier would not be seen
    ],
)
async def test_a_crowd_is_told_to_come_back_at_different_times(
    protocol: type[HttpToolsProtocol], settings: dict[str, str], low: float, high: float
) -> None:
    async with serving(protocol, **settings) as served:
        reader, writer = await served.connect()

        async def told() -> float:
            writer.write(request(beat("/a")))
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"presence-interval: ([\d.]+)\r", head)
            assert found
            return float(found[1])

        assert {await told() for _ in range(3)} == {high}
        served.store.batcher.waiting += CROWD
        spread = [await told() for _ in range(SPREAD)]
        served.store.batcher.waiting -= CROWD
        assert len(set(spread)) == SPREAD
        assert low < min(spread) < low + 1
        assert max(spread) == high
        assert await told() == high
        writer.close()


# While Redis has not answered yet


class Gate:
    """Holds what a store sends until it is opened; `sent` has the batches."""

    def __init__(self, store: Any) -> None:
        self._send = store.batcher._send
        self._is_open = asyncio.Event()
        self.reached = asyncio.Event()
        store.batcher._send = self

    async def __call__(self, batches: list[Batch[Any, Any, str]]) -> Any:
        self.reached.set()
        await self._is_open.wait()
        return await self._send(batches)

    def open(self) -> None:
        self._is_open.set()


async def test_what_comes_behind_waits_for_its_turn() -> None:
    async with serving(FastPathProtocol) as served:
        gate = Gate(served.store)
        reader, writer = await served.connect()
        writer.write(request())
        await gate.reached.wait()
        writer.write(request(b"", method="GET", target="/livez") + request(beat("/b")))
        await writer.drain()
        gate.open()
        writer.write(CLOSING)
        back = await reader.read()
        statuses = re.findall(rb"HTTP/1.1 (\d+) .*\r\n(?:.+\r\n)*?\r\n", back)
        outcomes = re.findall(rb"presence-status: (\w+)", back)
        assert statuses[:2] == [b"204", b"200"]
        assert outcomes == [b"created", b"moved", b"moved"]  # back to /a with the last
        writer.close()


async def test_who_has_gone_is_counted_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(FastPathProtocol) as served:
        gate = Gate(served.store)
        _, writer = await served.connect()
        writer.write(request())
        await gate.reached.wait()
        writer.transport.abort()
        await until(lambda: not served.server.server_state.connections)
        gate.open()
        await served.store.batcher.close()  # when what was accepted has been told
        assert (await served.store.active("blog")).activeVisitors == 1
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_who_has_gone_is_refused_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(FastPathProtocol) as served:
        sent = asyncio.Event()
        failing = asyncio.Event()

        async def fail(batches: list[Batch[Any, Any, str]]) -> Any:
            sent.set()
            await failing.wait()
            raise StoreUnreachable("Redis does not answer in time")

        served.store.batcher._send = fail
        _, writer = await served.connect()
        writer.write(request())
        await sent.wait()
        writer.transport.abort()
        await until(lambda: not served.server.server_state.connections)
        failing.set()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_heartbeat_under_way_is_answered_before_the_end() -> None:
    async with serving(FastPathProtocol) as served:
        gate = Gate(served.store)
        reader, writer = await served.connect()
        writer.write(request())
        await gate.reached.wait()
        served.server.should_exit = True
        # It has stopped listening, and waits for who is still here.
        await until(lambda: not any(each.is_serving() for each in served.server.servers))
        gate.open()
        back = await reader.read()
        assert back.startswith(b"HTTP/1.1 204 ")
        assert b"presence-status: created" in back
        assert b"connection: close" in back
        writer.close()


async def test_an_error_of_ours_is_a_500_and_the_connection_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(FastPathProtocol) as served:
        reader, writer = await served.connect()

        def broken(*args: object) -> None:
            raise RuntimeError("secret")

        with monkeypatch.context() as patched:
            patched.setattr(served.store, "submit", broken)
            writer.write(request())
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")
        length = re.search(rb"content-length: (\d+)", head)
        assert length
        assert b"secret" not in await reader.readexactly(int(length[1]))
        writer.write(request())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        writer.close()


async def test_who_does_not_read_is_not_answered_for_ever() -> None:
    """Answers that nobody takes are not piled up: what cannot be written is waited for."""
    async with serving(FastPathProtocol) as served:
        reader, writer = await served.connect()
        for protocol in served.server.server_state.connections:
            protocol.pause_writing()  # as the transport does when its buffer is full
        writer.write(request())
        await until(lambda: served.ways == ["long"])
        for protocol in served.server.server_state.connections:
            protocol.resume_writing()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        writer.close()


async def test_a_connection_that_nobody_uses_is_closed_and_no_other() -> None:
    async with serving(FastPathProtocol, 1) as served:
        loop = asyncio.get_running_loop()
        reader, writer = await served.connect()
        begun = loop.time()
        used_at = begun
        while loop.time() - begun < 1.5:
            used_at = loop.time()
            writer.write(request())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
            await asyncio.sleep(0.05)
        gate = Gate(served.store)
        writer.write(request(beat("/slow")))
        await gate.reached.wait()
        await asyncio.sleep(1.2)  # longer than it may be idle, and not idle
        gate.open()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        used_at = loop.time()
        assert await reader.read() == b""
        assert loop.time() - used_at >= 0.99
        writer.close()


async def sent_until_closed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, filler: bytes, every_s: float = 0.05
) -> bytes:
    """Sends the same again and again, so often; all that comes back until the server closes."""
    back = asyncio.create_task(reader.read())
    async with asyncio.timeout(20):
        while not back.done():
            with contextlib.suppress(ConnectionError):
                writer.write(filler)
                await writer.drain()
            await asyncio.wait((back,), timeout=every_s)
    writer.close()
    try:
        return await back
    except ConnectionResetError:  # with bytes on their way
        return b""


@pytest.mark.fault("B10")
@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol, MinimalProtocol])
@pytest.mark.parametrize("filler", [b"\r\n", b"\n", b"\r\n\r\n", b"\r", b" ", b"\0"])
@pytest.mark.parametrize(
    "first", [request(), request(b"", method="GET", target="/livez")], ids=["heartbeat", "GET"]
)
async def test_what_is_no_request_keeps_no_connection(
    protocol: type[HttpToolsProtocol], filler: bytes, first: bytes
) -> None:
    """Lines that are empty may stand before a request (RFC 9112, 2.2), and are none."""
    async with serving(protocol, 0.2) as served:
        reader, writer = await served.connect()
        writer.write(first)
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] in (b"200", b"204")
        await sent_until_closed(reader, writer, filler)
        await until(lambda: not served.server.server_state.connections)


@pytest.mark.fault("B20")
@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol, MinimalProtocol])
@pytest.mark.parametrize("filler", [b"\r\n", b"\n"])
@pytest.mark.parametrize("first", [b"", request(), request(None, "Expect: 100-continue")])
async def test_empty_lines_have_an_end(
    protocol: type[HttpToolsProtocol], filler: bytes, first: bytes
) -> None:
    async with serving(protocol, 60) as served:
        reader, writer = await served.connect()
        if first:
            writer.write(first)
            await reader.readuntil(b"presence-status: created")
        back = await sent_until_closed(reader, writer, filler * 4000, every_s=0.005)
        port = writer.get_extra_info("sockname")[1]
        await until(lambda: not served.server.server_state.connections)
        assert served.received[port] < 300_000
        assert not back or b"HTTP/1.1 431 " in back


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol, MinimalProtocol])
async def test_empty_lines_before_requests_are_ignored(protocol: type[HttpToolsProtocol]) -> None:
    """As many as a head may be long, before each of them."""
    async with serving(protocol, 60) as served:
        reader, writer = await served.connect()
        for n in range(3):
            for _ in range(3):
                writer.write(b"\r\n" * 5000)
                await writer.drain()
            writer.write(request(beat(f"/{n}")))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        writer.write(b"\r\n" + CLOSING)
        assert b"HTTP/1.1 204 " in await reader.read()
        writer.close()


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
async def test_a_request_line_that_stalls_is_cut_off(
    protocol: type[HttpToolsProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.timeouts.REQUEST_S", 0.3)
    monkeypatch.setattr("service.server.timeouts.LOOK_S", 0.1)
    async with serving(protocol, 60) as served:
        for begun in (b"P", b"POST", b"\r\nGET /livez", b"GET / HTTP/1.1\r", request()[:-1]):
            reader, writer = await served.connect()
            writer.write(request())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(begun)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 10) == b"", begun
            writer.close()


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
async def test_the_rest_of_a_refused_request_keeps_no_connection(
    protocol: type[HttpToolsProtocol],
) -> None:
    """It was answered before all of it was here, and nothing more comes."""
    async with serving(protocol, 1, ADMIN_TOKEN="admin-token") as served:
        reader, writer = await served.connect()
        refused = request(b"x" * 1000, target="/v1/sites/blog/heartbeats")
        writer.write(refused[:-500])
        assert b"HTTP/1.1 401 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(refused[-500:])
        await asyncio.wait_for(reader.read(), 10)
        writer.close()


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
async def test_a_request_that_began_before_the_last_answer_is_not_idle(
    protocol: type[HttpToolsProtocol],
) -> None:
    async with serving(protocol, 1, LIVE_TICK="0.05") as served:
        gate = Gate(served.store)
        reader, writer = await served.connect()
        live = request(b"", method="GET", target="/v1/sites/blog/live")
        writer.write(request() + live[:-10])
        await gate.reached.wait()
        gate.open()
        await reader.readuntil(b"presence-status: created")
        writer.write(live[-10:])
        await reader.readuntil(b"event: snapshot")
        await asyncio.sleep(1.3)  # longer than a connection may be idle
        writer.write(b"\r\n")
        await served.store.heartbeat("blog", Heartbeat("s" * 16, "/told", "", "", ""))
        await reader.readuntil(b"/told")
        writer.close()


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
@pytest.mark.parametrize("behind", [b"\r\n", request(beat("/b")), b"nonsense", b"\r\n" * 40_000])
async def test_nothing_behind_the_last_request_is_answered(
    protocol: type[HttpToolsProtocol], behind: bytes
) -> None:
    async with serving(protocol, 60) as served:
        reader, writer = await served.connect()
        writer.write(CLOSING)
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n")
        back = await sent_until_closed(reader, writer, behind)
        assert b"HTTP/1.1" not in back
        assert (await served.store.active("blog", "/b")).activeVisitors == 0


async def test_a_request_behind_one_that_was_answered_at_once_is_not_idle() -> None:
    async with serving(FastPathProtocol, 1, LIVE_TICK="0.05") as served:
        reader, writer = await served.connect()
        live = request(b"", method="GET", target="/v1/sites/blog/live")
        writer.write(request(None, BOT) + live)
        assert b"presence-dropped: bot" in await reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"event: snapshot")
        await asyncio.sleep(1.3)  # longer than a connection may be idle
        await served.store.heartbeat("blog", Heartbeat("s" * 16, "/told", "", "", ""))
        await reader.readuntil(b"/told")
        writer.close()


@pytest.mark.parametrize(
    "protocol, query",
    [(FastPathProtocol, ""), (FastPathProtocol, "?counts=1"), (AsgiProtocol, "")],
    ids=["fast path", "ASGI path", "without the fast path"],
)
async def test_a_request_that_gets_no_answer_is_ended(
    protocol: type[HttpToolsProtocol], query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.timeouts.ANSWER_S", 0.3)
    monkeypatch.setattr("service.server.timeouts.LOOK_S", 0.1)
    async with serving(protocol) as served:
        live, its_writer = await served.connect()
        its_writer.write(request(b"", method="GET", target="/v1/sites/blog/live"))
        await live.readuntil(b"event: snapshot")
        gate = Gate(served.store)
        reader, writer = await served.connect()
        writer.write(request(target=f"/v1/sites/blog/heartbeat{query}"))
        back = await asyncio.wait_for(reader.read(), 5)
        head, _, body = back.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        for line in (
            b"content-type: application/problem+json",
            b"retry-after: 1",
            b"access-control-allow-origin: *",
            b"connection: close",
            b"content-length: %d" % len(body),
        ):
            assert line in head
        assert json.loads(body) == {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "there was no answer within 10 s",
        }
        gate.open()
        await until(lambda: len(served.server.server_state.tasks) == 1)  # the stream's
        await asyncio.sleep(0)  # counters are written once in a turn of the loop
        assert heartbeats_counted(served) == {"503": 1.0}, "once, though its answer came later"
        assert len(served.server.server_state.connections) == 1, "the stream goes on"
        writer.close()
        its_writer.close()


@pytest.mark.parametrize("requests, status", [(1, b"503"), (2, None)])
async def test_even_the_last_resort_ends_a_request_that_gets_no_answer(
    requests: int, status: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.minimal_protocol.ANSWER_S", 0.1)
    async with serving(MinimalProtocol) as served:
        live, its_writer = await served.connect()
        its_writer.write(request(b"", method="GET", target="/v1/sites/blog/live"))
        await live.readuntil(b"event: snapshot")
        gate = Gate(served.store)
        reader, writer = await served.connect()
        writer.write(request() * requests)
        back = await asyncio.wait_for(reader.read(), 5)
        assert (back.split()[1] if back else None) == status
        gate.open()
        await until(lambda: len(served.server.server_state.connections) == 1)
        assert not live.at_eof(), "the stream goes on"
        writer.close()
        its_writer.close()


@pytest.mark.parametrize("broken", ["RequestResponseCycle", "_start_asgi_task"])
async def test_a_broken_answer_is_still_one(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.timeouts.ANSWER_S", 0.3)
    monkeypatch.setattr("service.server.timeouts.LOOK_S", 0.1)
    async with serving(FastPathProtocol, REDIS_URL="redis://127.0.0.1:1") as served:
        break_uvicorn(monkeypatch, broken)
        reader, writer = await served.connect()
        writer.write(request())
        back = await asyncio.wait_for(reader.read(), 10)
        assert back.startswith(b"HTTP/1.1 503 ")
        assert heartbeats_counted(served) == {"503": 1.0}
        writer.close()


def heartbeats_counted(served: Served) -> dict[str, float]:
    """Requests to the heartbeat's endpoint by status."""
    counted = re.findall(
        r'requests_total{method="POST",route="/v1/sites/{site}/heartbeat",status="(\d+)"} (.+)',
        served.app.state.context.metrics.render().decode(),
    )
    return {status: float(count) for status, count in counted if float(count)}


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
@pytest.mark.parametrize(
    "sent", [request(), request(b"", method="GET", target="/livez")], ids=["heartbeat", "GET"]
)
async def test_while_draining_each_answer_says_that_it_is_the_last(
    protocol: type[HttpToolsProtocol], sent: bytes
) -> None:
    async with serving(protocol) as served:
        early_reader, early_writer = await served.connect()
        early_writer.write(sent)
        assert b"connection: close" not in await early_reader.readuntil(b"\r\n\r\n")
        draining = served.app.state.draining
        draining.is_on = True
        for connection in draining.connections:
            connection.drain()
        late_reader, late_writer = await served.connect()
        for reader, writer in ((early_reader, early_writer), (late_reader, late_writer)):
            writer.write(sent)
            back = await asyncio.wait_for(reader.read(), 10)
            assert b"\r\nconnection: close\r\n" in back
            writer.close()


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
async def test_live_streams_end_when_the_server_stops(protocol: type[HttpToolsProtocol]) -> None:
    async with serving(protocol) as served:
        reader, writer = await served.connect()
        writer.write(request(b"", method="GET", target="/v1/sites/blog/live"))
        await reader.readuntil(b"event: snapshot")
        for connection in list(served.server.server_state.connections):
            connection.shutdown()
        await asyncio.wait_for(reader.read(), 10)
        writer.close()


def break_uvicorn(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Changes what the fast path uses of uvicorn, as another version might."""

    def other(*args: object) -> None:
        """Is called otherwise, or does nothing."""

    if what == "RequestResponseCycle":
        monkeypatch.setattr("service.server.fast_path.RequestResponseCycle", other)
    else:
        monkeypatch.setattr(HttpToolsProtocol, what, other)


# Where the fast path cannot be used


@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
async def test_without_the_fast_path_the_limits_are_the_same(
    protocol: type[HttpToolsProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.timeouts.REQUEST_S", 1.0)
    monkeypatch.setattr("service.server.timeouts.LOOK_S", 0.2)
    chunks = request(CHUNKED, "Transfer-Encoding: chunked")
    # what is sent, over and over after the first -> the status, None: cut off
    endless: list[tuple[bytes, bytes, bytes | None]] = [
        (b"GET / HTTP/1.1\r\nX-Long: ", b"a" * 32_768, b"431"),
        (b"GET / HTTP/1.1\r\n", b"X-Many: 1\r\n" * 3000, b"431"),
        (chunks[:-2], b"X-Trailer: 1\r\n" * 3000, b"431"),
        (b"GET / HTTP/1.1\r\nX-Slow: ", b"", None),
        (b"", b"", None),
    ]
    async with serving(protocol) as served:
        for first, more, status in endless:
            reader, writer = await served.connect()
            writer.write(first)
            back = asyncio.create_task(reader.read())
            for _ in range(50):
                if more:
                    with contextlib.suppress(ConnectionError):
                        writer.write(more)
                        await writer.drain()
                await asyncio.wait((back,), timeout=0.05)
                if back.done():
                    break
            assert back.done(), first
            with contextlib.suppress(ConnectionError):  # reset with bytes on their way
                answer = await back
                assert (answer.split()[1] if answer else None) == status, first
            writer.close()
        reader, writer = await served.connect()
        writer.write(request() + CLOSING)
        assert (await reader.read()).count(b"HTTP/1.1 204 ") == 2
        writer.close()
        counted = 'presence_http_requests_total{method="none",route="none",status="431"} 3.0'
        assert counted in served.app.state.context.metrics.render().decode()


@pytest.mark.parametrize(
    "first, more",
    [
        (b"GET / HTTP/1.1\r\nX-Long: ", b"a" * 32_768),
        (b"GET / HTTP/1.1\r\n", b"X-Many: 1\r\n" * 3000),
        (request(CHUNKED, "Transfer-Encoding: chunked")[:-2], b"X-Trailer: 1\r\n" * 3000),
    ],
    ids=["one header", "many headers", "trailers"],
)
async def test_even_the_last_resort_has_a_limit_for_heads_and_trailers(
    first: bytes, more: bytes
) -> None:
    async with serving(MinimalProtocol) as served:
        reader, writer = await served.connect()
        writer.write(first)
        back = asyncio.create_task(reader.read())
        while not back.done():
            with contextlib.suppress(ConnectionError):
                writer.write(more)
                await writer.drain()
            await asyncio.wait((back,), timeout=0.01)
        with contextlib.suppress(ConnectionError):  # reset with bytes on their way
            await back
        writer.close()
        reader, writer = await served.connect()
        writer.write(request() * 600 + CLOSING)
        assert (await reader.read()).count(b"HTTP/1.1 204 ") == 601, "of requests there is none"
        writer.close()


async def test_without_the_fast_path_all_is_answered_alike() -> None:
    async with serving(FastPathProtocol) as fast, serving(AsgiProtocol) as other:
        for pieces, _ in CASES.values():
            texts = []
            for served in (fast, other):
                reader, writer = await served.connect()
                sent = 0
                for piece in pieces:
                    writer.write(piece)
                    sent += len(piece)
                    await served.has_answered(writer.get_extra_info("sockname")[1], sent)
                back = await asyncio.wait_for(reader.read(), 10)
                texts.append(re.sub(rb"(date|x-request-id): [^\r]+\r\n", b"", back))
                writer.close()
            assert texts[0] == texts[1]
