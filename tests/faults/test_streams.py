"""What thousands of live streams cost, B23: counted on the real service, over sockets."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.site import LiveService, running
from tests.servers import Server

STREAMS = 2000
MOST_BYTES_EACH = 40_000
LONG = "x" * 200
QUERIES = {
    "a page each": "?path=/own/{n}",
    "a page each, and what happens": "?path=/own/{n}&feed=1",
    "a long page each, in escapes": "?path=/%C3%A9{n}/" + LONG,
    "much that is not read": "?path=/own/{n}&other=" + 100 * LONG,
    "nothing": "",
}


@pytest.fixture(params=QUERIES, ids=lambda name: name.replace(" ", "-"))
def query(request: pytest.FixtureRequest) -> str:
    return QUERIES[request.param]


@pytest.fixture
def service(valkey: Server, key_prefix: str, tmp_path: Path) -> Iterator[LiveService]:
    """One of its own each time: memory that was used once is not given back."""
    settings = {"TRUSTED_PROXIES": "127.0.0.1/32", "KEY_PREFIX": key_prefix}
    settings |= {"SESSION_TIMEOUT": "120", "HEARTBEAT_INTERVAL": "30"}
    with running(tmp_path, valkey.url, **settings) as service:
        yield service


def memory_of(service: LiveService) -> int:
    """Resident bytes of the service."""
    status = Path(f"/proc/{service.process_id}/status").read_text()
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


class Watcher:
    """A stream that reads what it is sent."""

    async def open(self, service: LiveService, query: str, number: int) -> None:
        """Returns with the snapshot."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", service.port)
        address = f"198.18.{number % 200}.{number // 200}"
        target = f"/v1/sites/blog/live{query.format(n=number)}"
        lines = f"Host: x\r\nX-Forwarded-For: {address}\r\nX-Other: {100 * LONG}\r\n"
        self.writer.write(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode())
        assert (await self.reader.readline()).startswith(b"HTTP/1.1 200 ")
        await self.reads(b"event: snapshot")

    async def reads(self, first: bytes) -> None:
        """Returns when an event of this kind is here as a whole."""
        event = b""
        async with asyncio.timeout(60):
            while b"\n\n" not in event.partition(first)[2]:
                data = await self.reader.read(65_536)
                assert data, "the stream has ended"
                event += data


async def beats(client: httpx.AsyncClient, pages: list[str]) -> None:
    """Somebody is on each of these pages now, and on no other."""
    beats = [{"sessionId": f"{n:032d}", "currentPath": page} for n, page in enumerate(pages)]
    answer = await client.post("/v1/sites/blog/heartbeats", json={"heartbeats": beats})
    assert answer.status_code == 200


@pytest.mark.fault("B23")
async def test_what_a_stream_takes(service: LiveService, query: str) -> None:
    watchers = [Watcher() for _ in range(STREAMS)]
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        await beats(client, [f"/{n % 60}/{LONG}" for n in range(300)])
        await watchers[0].open(service, query, 0)
        before = memory_of(service)
        for first in range(1, STREAMS, 100):  # the socket's backlog is not what is tested
            some = range(first, min(first + 100, STREAMS))
            await asyncio.gather(*(watchers[n].open(service, query, n) for n in some))
        opened = memory_of(service)
        await beats(client, [f"/{n % 60}/{LONG}" for n in range(1, 301)])
        await asyncio.gather(*(watcher.reads(b"event: change") for watcher in watchers))
        told = memory_of(service)
    for watcher in watchers:
        watcher.writer.close()
    assert (opened - before) / STREAMS < MOST_BYTES_EACH
    assert (told - before) / STREAMS < MOST_BYTES_EACH
