"""HAProxy with the lines of deploy/haproxy.cfg that choose the copy by a site's slot."""

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
from redis.crc import key_slot

from service.store.tags import SLOTS
from tests.deploy.balancers import DEPLOY, Balancer

COPIES = 3
SITES = [*(f"site-{n}" for n in range(60)), "blog", "Blog", "a.b_c-d", "x" * 64]
SWITCHED_ON = {"#slots ": "", "/etc/haproxy/slots.lua": str(DEPLOY / "slots.lua")}


class Copy:
    """Says yes to everything, and keeps which sites it was asked about."""

    def __init__(self) -> None:
        self.sites: set[str] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                if length := re.search(r"content-length: (\d+)", head.lower()):
                    await reader.readexactly(int(length[1]))
                if found := re.match(r"\S+ /v1/sites/([^/]+)/", head):
                    self.sites.add(found[1])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    def stop(self) -> None:
        """As one that was killed: its connections break."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()


@pytest.fixture
async def copies() -> AsyncIterator[list[Copy]]:
    made = [Copy() for _ in range(COPIES)]
    yield made
    for copy in made:
        copy.stop()


@pytest.fixture
async def balancer(copies: list[Copy]) -> AsyncIterator[Balancer]:
    ports = [await copy.start() for copy in copies]
    made = Balancer("haproxy", ports, SWITCHED_ON)
    try:
        yield await asyncio.to_thread(made.start)
    finally:
        await asyncio.to_thread(made.close)


@pytest.fixture
async def client(balancer: Balancer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=balancer.tls, base_url=balancer.url, timeout=30) as made:
        yield made


async def beat(client: httpx.AsyncClient, site: str) -> int:
    return (await client.post(f"/v1/sites/{site}/heartbeat", content=b"{}")).status_code


async def test_each_copy_has_a_range_of_slots(
    copies: list[Copy], client: httpx.AsyncClient
) -> None:
    """By the checksum that clusters take: the one of redis-py."""
    wanted: defaultdict[int, set[str]] = defaultdict(set)
    for site in SITES:
        wanted[key_slot(site.encode()) * COPIES // SLOTS].add(site)
        for _ in range(2):
            assert await beat(client, site) == 204
        assert (await client.get(f"/v1/sites/{site}/active")).status_code == 204
    assert [copy.sites for copy in copies] == [wanted[n] for n in range(COPIES)]
    assert all(wanted.values())


async def test_an_escaped_site_is_the_same_site(
    copies: list[Copy], client: httpx.AsyncClient
) -> None:
    for site in SITES[:10]:
        escaped = "".join(f"%{ord(letter):02x}" for letter in site)
        assert quote(site) != escaped
        assert await beat(client, site) == await beat(client, escaped) == 204
        (copy,) = (copy for copy in copies if site in copy.sites)
        assert escaped in copy.sites


async def test_the_sites_of_a_copy_that_is_down_are_served(
    copies: list[Copy], client: httpx.AsyncClient
) -> None:
    copies[0].stop()
    assert [await beat(client, site) for site in SITES] == [204] * len(SITES)
    assert copies[1].sites | copies[2].sites == set(SITES)


async def test_what_is_of_no_site_is_answered_by_any(
    copies: list[Copy], client: httpx.AsyncClient
) -> None:
    for path in ("/livez", "/presence.js", "/v1/sites/"):
        assert (await client.get(path)).status_code == 204, path
