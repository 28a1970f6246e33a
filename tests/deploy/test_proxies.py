"""What stands between a client and the service: trailers at nginx and HAProxy (B19), and proxies
that compress or collect live streams (B36)."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.site import LiveService, running
from tests.deploy import http2
from tests.deploy.balancers import KINDS, Balancer, program
from tests.servers import Server, free_port, wait_until
from tests.trailers import READ, chunked

TARGETS = ("/v1/sites/blog/heartbeat", "/v1/sites/blog/heartbeats", "/v1/sites/blog/leave")
BODY = json.dumps({"sessionId": "s" * 32, "currentPath": "/"}).encode()
# Connection and its kind are no headers of HTTP/2, and a request that has them is malformed.
OF_HTTP_2 = {
    name: value
    for name, value in READ.items()
    if name not in ("Connection", "HTTP2-Settings", "Host", "Upgrade")
}


class Copy:
    """Stands for a copy of the service: answers everything, and keeps what it was sent."""

    def __init__(self) -> None:
        self.received = b""
        self.targets: list[str] = []

    async def __aenter__(self) -> "Copy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                is_check = head.startswith(b"GET /readyz")
                received = head.lower()
                if length := re.search(rb"content-length: (\d+)", received):
                    received += await reader.readexactly(int(length[1]))
                elif b"transfer-encoding: chunked" in received:
                    received += await reader.readuntil(b"\r\n0\r\n")
                    while (line := await reader.readline()) != b"\r\n":
                        received += line.lower()
                if not is_check:
                    self.received += received
                    self.targets.append(head.split()[1].decode())
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()


@contextlib.asynccontextmanager
async def balanced(kind: str) -> AsyncIterator[tuple[Copy, Balancer]]:
    """A balancer in front of one that keeps what it is sent."""
    async with Copy() as copy:
        balancer = await asyncio.to_thread(Balancer(kind, [copy.port] * 3).start)
        try:
            yield copy, balancer
        finally:
            await asyncio.to_thread(balancer.close)


def tls_socket(balancer: Balancer, protocol: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(balancer.folder / "tls.crt"))
    context.set_alpn_protocols([protocol])
    plain = socket.create_connection(("127.0.0.1", balancer.port), 30)
    return context.wrap_socket(plain, server_hostname="localhost")


def status_of(balancer: Balancer, request: bytes) -> int:
    """Of the answer over HTTP/1.1; 0: there was none."""
    with tls_socket(balancer, "http/1.1") as sock:
        sock.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := sock.recv(65_536)):
            answer += data
    return int(answer.split()[1]) if answer else 0


def head(method: str, target: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


@pytest.mark.fault("B19")
@pytest.mark.parametrize("kind", KINDS)
async def test_trailers_end_at_the_balancer(kind: str) -> None:
    """HAProxy refuses a body without a length, for it passes trailers on; nginx drops them."""
    async with balanced(kind) as (copy, balancer):
        for name, value in READ.items():
            for method, target in [*(("POST", target) for target in TARGETS), ("GET", "/livez")]:
                request = head(method, target, "Transfer-Encoding: chunked")
                request += chunked(BODY, {name: "trailer-" + value})
                status = await asyncio.to_thread(status_of, balancer, request)
                assert status in ((411, 400) if kind == "haproxy" else (204, 400)), name
        assert b"trailer-" not in copy.received
        assert bool(copy.targets) == (kind == "nginx")


@pytest.mark.fault("B19")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [{}, {"content-length": str(len(BODY))}], ids=["", "length"])
async def test_trailers_of_http_2_end_at_the_balancer(kind: str, length: dict[str, str]) -> None:
    """nginx ends the connection of whoever sends some."""

    def ask(method: str, target: str, body: bytes, trailers: dict[str, str]) -> None:
        with tls_socket(balancer, "h2") as sock:
            http2.send(sock, method, target, body, length if body else {}, trailers)

    async with balanced(kind) as (copy, balancer):
        for name, value in OF_HTTP_2.items():
            trailers = {name: "trailer-" + value}
            await asyncio.to_thread(ask, "POST", TARGETS[0], BODY, trailers)
            await asyncio.to_thread(ask, "GET", "/livez", b"", trailers)
            await asyncio.to_thread(ask, "OPTIONS", TARGETS[0], b"", trailers)
        assert b"trailer-" not in copy.received
        assert (BODY in copy.received) == bool(length and kind == "haproxy")
        await asyncio.to_thread(ask, "POST", TARGETS[0], BODY, {})
        assert (BODY in copy.received) == bool(length or kind == "nginx")


@pytest.mark.fault("B19")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trailers", [{}, {"X-Trailer": "trailer-"}], ids=["", "trailers"])
async def test_a_body_without_a_length_is_no_second_request(
    kind: str, trailers: dict[str, str]
) -> None:
    """HTTP/2 knows where it ends; whoever is told by a Content-Length must not be told less."""
    hidden = b"POST /hidden HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"

    def ask(method: str) -> None:
        with tls_socket(balancer, "h2") as sock:
            http2.send(sock, method, "/livez", hidden, {}, trailers)

    async with balanced(kind) as (copy, balancer):
        for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PUT"):
            await asyncio.to_thread(ask, method)
            await asyncio.sleep(0.1)
        assert "/hidden" not in copy.targets
        assert b"trailer-" not in copy.received
        assert copy.targets == (["/livez"] * 5 if kind == "nginx" and not trailers else [])


# B36

# As somebody would write it who has not read docs/deployment.md.
NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    gzip on;
    gzip_types *;
    gzip_proxied any;
    gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{service}; {more} }}
    }}
}}
"""
EXPRESS = """
const express = require("express"), compression = require("compression"), http = require("http");
const app = express();
app.use(compression());
app.use((request, response) => {
  const { method, url: path, headers } = request;
  const asked = http.request({ port: process.argv[3], method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  response.on("close", () => asked.destroy());
  asked.on("error", () => response.end());
  request.pipe(asked);
});
app.listen(Number(process.argv[2]), "127.0.0.1");
"""
PROXIES = ["nginx", "nginx-http-1.1", "express"]


def express_command(folder: Path) -> list[str]:
    """Installs Express; skips where that is not to be had."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    packages = ["express@5", "compression@1"]
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    try:
        done = subprocess.run([*install, *packages], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("npm's registry is slow")
    if done.returncode:
        pytest.skip(f"Express cannot be had: {done.stderr.decode()[-300:]}")
    (folder / "proxy.cjs").write_text(EXPRESS)
    return [node, str(folder / "proxy.cjs")]


@pytest.fixture(scope="module")
def service(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    folder = tmp_path_factory.mktemp("behind-proxies")
    settings = {"KEY_PREFIX": "proxied", "SESSION_TIMEOUT": "120", "HEARTBEAT_INTERVAL": "30"}
    with running(folder, valkey.url, ADMIN_TOKEN="operator", **settings) as service:
        yield service


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, service: LiveService, tmp_path: Path) -> Iterator[str]:
    """The URL of a proxy that compresses what it can."""
    port = free_port()
    if request.param == "express":
        command = [*express_command(tmp_path), str(port), str(service.port)]
    else:
        more = "proxy_http_version 1.1;" if request.param != "nginx" else ""
        text = NGINX.format(folder=tmp_path, port=port, service=service.port, more=more)
        (tmp_path / "nginx.conf").write_text(text)
        command = [program("nginx"), "-e", "stderr", "-p", str(tmp_path),
                   "-c", str(tmp_path / "nginx.conf")]  # fmt: skip
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(process, port, tmp_path), what=request.param)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def listens(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> bool:
    assert process.poll() is None, (folder / "log").read_text()[-2000:]
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


@pytest.mark.fault("B36")
async def test_events_come_at_once_through_a_proxy_that_compresses(
    proxy: str, service: LiveService
) -> None:
    """Each is here before the next one happens: what is held back would be waited for in vain."""
    site = f"/v1/sites/site-{uuid.uuid4().hex[:8]}"
    headers = {"Accept-Encoding": "gzip"}
    async with (
        httpx.AsyncClient(base_url=proxy, headers=headers, timeout=20) as client,
        client.stream("GET", f"{site}/live") as answer,
    ):
        assert answer.headers["cache-control"] == "no-store, no-transform"
        lines = answer.aiter_lines()
        for path in ("/first", "/second", "/third"):
            body = {"sessionId": str(uuid.uuid4()), "currentPath": path}
            sent = await client.post(f"{site}/heartbeat", json=body)
            assert sent.status_code == 204
            async with asyncio.timeout(10):
                while f'"{path}"' not in await anext(lines):
                    pass


@pytest.mark.fault("B36")
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_an_export_may_not_be_held_back_either(service: LiveService, kind: str) -> None:
    answer = service.get(f"/v1/sites/blog/views?format={kind}", Authorization="Bearer operator")
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
