"""Input that is wrong and clients that mean no good, B1 to B30: against the real service on a
real Valkey, over sockets. Each test speaks from addresses of its own."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.requests.batches import MAX_BATCH_BODY_BYTES
from service.api.requests.sizes import MAX_BODY_BYTES
from tests import plain
from tests.browser.site import LiveService, running
from tests.faults.keys import grammar_faults
from tests.servers import Server, missing, wait_until

ADMIN = "operator-s3cret-token"
SITES = """
["open"]
["shop"]
origins = ["https://shop.example"]
["private"]
public = false
token = "private-s3cret-token"
"""
SETTINGS = {
    "ADMIN_TOKEN": ADMIN,
    "METRICS_TOKEN": "metrics-s3cret-token",
    "TRUSTED_PROXIES": "127.0.0.1/32",
    "NEW_SESSIONS_PER_MINUTE": "60",
    "REQUESTS_PER_SECOND": "200",
    "RESPECT_DNT": "true",
    "MAX_PATHS": "1000",
    "LOG_LEVEL": "debug",
    "SESSION_TIMEOUT": "120",
}
SITE = "/v1/sites/open"
_addresses = (f"192.0.2.{n % 250}, 198.51.{n // 250}.{n % 250}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def abused_valkey() -> Iterator[Server]:
    with Server("valkey") as server:
        yield server


@pytest.fixture(scope="module")
def service(
    abused_valkey: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """One service for all rows; what each leaves behind must fit the grammar of keys."""
    folder = tmp_path_factory.mktemp("abuse")
    sites = folder / "sites.toml"
    sites.write_text(SITES)
    settings = SETTINGS | {"SITES_FILE": str(sites)}
    with running(folder, abused_valkey.url, **settings) as service:
        yield service
        assert not grammar_faults(abused_valkey.client, "presence")
        assert "Traceback" not in service.log


@pytest.fixture
def client(service: LiveService) -> Iterator[httpx.Client]:
    """A client with an address of its own, behind a trusted proxy."""
    headers = {"X-Forwarded-For": next(_addresses)}
    with plain.Client(base_url=service.url, headers=headers, timeout=20) as client:
        yield client


def beat(number: int = 0, path: str = "/", **more: Any) -> dict[str, Any]:
    return {"sessionId": f"{number:032d}", "currentPath": path, **more}


def operator(service: LiveService) -> httpx.Client:
    return plain.Client(
        base_url=service.url, headers={"Authorization": f"Bearer {ADMIN}"}, timeout=30
    )


def memory_of(service: LiveService) -> int:
    """Resident bytes of the service."""
    status = Path(f"/proc/{service.process_id}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def metric(service: LiveService, name: str) -> float:
    headers = {"Authorization": "Bearer metrics-s3cret-token"}
    text = plain.get(f"{service.url}/metrics", headers=headers).text
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
    )


class Raw:
    """A connection to which anything can be sent."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def read(self) -> bytes:
        """All until the service closes."""
        received = b""
        with contextlib.suppress(OSError):
            while data := self.socket.recv(65_536):
                received += data
        return received

    def status(self) -> int:
        """Of the answer; 0: the connection was closed without one."""
        received = b""
        with contextlib.suppress(OSError):
            while b"\r\n" not in received and (data := self.socket.recv(65_536)):
                received += data
        return int(received.split()[1]) if received else 0


Connect = Callable[[], Raw]


@pytest.fixture
def connect(service: LiveService) -> Iterator[Connect]:
    """Makes connections, which are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make() -> Raw:
            connection = Raw(service.port)
            stack.callback(connection.socket.close)
            return connection

        yield make


def head(target: str = f"{SITE}/heartbeat", *headers: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


# B1


@pytest.mark.fault("B1")
@pytest.mark.parametrize(
    "endpoint, most",
    [
        ("heartbeat", MAX_BODY_BYTES),
        ("leave", MAX_BODY_BYTES),
        ("views", MAX_BODY_BYTES),
        ("heartbeats", MAX_BATCH_BODY_BYTES),
    ],
)
def test_a_body_over_the_limit(
    service: LiveService, connect: Connect, endpoint: str, most: int
) -> None:
    target = f"{SITE}/{endpoint}"
    bearer = f"Authorization: Bearer {ADMIN}"
    before = memory_of(service)
    declared = connect()
    declared.send(head(target, bearer, "Content-Length: 99999999999"))
    assert declared.status() == 413
    chunked = connect()
    chunked.send(head(target, bearer, "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    for _ in range(256):  # 16 MiB, where anybody takes them
        chunked.send(chunk)
    assert chunked.status() in (413, 0)  # 0: it was told, and reset while it went on sending
    lying = connect()
    body = json.dumps(beat()).encode().ljust(most + 1)
    lying.send(head(target, bearer, "Content-Length: 5") + body)
    assert lying.status() == 400
    assert lying.read().count(b"HTTP/1.1 2") == 0
    assert memory_of(service) - before < 8 * 2**20


# B2 and B3


@pytest.mark.fault("B2")
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"1", b'"x"', b"NaN", b'{"sessionId": NaN}', b"\xff\xfe",
        b'{"sessionId": Infinity, "currentPath": "/"}', b"[" * 2000, b'{"a":' * 300, b"\x00" * 100,
        b'{"sessionId": 1, "currentPath": 2}', b'{"sessionId": [], "currentPath": {}}',
        b'{"sessionId": "0000000000000000", "sessionId": "0000000000000001", "currentPath": "/"}',
        b'{"sessionId": "0000000000000000", "currentPath": "/", "latitude": 1e999, "x"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("endpoint", ["heartbeat", "leave", "views", "heartbeats"])
def test_a_broken_body(client: httpx.Client, body: bytes, endpoint: str) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    answer = client.post(f"{SITE}/{endpoint}", content=body, headers=headers)
    assert answer.status_code in (400, 422), body
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.fault("B2")
def test_ten_thousand_levels(client: httpx.Client) -> None:
    for bomb in (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 100_000):
        headers = {"Authorization": f"Bearer {ADMIN}"}
        answer = client.post(f"{SITE}/heartbeats", content=bomb, headers=headers)
        assert answer.status_code == 400


@pytest.mark.fault("B3")
@pytest.mark.parametrize(
    "session_id",
    ["", "short", "x" * 65, "0" * 15 + " ", "0" * 15 + "é", "0" * 16 + "\n", "../" * 6],
)
def test_a_bad_session_id(client: httpx.Client, session_id: str) -> None:
    for endpoint, rest in [
        ("heartbeat", {"currentPath": "/"}),
        ("leave", {}),
        ("views", {"path": "/"}),
    ]:
        answer = client.post(f"{SITE}/{endpoint}", json={"sessionId": session_id, **rest})
        assert (answer.status_code, answer.json()["field"]) == (422, "sessionId")


@pytest.mark.fault("B3")
@pytest.mark.parametrize(
    "path",
    [
        "", "a", "//host", "https://host/a", "javascript:alert(1)", "/\x00", "/\x1b[31m", "/a\nb",
        "/\u202egpj", "/\u2066x", "/" + "a" * 512, "/" + "é" * 256, "/\u2028", "\\\\host",
    ],
)  # fmt: skip
def test_a_bad_path(client: httpx.Client, path: str) -> None:
    for endpoint, field in [("heartbeat", "currentPath"), ("views", "path")]:
        body = {"sessionId": "0" * 32, field: path}
        answer = client.post(f"{SITE}/{endpoint}", content=json.dumps(body))
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


@pytest.mark.fault("B3")
@pytest.mark.parametrize("path", ["/\\ud800", "/a\\udfff"])
def test_a_path_that_is_not_quite_text(client: httpx.Client, path: str) -> None:
    """Lone surrogates."""
    body = '{"sessionId": "' + "0" * 32 + '", "currentPath": "' + path + '"}'
    answer = client.post(f"{SITE}/heartbeat", content=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "currentPath")


# B4


@pytest.mark.fault("B4")
def test_secrets_in_query_strings(
    service: LiveService, client: httpx.Client, abused_valkey: Server
) -> None:
    for n, path in enumerate(["/q?token=s3cret-q", "/q#s3cret-q", "/q/?s3cret-q#s3cret-q"]):
        body = beat(40 + n, path, referrer="https://u:s3cret-q@search.example/s3cret-q?s3cret-q")
        assert client.post(f"{SITE}/heartbeat?s3cret-q=1", json=body).status_code == 204
    for url in ("stats?s3cret-q", "active?path=/q%3Fs3cret-q", "badge.svg?label=x&s3cret-q"):
        assert client.get(f"{SITE}/{url}").status_code == 200
    assert client.get("/s3cret-q?s3cret-q").status_code == 404
    with operator(service) as own:
        metrics = own.get("/metrics", headers={"Authorization": "Bearer metrics-s3cret-token"}).text
    kept = "".join(abused_valkey.client.scan_iter("*")) + repr(
        abused_valkey.client.xrange("presence:{open}:views")
    )
    assert "search.example" in kept
    for text in (kept, service.log, metrics):
        assert "s3cret-q" not in text


# B5


@pytest.mark.fault("B5")
def test_a_hundred_thousand_random_paths(service: LiveService, abused_valkey: Server) -> None:
    """ABUSE_PATHS=1000000 walks a million, in minutes; what is kept is bounded long before."""
    redis = abused_valkey.client
    steps = int(os.environ.get("ABUSE_PATHS", "100000"))
    with operator(service) as own:
        before = own.get(f"{SITE}/stats").json()
        # Few at once: however busy the machine, none takes as long as a call of Redis may.
        for begin in range(0, steps, 100):
            beats = [beat(50 + n % 7, f"/{n:x}/{n * 7919:x}") for n in range(begin, begin + 100)]
            answer = own.post(f"{SITE}/heartbeats", json={"heartbeats": beats})
            assert answer.status_code == 200, answer.text
            assert set(answer.json()["results"]) <= {"created", "moved"}
            if begin == steps // 2:
                half = memory_of(service), redis.zcard("presence:{open}:top")
        stats = own.get(f"{SITE}/stats").json()
    assert stats["totalPageViews"] - before["totalPageViews"] == steps
    top = dict(redis.zrange("presence:{open}:top", 0, -1, withscores=True))
    assert len(top) == 1001
    assert top["__other__"] > steps - 1100
    assert sum(top.values()) == stats["totalPageViews"]
    assert redis.hlen("presence:{open}:types") <= 1000
    assert redis.zcard("presence:{open}:pages") <= redis.zcard("presence:{open}:active")
    assert redis.xlen("presence:{open}:views") < 101_000
    assert redis.xlen("presence:{open}:events") < 11_000
    assert redis.zcard("presence:{open}:top") == half[1]
    assert memory_of(service) - half[0] < 8 * 2**20


# B6 and B8


def open_sessions(service: LiveService, addresses: list[str], first: int) -> list[int]:
    """The statuses of a hundred new sessions in one minute, from these addresses in turn."""
    # The limit is one of a minute of the clock: begin early in one.
    wait_until(lambda: time.time() % 60 < 45, what="a minute that is young")
    statuses = []
    with plain.Client(base_url=service.url) as client:
        for n in range(100):
            headers = {"X-Forwarded-For": addresses[n % len(addresses)]}
            answer = client.post(f"{SITE}/heartbeat", json=beat(first + n), headers=headers)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 60
    return statuses


@pytest.mark.fault("B6")
@pytest.mark.parametrize(
    "first, flooders, other",
    [
        (1000, ["203.0.113.9"], "203.0.113.10"),
        (2000, [f"2001:db8:1:2::{n:x}" for n in range(1, 60)], "2001:db8:1:3::1"),  # one /64
    ],
)
def test_a_session_flood(service: LiveService, first: int, flooders: list[str], other: str) -> None:
    assert open_sessions(service, flooders, first) == [204] * 60 + [429] * 40
    for address, number in [(other, first + 200), (flooders[0], first)]:
        answer = plain.post(
            f"{service.url}{SITE}/heartbeat",
            json=beat(number),
            headers={"X-Forwarded-For": address},
        )
        assert answer.status_code == 204, "others, and a session that is there, go on"


@pytest.mark.fault("B8")
@pytest.mark.parametrize(
    "first, forwarded",
    [
        (3000, "10.0.0.{n}, 203.0.113.77"),  # what clients write stands to the left
        (4000, "203.0.113.{n}, 198.51.100.1, 203.0.113.78"),
        (5000, "nonsense-{n}, 203.0.113.79"),
    ],
)
def test_a_forged_address(service: LiveService, first: int, forwarded: str) -> None:
    addresses = [forwarded.format(n=n) for n in range(100)]
    statuses = open_sessions(service, addresses, first)
    assert statuses == [204] * 60 + [429] * 40, "all of them are one address"


# B7


@pytest.mark.fault("B7")
def test_ids_are_never_shown_to_the_public(service: LiveService, client: httpx.Client) -> None:
    ids = [f"{number:032d}" for number in (70, 71)]
    assert client.post(f"{SITE}/heartbeat", json=beat(70, "/b7")).status_code == 204
    said = []
    with client.stream("GET", f"{SITE}/live?feed=1") as stream:
        lines = stream.iter_lines()
        assert client.post(f"{SITE}/heartbeat", json=beat(71, "/b7")).status_code == 204
        for line in lines:
            said.append(line)
            if line.startswith("data:") and '"/b7","count":2' in line:
                break
    for url in ("stats", "active", "history", "badge.svg", "stats?limit=1000"):
        said.append(client.get(f"{SITE}/{url}").text)
    for url in ("/", "/sites/open", "/docs", "/openapi.json", "/presence.js"):
        said.append(client.get(url).text)
    for method, url in [
        ("GET", f"{SITE}/sessions"), ("GET", f"{SITE}/sessions/{ids[0]}"), ("GET", f"{SITE}/views"),
        ("GET", f"{SITE}/events"), ("GET", f"{SITE}/events?format=ndjson"),
        ("DELETE", f"{SITE}/sessions/{ids[0]}"), ("GET", "/v1/sites"),
    ]:  # fmt: skip
        answer = client.request(method, url)
        assert answer.status_code == 401
        said.append(answer.text)
    for text in said:
        assert not any(session_id in text for session_id in ids)
    with operator(service) as own:
        assert own.get(f"{SITE}/sessions/{ids[0]}").status_code == 200, "and nothing has ended it"


# B9


@pytest.mark.fault("B9")
@pytest.mark.parametrize("endpoint", ["heartbeat", "leave", "views"])
@pytest.mark.parametrize(
    "origin, status",
    [
        ("https://shop.example", 204),
        ("https://evil.example", 403),
        ("https://shop.example.evil.example", 403),
        ("http://shop.example", 403),
        ("https://shop.example:444", 403),
        ("null", 403),
        (None, 403),
    ],
)
def test_foreign_origins(
    client: httpx.Client, endpoint: str, origin: str | None, status: int
) -> None:
    body = {"sessionId": f"{90:032d}"}
    body |= {"heartbeat": {"currentPath": "/"}, "views": {"path": "/"}}.get(endpoint, {})
    headers = {"Origin": origin} if origin else {}
    answer = client.post(f"/v1/sites/shop/{endpoint}", json=body, headers=headers)
    assert answer.status_code == status
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == (origin if status == 204 else None)


# B10


@pytest.mark.fault("B10")
async def test_slow_clients_are_cut_off_and_disturb_nobody(service: LiveService) -> None:
    begun = time.monotonic()

    async def trickled(data: bytes) -> float:
        """How long the service puts up with one that sends a byte now and then."""
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        closed = asyncio.create_task(reader.read())
        for byte in itertools.chain(data, itertools.repeat(ord("x"))):
            with contextlib.suppress(OSError):
                writer.write(bytes([byte]))
            await asyncio.wait((closed,), timeout=0.3)
            if closed.done():
                break
        writer.close()
        return time.monotonic() - begun

    async def silent() -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        return time.monotonic() - begun

    async def others() -> float:
        async with httpx.AsyncClient(base_url=service.url) as client:
            for _ in range(20):
                assert (await client.get("/livez")).status_code == 200
                await asyncio.sleep(0.1)
        return 0.0

    body = head(f"{SITE}/heartbeat", "Content-Length: 100")
    unread = head("/nowhere", "Content-Length: 100")
    took = await asyncio.gather(
        others(),
        silent(),
        trickled(b"POST /v1/sites/open/heartbeat HTTP/1.1\r\nHost: "),
        # The head at once, then a body that never ends.
        _trickled_after(service, body, begun),
        _trickled_after(service, unread, begun),
    )
    assert max(took) < 10 + 5, "ten seconds, and some for a busy machine"
    assert min(took[1:]) > 4


async def _trickled_after(service: LiveService, first: bytes, begun: float) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(first)
    closed = asyncio.create_task(reader.read())
    while not closed.done():
        with contextlib.suppress(OSError):
            writer.write(b"x")
        await asyncio.wait((closed,), timeout=0.3)
    writer.close()
    with contextlib.suppress(OSError):
        assert (await closed).split()[1] in (b"408", b"404")
    return time.monotonic() - begun


@pytest.mark.fault("B10")
def test_an_endless_head(service: LiveService, connect: Connect) -> None:
    before = memory_of(service)
    for start in (head()[:-2] + b"X-Long: ", b"GET /" + b"a" * 100):
        connection = connect()
        connection.send(start)
        for _ in range(512):
            connection.send(b"a" * 32_768)
        assert connection.status() in (431, 400, 0)
    assert memory_of(service) - before < 8 * 2**20


# B11 and B12


@pytest.mark.fault("B11")
async def test_a_thousand_streams_from_one_address(service: LiveService) -> None:
    request = (
        f"GET {SITE}/live HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.{{}}\r\n\r\n"
    )

    async def opened(address: int) -> tuple[int, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(request.format(address).encode())
        return int((await reader.readline()).split()[1]), writer

    results = []
    for _ in range(20):  # not all at once: the backlog of the socket is not what is tested
        results += await asyncio.gather(*(opened(111) for _ in range(50)))
        await asyncio.sleep(0.3)  # below the limit of requests
    statuses = [status for status, _ in results]
    assert statuses.count(200) == 256
    assert statuses.count(429) == 1000 - 256
    status, other = await opened(112)
    assert status == 200
    for _, writer in results:
        writer.transport.abort()
    other.transport.abort()
    await asyncio.to_thread(
        wait_until, lambda: metric(service, "presence_live_streams") == 0, what="no streams"
    )


@pytest.mark.fault("B11")
def test_slow_readers_are_no_queue(service: LiveService, connect: Connect) -> None:
    readers = []
    for n in range(40):
        readers.append(connect())
        target = f"GET {SITE}/live?feed=1 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.{n}"
        readers[-1].send(target.encode() + b"\r\n\r\n")  # and never read
    wait_until(lambda: metric(service, "presence_live_streams") == 40, what="40 streams")
    with operator(service) as own:
        before = 0
        for n in range(120):
            beats = [beat(1100 + m, f"/b11/{(m + n) % 90}/{'x' * 100}") for m in range(100)]
            own.post(f"{SITE}/heartbeats", json={"heartbeats": beats}).raise_for_status()
            if n == 40:
                before = memory_of(service)
        assert memory_of(service) - before < 16 * 2**20
    for reader in readers:
        reader.socket.close()


@pytest.mark.fault("B12")
def test_connect_and_reset(service: LiveService, connect: Connect) -> None:
    for n in range(500):
        connection = connect()
        address = f"X-Forwarded-For: 203.0.113.{n % 200}"
        request = f"GET {SITE}/live HTTP/1.1\r\nHost: x\r\n{address}\r\n\r\n"
        connection.send(request.encode())
        if n % 3 == 0:
            connection.socket.recv(100)
        # A reset instead of an orderly end.
        connection.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        connection.socket.close()
    wait_until(lambda: metric(service, "presence_live_streams") == 0, what="no streams")
    status = connect()
    status.send(f"GET {SITE}/live HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert status.status() == 200


# B13 and B14


@pytest.mark.fault("B13")
@pytest.mark.parametrize("path", ["/<script>alert(1)</script>", '/"><img src=x onerror=alert(1)>'])
def test_markup_is_text(service: LiveService, client: httpx.Client, path: str) -> None:
    """On the stats page, in Chromium: tests/browser/test_stats_page.py."""
    body = beat(130, path, referrer="=cmd.example", country="DE", city="<script>")
    assert client.post(f"{SITE}/heartbeat", json=body).status_code == 204
    badge = client.get(f"{SITE}/badge.svg", params={"label": path, "path": path})
    assert badge.headers["content-security-policy"].startswith("default-src 'none'")
    page = client.get("/sites/open")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for answer in (badge, page, client.get("/"), client.get("/docs")):
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
    stats = client.get(f"{SITE}/stats?limit=1000")
    assert stats.headers["content-type"] == "application/json"


@pytest.mark.fault("B13")
def test_no_cell_is_a_formula(service: LiveService, client: httpx.Client) -> None:
    ids = ["-=HYPERLINK-00000", "-1+1-cmd-calc-000"]
    for session_id in ids:
        body = {"sessionId": re.sub("[=+]", "_", session_id), "path": "/@x"}
        assert client.post(f"{SITE}/views", json=body).status_code == 204
    with operator(service) as own:
        text = own.get(f"{SITE}/views?format=csv").text
    cells = [cell for line in text.splitlines()[1:] for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'-_HYPERLINK-00000" in cells


@pytest.mark.fault("B14")
def test_line_ends_in_a_stream(client: httpx.Client) -> None:
    for path in ("/a\r\ndata: x", "/a\n\nevent: snapshot", "/a\rb", "/a\u2028b"):
        assert client.post(f"{SITE}/heartbeat", json=beat(140, path)).status_code == 422
    assert client.post(f"{SITE}/heartbeat", json=beat(140, "/b14 data: x")).status_code == 204
    with client.stream("GET", f"{SITE}/live?feed=1") as stream:
        for line in stream.iter_lines():
            assert re.match(r"(event|id|data|retry): |:|\Z", line), line
            if line.startswith("data: "):
                json.loads(line.removeprefix("data: "))
                break


# B15


@pytest.mark.fault("B15")
def test_tokens_are_not_guessed_and_not_told(service: LiveService, client: httpx.Client) -> None:
    """That they are compared in constant time: tests/api/test_security.py."""
    for token, status in [
        ("", 401), ("Bearer", 401), ("Bearer x", 403), (f"Basic {ADMIN}", 401),
        (f"Bearer {ADMIN[:-1]}", 403), (f"Bearer {ADMIN}x", 403), (f"Bearer {ADMIN}", 200),
        ("Bearer metrics-s3cret-token", 403), ("Bearer private-s3cret-token", 403),
    ]:  # fmt: skip
        answer = client.get(f"{SITE}/sessions", headers={"Authorization": token})
        assert answer.status_code == status, token
        assert "s3cret-token" not in answer.text
    # A token in a URL opens nothing.
    for name in ("token", "access_token", "authorization"):
        assert client.get(f"{SITE}/sessions", params={name: ADMIN}).status_code == 401
    assert client.get("/v1/sites/private/stats").status_code == 401
    bearer = {"Authorization": "Bearer private-s3cret-token"}
    assert client.get("/v1/sites/private/stats", headers=bearer).status_code == 200
    assert "s3cret" not in service.log


# B16 and B17


@pytest.mark.fault("B16")
def test_labels_are_route_templates(service: LiveService, client: httpx.Client) -> None:
    for n in range(150):
        client.get(f"/b16-{n}/random")
        client.request(f"B16METHOD{n}", f"{SITE}/stats")
        client.get(f"/sites/b16-{n}")
        client.get(f"/v1/sites/b16-{n}/stats")
        client.get(f"/static/b16-{n}/x.js")
    headers = {"Authorization": "Bearer metrics-s3cret-token"}
    text = client.get("/metrics", headers=headers).text
    assert "b16" not in text.lower()
    assert len([line for line in text.splitlines() if "presence_http_requests" in line]) < 150


@pytest.mark.fault("B17")
@pytest.mark.parametrize(
    "site",
    ["{open}", "open}", "a:b", "..", ".", "...", "-", "A", "a b", "a%00b", "a" * 64, "ö", "*"],
)
def test_bad_site_ids(client: httpx.Client, site: str) -> None:
    for method, url, body in [
        ("POST", "heartbeat", beat()),
        ("POST", "leave", {"sessionId": "0" * 32}),
        ("GET", "stats", None),
        ("GET", "live", None),
        ("GET", "badge.svg", None),
    ]:
        quoted = httpx.QueryParams({"s": site}) if "%" not in site else None
        name = str(quoted)[2:].replace("+", "%20") if quoted else site
        name = name.replace(".", "%2E")
        answer = client.request(method, f"/v1/sites/{name}/{url}", json=body)
        assert answer.status_code in (404, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["field"] == "site"


# B18


@pytest.mark.fault("B18")
@pytest.mark.parametrize(
    "headers, reason",
    [
        ({"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "bot"),
        ({"Sec-Purpose": "prefetch;prerender"}, "prefetch"),
        ({"Purpose": "prefetch"}, "prefetch"),
        ({"DNT": "1"}, "dnt"),
        ({"Sec-GPC": "1"}, "dnt"),
    ],
)
@pytest.mark.parametrize("endpoint", ["heartbeat", "views"])
def test_what_is_dropped(
    service: LiveService,
    client: httpx.Client,
    abused_valkey: Server,
    endpoint: str,
    headers: dict[str, str],
    reason: str,
) -> None:
    counter = f'presence_dropped_total{{reason="{reason}"}}'
    before = metric(service, counter)
    body = {"sessionId": f"dropped-{180:024d}", "currentPath": "/", "path": "/"}
    answer = client.post(f"{SITE}/{endpoint}", json=body, headers=headers)
    assert (answer.status_code, answer.headers["presence-status"]) == (204, "dropped")
    assert answer.headers["presence-dropped"] == reason
    assert metric(service, counter) == before + 1
    assert not list(abused_valkey.client.scan_iter("*dropped-*"))


# B19 and B20


@pytest.mark.fault("B19")
@pytest.mark.parametrize("endpoint", ["heartbeat", "heartbeats"])
def test_trailers_are_not_headers(
    service: LiveService, connect: Connect, abused_valkey: Server, endpoint: str
) -> None:
    session = f"trailer-{endpoint:0>24}"
    item = {"sessionId": session, "currentPath": "/b19"}
    body = json.dumps(item if endpoint == "heartbeat" else {"heartbeats": [item]}).encode()
    trailers = (
        b"X-Forwarded-For: 10.9.8.1\r\nCF-IPCountry: DE\r\nHost: other\r\nDNT: 1\r\n"
        b"Origin: https://shop.example\r\nUser-Agent: Googlebot/2.1\r\nSec-Purpose: prefetch\r\n"
        b"Connection: close\r\nX-Request-ID: from-a-trailer\r\n"
        b"Authorization: Bearer private-s3cret-token\r\n"
    )
    status = {"open": (204,), "shop": (403,)}
    for site in ("open", "shop", "private"):
        connection = connect()
        chunked = b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers)
        target = f"/v1/sites/{site}/{endpoint}"
        connection.send(head(target, "Transfer-Encoding: chunked") + chunked)
        refused = (401, 403)  # a batch needs a token
        assert connection.status() in (
            refused if endpoint == "heartbeats" else status.get(site, (204, 401))
        )
    connection = connect()
    connection.send(
        f"GET {SITE}/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + f"0\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode()
    )
    assert connection.status() == 401
    counted = list(abused_valkey.client.scan_iter(f"*{{open}}*{session}*"))
    assert bool(counted) is (endpoint == "heartbeat")


@pytest.mark.fault("B20")
@pytest.mark.parametrize("trailer", [b"X-Long: " + b"a" * 100 + b"\r\n", b"a"])
def test_endless_trailers(service: LiveService, connect: Connect, trailer: bytes) -> None:
    before = memory_of(service)
    for target in (f"{SITE}/heartbeat", "/livez", f"{SITE}/heartbeats"):
        connection = connect()
        connection.send(head(target, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n")
        begun = time.monotonic()
        for _ in range(512):
            connection.send(trailer * (32_768 // len(trailer)))
        connection.read()
        assert time.monotonic() - begun < 5, "cut off by its size, not by its time"
    assert memory_of(service) - before < 8 * 2**20


@pytest.mark.fault("B20")
@pytest.mark.parametrize(
    "long",
    [
        b"POST /v1/sites/open/heartbeat HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 70_000,
        b"POST /v1/sites/open/heartbeat HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 7000,
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x",
    ],
)
def test_a_long_head_in_one_piece(service: LiveService, connect: Connect, long: bytes) -> None:
    connection = connect()
    connection.send(long + b"\r\n\r\n")
    # 400: the parser itself refuses so long a URL; 0: it was told, and reset with bytes unread.
    assert connection.status() in (431, 400, 0)


# B27


@pytest.mark.fault("B27")
def test_pipelining_across_packet_borders(service: LiveService, connect: Connect) -> None:
    """Each piece ends inside a request, for longer than one request may take."""
    connection = connect()
    one = f"GET /livez HTTP/1.1\r\nHost: x\r\n{'X-Filler: ' + 'a' * 40}\r\n\r\n".encode()
    connection.send(one[:30])
    sent = 0
    begun = time.monotonic()
    while time.monotonic() - begun < 12:
        connection.send(one[30:] + one[:30])
        sent += 1
        time.sleep(0.5)
    connection.send(one[30:-2] + b"Connection: close\r\n\r\n")
    assert connection.read().count(b"HTTP/1.1 200 ") == sent + 1


# B29


@pytest.mark.fault("B29")
@pytest.mark.parametrize("offer", ["h2c", "websocket", "TLS/1.0, HTTP/2.0"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_offer_to_upgrade_is_ignored(
    service: LiveService, connect: Connect, offer: str, is_chunked: bool
) -> None:
    body = json.dumps(beat(290, "/b29")).encode()
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    if is_chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    offers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAMA")
    request = head(f"{SITE}/heartbeat", *offers, length) + body
    for pieces in ([request], [request[:60], request[60:-20], request[-20:]]):
        connection = connect()
        for piece in pieces:
            connection.send(piece)
            time.sleep(0.02)
        assert connection.status() == 204


@pytest.mark.fault("B29")
def test_curl_offers_http2(service: LiveService) -> None:
    curl = shutil.which("curl")
    if curl is None:
        missing("curl")
    told = subprocess.run(
        [str(curl), "-s", "-o", os.devnull, "-w", "%{http_code}", "--http2", "-d",
         json.dumps(beat(291, "/b29")), f"{service.url}{SITE}/heartbeat"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "204"


# B30


@pytest.mark.fault("B30")
@pytest.mark.parametrize(
    "header", ["traceparent", "baggage", "x-datadog-trace-id", "request-id", "newrelic", "x-other"]
)
@pytest.mark.parametrize("site, origin", [("open", "https://a.example"), ("shop", "")])
def test_any_header_passes_the_preflight(
    client: httpx.Client, header: str, site: str, origin: str
) -> None:
    asked = {
        "Origin": origin or "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": f"content-type,{header}",
    }
    answer = client.options(f"/v1/sites/{site}/heartbeat", headers=asked)
    assert answer.status_code == 204
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"*", "Authorization", "Content-Type"} <= set(allowed)
    assert "access-control-allow-credentials" not in answer.headers
