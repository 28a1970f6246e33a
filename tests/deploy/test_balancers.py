"""Three copies of the service behind the real nginx and HAProxy: one is killed, one replaced, all
restarted one after another, while clients go on; nobody notices, and every number is right."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.api.requests.batches import MAX_BATCH_BODY_BYTES
from tests.api.batches import full_batch
from tests.browser.site import LiveService
from tests.deploy.balancers import KINDS, Balancer, program
from tests.deploy.crowd import Crowd
from tests.fork_server import run
from tests.servers import Server, wait_until

SETTINGS = {
    "SESSION_TIMEOUT": "120",
    "HEARTBEAT_INTERVAL": "30",
    "HEARTBEAT_DEDUP": "10",
    "TRUSTED_PROXIES": "127.0.0.1/32",
    "ADMIN_TOKEN": "operator",
    "METRICS_TOKEN": "scraper",
    "PUBLIC_PATH": "/_p",
}


def start(copy: LiveService) -> None:
    """Starts a copy, however busy the machine is with the others."""
    try:
        copy.start()
    except AssertionError:
        wait_until(lambda: answers(copy), 90, f"a copy: {copy.log}")


def answers(copy: LiveService) -> bool:
    """Whether it does."""
    with contextlib.suppress(httpx.TransportError):
        return copy.get("/livez").status_code == 200
    return False


@pytest.fixture(scope="module")
def copies(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LiveService]]:
    """Three copies on one Valkey."""
    with contextlib.ExitStack() as stack:
        made = []
        for n in range(3):
            folder = tmp_path_factory.mktemp(f"copy-{n}")
            copy = LiveService(folder, valkey.url, **SETTINGS, KEY_PREFIX="balanced")
            stack.callback(copy.close)
            made.append(copy)
        with ThreadPoolExecutor() as pool:
            list(pool.map(start, made))
        yield made


@pytest.fixture(scope="module", params=KINDS)
def balancer(request: pytest.FixtureRequest, copies: list[LiveService]) -> Iterator[Balancer]:
    """In front of them."""
    with Balancer(request.param, [copy.port for copy in copies]) as running:
        yield running


@pytest.fixture
def crowd(balancer: Balancer) -> Crowd:
    """On a site of its own."""
    return Crowd([balancer.url], f"site-{uuid.uuid4().hex[:8]}", balancer.tls)


async def check(crowd: Crowd, copies: list[LiveService], valkey: Server) -> None:
    """Nothing failed and no count is wrong."""
    assert not crowd.failures, (crowd.failures, crowd.answered)
    async with asyncio.timeout(20):
        while True:  # until the last of those who left are gone
            stats = copies[1].get(f"/v1/sites/{crowd.site}/stats").json()
            if stats["activeVisitors"] <= len(crowd.staying):
                break
            await asyncio.sleep(0.1)
    assert stats["activeVisitors"] == len(crowd.staying)
    assert sum(row["count"] for row in stats["activeByPath"]) == len(crowd.staying)
    assert stats["totalPageViews"] == len(crowd.pairs)
    assert sum(row["views"] for row in stats["pageStats"]) == len(crowd.pairs)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PRESENCE_")}
    doctor = await asyncio.to_thread(
        run, [sys.executable, "-m", "service", "doctor", crowd.site],
        env=environ | {"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": "balanced"},
        timeout=60,
    )  # fmt: skip
    assert doctor.returncode == 0, (doctor.stdout + doctor.stderr).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_who_meets_the_wall_is_told_when_to_come_again(
    kind: str, copies: list[LiveService]
) -> None:
    with (
        Balancer(kind, [copy.port for copy in copies]) as walled,
        httpx.Client(verify=walled.tls) as client,
    ):
        for _ in range(20_000):  # as many as are let through while it refills
            answer = client.get(f"{walled.url}/presence.js")
            if answer.status_code != 200:
                break
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 429


LOWER = {
    "nginx": {"rate=1000r/s": "rate=1r/s", "burst=2000": "burst=10"},
    "haproxy": {"gt 5000": "gt 11"},
}


@pytest.mark.parametrize("prefix", ["", "/_p"])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_have_a_wall_of_their_own(
    kind: str, prefix: str, copies: list[LiveService]
) -> None:
    """Further out, and lowered here: more in a second than a test can send on every machine."""
    beat = {"sessionId": str(uuid.uuid4()), "currentPath": "/"}
    with (
        Balancer(kind, [copy.port for copy in copies], LOWER[kind]) as walled,
        httpx.Client(verify=walled.tls, headers={"Authorization": "Bearer operator"}) as client,
    ):
        url = f"{walled.url}{prefix}/v1/sites/batches/heartbeats"
        answers = [client.post(url, json={"heartbeats": [beat]}) for _ in range(30)]
        assert [answer.status_code for answer in answers[:10]] == [200] * 10
        assert 429 in [answer.status_code for answer in answers]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert client.get(f"{walled.url}/livez").status_code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_one_address_holds_so_many_requests_at_once(kind: str, copies: list[LiveService]) -> None:
    """Live streams, which stay. The service and the wall for requests refuse as well while they
    come fast; that passes, and this does not."""
    with Balancer(kind, [copy.port for copy in copies]) as walled, contextlib.ExitStack() as stack:
        held: list[ssl.SSLSocket] = []

        def opens() -> bool:
            plain = socket.create_connection(("127.0.0.1", walled.port), 30)
            sock = stack.enter_context(walled.tls.wrap_socket(plain, server_hostname="localhost"))
            sock.sendall(b"GET /v1/sites/walled/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status = sock.recv(12).split()[1]
            assert status in (b"200", b"429")
            if status == b"200":
                held.append(sock)
            return status == b"200"

        in_vain = 0
        while in_vain < 4:
            if opens():
                in_vain = 0
            else:
                in_vain += 1
                time.sleep(1)  # as Retry-After says
        assert len(held) == 512
        held.pop().close()
        wait_until(opens, 30, "the place of one that has gone")


@pytest.mark.parametrize("kind", KINDS)
async def test_connections_to_the_copies_are_kept(kind: str) -> None:
    """A heartbeat opens none of its own."""
    carried: list[int] = []  # heartbeats, by connection

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if length := re.search(rb"content-length: (\d+)", head.lower()):
                    await reader.readexactly(int(length[1]))
                if head.startswith(b"POST "):
                    if number is None:
                        number = len(carried)
                        carried.append(0)
                    carried[number] += 1
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    servers = [await asyncio.start_server(copy, "127.0.0.1", 0) for _ in range(3)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    balancer = await asyncio.to_thread(Balancer(kind, ports).start)
    try:
        async with httpx.AsyncClient(verify=balancer.tls) as client:
            for _ in range(150):
                url = f"{balancer.url}/v1/sites/blog/heartbeat"
                assert (await client.post(url, content=b"{}")).status_code == 204
    finally:
        await asyncio.to_thread(balancer.close)
        for server in servers:
            server.close()
    assert sum(carried) == 150
    processors = (
        os.cpu_count() or 1
    )  # each worker of nginx, and each thread of HAProxy, has its own
    assert len(carried) <= 3 * processors


async def test_one_is_killed(crowd: Crowd, copies: list[LiveService], valkey: Server) -> None:
    """With requests in its hands: they are asked of another copy, POST too, for none of them
    changes anything the second time."""
    victim = copies[0]
    async with crowd:
        await crowd.more()
        os.kill(victim.process_id, signal.SIGSTOP)
        await crowd.stuck(3)
        os.kill(victim.process_id, signal.SIGKILL)
        await crowd.more()
        await asyncio.to_thread(victim.stop)
        await asyncio.to_thread(start, victim)
        await crowd.more()
    await check(crowd, copies, valkey)


async def test_each_is_replaced(crowd: Crowd, copies: list[LiveService], valkey: Server) -> None:
    """A rolling restart: SIGTERM, and a new one on the same port."""
    async with crowd:
        for copy in copies:
            await crowd.more(50)
            await asyncio.to_thread(copy.stop)
            await crowd.more(50)
            await asyncio.to_thread(start, copy)
        await crowd.more()
    await check(crowd, copies, valkey)


# Live streams


class Stream:
    """What a browser knows of a live stream, over the connections that it is read from."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: dict[str, str] = {}
        self.names: list[str] = []  # of the events of the last connection
        self.paths: set[str] = set()
        self._answer: httpx.Response | None = None

    async def reads(self, answer: httpx.Response, path: str) -> None:
        """Reads until somebody is on a page. Were anything held back on the way, it would wait
        for ever."""
        if answer is not self._answer:
            self._answer, self._lines = answer, answer.aiter_lines()
            self.names.clear()
        async with asyncio.timeout(60):
            while path not in self.paths:
                name, _, value = (await anext(self._lines)).partition(": ")
                if name == "event":
                    self.names.append(value)
                elif name == "id":
                    self.headers = {"Last-Event-ID": value}
                elif name == "data":
                    self.paths |= {row["path"] for row in json.loads(value)["activeByPath"]}


async def beat(http: httpx.AsyncClient, url: str, path: str) -> httpx.Response:
    """Somebody new on a page."""
    body = {"sessionId": str(uuid.uuid4()), "currentPath": path}
    return await http.post(f"{url}/heartbeat", json=body)


def streams_of(copy: LiveService) -> int:
    """How many live streams a copy holds."""
    metrics = copy.get("/metrics", Authorization="Bearer scraper").text
    (line,) = [line for line in metrics.splitlines() if line.startswith("presence_live_streams ")]
    return int(float(line.split()[1]))


async def test_live_streams(crowd: Crowd, copies: list[LiveService], balancer: Balancer) -> None:
    """Each event at once; over the death of a copy, and the end of one, nothing is missed; a
    reload of the balancer leaves them alone."""
    url = crowd.url(0)
    async with crowd.client(0) as http:
        stream = Stream(f"{url}/live")
        await beat(http, url, "/first")
        async with http.stream("GET", stream.url) as answer:
            await stream.reads(answer, "/first")
            assert stream.names == ["snapshot"]
            await beat(http, url, "/second")
            await stream.reads(answer, "/second")
            balancer.reload()
            for path in ("/third", "/fourth"):
                assert (await beat(http, url, path)).status_code == 204
                await stream.reads(answer, path)
            (holder,) = [copy for copy in copies if streams_of(copy)]
            os.kill(holder.process_id, signal.SIGKILL)
            with pytest.raises((httpx.RemoteProtocolError, StopAsyncIteration)):
                await stream.reads(answer, "/nowhere")
        await beat(http, url, "/while-away")
        async with http.stream("GET", stream.url, headers=stream.headers) as answer:
            await stream.reads(answer, "/while-away")
            assert stream.names == ["change"], "what was missed, not all anew"
            (holder_2,) = [copy for copy in copies if copy is not holder and streams_of(copy)]
            await asyncio.to_thread(holder.stop)
            await asyncio.to_thread(start, holder)
            os.kill(holder_2.process_id, signal.SIGTERM)
            with pytest.raises((httpx.RemoteProtocolError, StopAsyncIteration)):
                await stream.reads(answer, "/nowhere")
        await beat(http, url, "/while-away-again")
        while "/while-away-again" not in stream.paths:  # one that drains ends it at once
            async with http.stream("GET", stream.url, headers=stream.headers) as answer:
                with contextlib.suppress(StopAsyncIteration):
                    await stream.reads(answer, "/while-away-again")
        assert stream.names == ["change"]
    await asyncio.to_thread(holder_2.stop)
    await asyncio.to_thread(start, holder_2)


# What is let through


async def test_a_stream_on_which_nothing_happens_stays(
    crowd: Crowd, copies: list[LiveService], balancer: Balancer
) -> None:
    """Until the next comment, 15 s later, also below PRESENCE_PUBLIC_PATH."""
    url = f"{balancer.url}/_p/v1/sites/{crowd.site}/live"
    async with asyncio.timeout(60):
        async with (
            httpx.AsyncClient(verify=balancer.tls, timeout=30) as client,
            client.stream("GET", url) as stream,
        ):
            assert ":" in [line async for line in until_comment(stream)], "it was cut off"
        while any(map(streams_of, copies)):  # which other tests count  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_comment(stream: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream up to its first comment."""
    async for line in stream.aiter_lines():
        yield line
        if line == ":":
            return


async def test_operators_endpoints_are_hidden(crowd: Crowd) -> None:
    """From everywhere but this machine itself, however the path is spelled."""
    site = f"/v1/sites/{crowd.site}"
    session = f"{site}/sessions/{uuid.uuid4()}"
    tokens = {"Authorization": "Bearer operator"}
    scraper = {"Authorization": "Bearer scraper"}
    async with crowd.client(0) as http:
        root = crowd.url(0).removesuffix(site)
        assert (await beat(http, crowd.url(0), "/")).status_code == 204
        for method, path in (
            ("GET", "/metrics"), ("GET", "/%6detrics"), ("GET", "/metrics?x"), ("GET", "/readyz"),
            ("GET", "/v1/sites"), ("GET", f"{site}/sessions"), ("GET", f"{site}/%73essions"),
            ("GET", session), ("DELETE", session), ("GET", f"{site}/events?after=0"),
            ("GET", f"{site}/webhooks"), ("POST", f"{site}/webhooks/x/test"),
            ("GET", f"{site}/shares"), ("POST", f"{site}/shares/wall"),
            ("GET", f"{site}/views"), ("HEAD", f"{site}/views?format=csv"),
        ):  # fmt: skip
            answer = await http.request(method, root + path)
            assert answer.status_code == 404, path
            assert "there is nothing here" not in answer.text, "it has not reached the service"
        view = {"sessionId": str(uuid.uuid4()), "path": "/"}
        assert (await http.post(f"{root}{site}/views", json=view)).status_code == 204
        assert (await http.get(f"{root}/livez")).status_code == 200
    transport = httpx.AsyncHTTPTransport(verify=crowd.tls, local_address="127.0.0.1")
    async with httpx.AsyncClient(transport=transport, timeout=30) as here:
        assert (await here.get(f"{root}/v1/sites")).status_code == 401
        assert (await here.get(f"{root}/v1/sites", headers=tokens)).status_code == 200
        sessions = await here.get(f"{root}{site}/sessions", headers=tokens)
        assert len(sessions.json()["sessions"]) == 1
        assert "presence_heartbeats" in (await here.get(f"{root}/metrics", headers=scraper)).text


async def test_sizes(crowd: Crowd, balancer: Balancer) -> None:
    """What is too large is refused by the service, in its own words; what is far too large, by
    whoever sees it first."""
    async with crowd.client(0) as http:
        for path, size in (
            ("heartbeat", 2_100),
            ("heartbeats", MAX_BATCH_BODY_BYTES + 1),
            ("heartbeats", 7_000_000),
        ):
            answer = await http.post(f"{crowd.url(0)}/{path}", content=b" " * size)
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].startswith("the body is longer than")
        if balancer.kind == "nginx":
            answer = await http.post(f"{crowd.url(0)}/heartbeats", content=b" " * 7_400_000)
            assert answer.status_code == 413
        answer = await http.post(f"{crowd.url(0)}/heartbeats", content=full_batch())
        assert answer.json() == {"results": ["created"] * 1000, "errors": []}


async def test_plain_http_is_sent_to_https(crowd: Crowd, balancer: Balancer) -> None:
    """With its method and body."""
    async with crowd.client(0) as http:
        answer = await http.post(f"http://127.0.0.1:{balancer.plain_port}/v1/sites/blog/heartbeat")
        assert answer.status_code == 308
        assert answer.headers["location"].startswith("https://127.0.0.1")
        assert answer.headers["location"].endswith("/v1/sites/blog/heartbeat")


def test_http_2(crowd: Crowd, balancer: Balancer) -> None:
    """So that a page's live streams do not use up the six connections of a browser."""
    done = subprocess.run(
        [program("curl"), "--silent", "--http2", "--cacert", f"{balancer.folder}/tls.crt",
         "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}",
         f"{crowd.url(0)}/active"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "2 200"


@pytest.mark.parametrize("kind", KINDS)
async def test_addresses_and_a_lost_redis(kind: str, tmp_path: Path) -> None:
    """Limits go by the client's own address, whatever it claims; and when Redis is away it is
    the service that says so."""
    with Server("valkey") as store, contextlib.ExitStack() as stack:
        limits = {"NEW_SESSIONS_PER_MINUTE": "3"}
        service = LiveService(tmp_path, store.url, **(SETTINGS | limits))
        stack.callback(service.close)
        service.start()
        balancer = stack.enter_context(Balancer(kind, [service.port] * 3))
        crowd = Crowd([balancer.url], "blog", balancer.tls)
        async with crowd.client(0) as http, crowd.client(1) as other:
            url = crowd.url(0)
            for claimed in (
                {},
                {"X-Forwarded-For": "192.0.2.{}"},
                {"Forwarded": "for={}"},
            ):
                answers: list[int] = []
                while 429 not in answers:
                    http.headers.update({k: v.format(len(answers)) for k, v in claimed.items()})
                    answers.append((await beat(http, url, "/")).status_code)
                    assert len(answers) < 8, "at most twice three, if the minute ends meanwhile"
            assert (await beat(other, url, "/")).status_code == 204
            store.kill()
            async with asyncio.timeout(60):
                while kind == "haproxy" and "has no server available" not in balancer.log:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            answer = await beat(other, url, "/")
            assert answer.status_code == 503
            assert 1 <= int(answer.headers["retry-after"]) <= 30
            assert answer.headers["content-type"] == "application/problem+json"
