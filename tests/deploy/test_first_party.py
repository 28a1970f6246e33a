"""The recipes of docs/first-party.md, each in its own program, in front of the real service."""

import asyncio
import contextlib
import re
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.site import LiveService, running
from tests.deploy.balancers import program
from tests.deploy.test_proxies import Copy, listens
from tests.servers import free_port, missing, wait_until

PAGE = (Path(__file__).parents[2] / "docs/first-party.md").read_text()
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
    server {{
        listen 127.0.0.1:{port};
        {recipe}
        location / {{ return 200 "the site"; }}
    }}
}}
"""
CADDY = """
{{
	admin off
	auto_https off
}}
http://127.0.0.1:{port} {{
	{recipe}
	handle {{
		respond "the site"
	}}
}}
"""
# What Cloudflare does around a worker: it names the client, and passes on what has no route.
WORKER_HOST = """
import http from "node:http";
import { Readable } from "node:stream";
import worker from "./worker.mjs";

http.createServer(async (asked, response) => {
  if (!asked.url.startsWith("/_p/")) return response.end("the site");
  const headers = new Headers(asked.headers);
  for (const name of ["connection", "host", "content-length"]) headers.delete(name);
  headers.set("CF-Connecting-IP", "127.0.0.1");
  const body = asked.method === "POST" ? Readable.toWeb(asked) : undefined;
  const url = `http://${asked.headers.host}${asked.url}`;
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const { method } = asked;
  const options = { method, headers, body, duplex: "half", signal: gone.signal };
  const request = new Request(url, options);
  try {
    const answer = await worker.fetch(request);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.flushHeaders();
    for await (const piece of answer.body ?? []) response.write(piece);
  } catch {}
  response.end();
}).listen(Number(process.argv[2]), "127.0.0.1");
"""
KINDS = ["nginx", "caddy", "worker"]


def recipe(section: str) -> str:
    """The one block of code of a section."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
    return str(block)


@contextlib.contextmanager
def proxy(kind: str, folder: Path, upstream: int) -> Iterator[str]:
    """The URL of a site whose proxy is by the recipe."""
    port = free_port()
    if kind == "nginx":
        text = recipe("nginx").replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
        (folder / "conf").write_text(NGINX.format(folder=folder, port=port, recipe=text))
        command = [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "conf")]
    elif kind == "caddy":
        text = recipe("Caddy").replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
        (folder / "Caddyfile").write_text(CADDY.format(port=port, recipe=text))
        command = [program("caddy"), "run", "--config", str(folder / "Caddyfile")]
    else:
        node = shutil.which("node") or missing("node")
        text = recipe("Cloudflare Workers").replace(
            "https://presence.example.org", f"http://127.0.0.1:{upstream}"
        )
        (folder / "worker.mjs").write_text(text)
        (folder / "around.mjs").write_text(WORKER_HOST)
        command = [node, str(folder / "around.mjs"), str(port)]
    environ = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder)
    try:
        wait_until(lambda: listens(process, port, folder), what=kind)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One that is told of the public path, and lets an address open three sessions a minute."""
    settings = {
        "PUBLIC_PATH": "/_p", "SCRIPT_NAME": "here.js", "TRUSTED_PROXIES": "127.0.0.1",
        "NEW_SESSIONS_PER_MINUTE": "3", "SESSION_TIMEOUT": "120", "HEARTBEAT_INTERVAL": "30",
        "RESPECT_DNT": "true",
    }  # fmt: skip
    with running(tmp_path_factory.mktemp("service"), "memory://", **settings) as service:
        yield service


@pytest.fixture(params=KINDS)
async def client(
    request: pytest.FixtureRequest, service: LiveService, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a site with each kind of proxy."""
    with proxy(request.param, tmp_path, service.port) as url:
        headers = {"Accept-Encoding": "identity"}
        async with httpx.AsyncClient(base_url=url, timeout=20, headers=headers) as client:
            yield client


async def test_all_that_is_public_is_on_the_sites_own_host(client: httpx.AsyncClient) -> None:
    assert (await client.get("/elsewhere")).text == "the site"
    for path, kind in (
        ("/_p/here.js", "text/javascript"),
        ("/_p/here-live.js", "text/javascript"),
        ("/_p/v1/sites/blog/stats", "application/json"),
        ("/_p/v1/sites/blog/badge.svg?label=now", "image/svg+xml"),
        ("/_p/sites/blog?embed", "text/html"),
        ("/_p/docs", "text/html"),
    ):
        answer = await client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(kind)
    for path in ("/_p/metrics", "/_p/livez"):
        assert (await client.get(path)).status_code == 404


async def test_events_come_at_once_and_limits_are_those_of_the_visitor(
    client: httpx.AsyncClient,
) -> None:
    site = f"/_p/v1/sites/site-{uuid.uuid4().hex[:8]}"
    async with client.stream("GET", f"{site}/live") as answer:
        lines = answer.aiter_lines()
        for path in ("/first", "/second", "/third"):
            body = {"sessionId": str(uuid.uuid4()), "currentPath": path}
            sent = await client.post(f"{site}/heartbeat", json=body)
            assert (sent.status_code, sent.headers["presence-status"]) == (204, "created")
            async with asyncio.timeout(10):
                while f'"{path}"' not in await anext(lines):
                    pass
    # One more than an address may: to claim another one does not help.
    body = {"sessionId": str(uuid.uuid4()), "currentPath": "/"}
    claimed = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    refused = await client.post(f"{site}/heartbeat", json=body, headers=claimed)
    assert refused.status_code == 429
    assert "retry-after" in refused.headers


@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
async def test_opt_outs_come_through(client: httpx.AsyncClient, header: str) -> None:
    body = {"sessionId": str(uuid.uuid4()), "currentPath": "/"}
    answer = await client.post("/_p/v1/sites/blog/heartbeat", json=body, headers={header: "1"})
    assert answer.headers["presence-dropped"] == "dnt"


@pytest.mark.parametrize("kind", KINDS)
async def test_cookies_are_not_passed_on_and_the_address_is(kind: str, tmp_path: Path) -> None:
    async with Copy() as copy:
        with proxy(kind, tmp_path, copy.port) as url:
            async with httpx.AsyncClient(base_url=url, timeout=20) as client:
                headers = {
                    "Cookie": "session=secret", "X-Forwarded-For": "203.0.113.9",
                    "Authorization": "Bearer a-user",
                }  # fmt: skip
                answer = await client.post("/_p/v1/x?y=1", content=b"body", headers=headers)
                assert answer.status_code == 204
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # its connections have an end
            await asyncio.sleep(0.01)
        assert copy.targets == ["/_p/v1/x?y=1"]
        assert b"cookie" not in copy.received
        assert b"secret" not in copy.received
        assert re.findall(rb"x-forwarded-for: (.*)\r\n", copy.received) == [b"127.0.0.1"]
        assert b"authorization: bearer a-user" in copy.received
        assert b"\r\nbody" in copy.received


def test_the_rewrite_of_next_js_leads_to_the_same_path(tmp_path: Path) -> None:
    """As its configuration says it; Next.js itself is 300 MB."""
    node = shutil.which("node") or missing("node")
    (tmp_path / "next.config.mjs").write_text(recipe("Next.js"))
    script = (
        "const { default: config } = await import('./next.config.mjs');"
        "const [{ source, destination }] = await config.rewrites();"
        "const [all, path] = /^\\/_p\\/(.*)$/.exec('/_p/v1/sites/blog/stats');"
        "console.log(source, destination.replace(':path*', path));"
    )
    command = [node, "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "/_p/:path*", "https://presence.example.org/_p/v1/sites/blog/stats",
    ]  # fmt: skip
