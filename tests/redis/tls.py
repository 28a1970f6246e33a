"""Servers that speak TLS, and what a store on them says."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.errors import StoreError, StoreUnreachable
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import ACCEPTED, Heartbeat
from tests import servers
from tests.servers import Server

NOT_TRUSTED = "Redis is not trusted, or does not trust us"
WRONG_PROTOCOL = "wrong protocol"
NOT_REACHABLE = "Redis cannot be reached"
TOO_LATE = f"{NOT_REACHABLE}|Redis does not answer in time"
PATIENCE_S = 60.0


@dataclass
class Certificate:
    """A self-signed certificate for this machine, which both ends may show."""

    key: Path
    certificate: Path

    @property
    def served(self) -> tuple[str, ...]:
        """The options of a server."""
        return (
            "--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key),
            "--tls-ca-cert-file", str(self.certificate),
        )  # fmt: skip

    @property
    def trusted(self) -> str:
        """The option of a URL."""
        return f"ssl_ca_certs={self.certificate}"

    @property
    def shown(self) -> str:
        """The options of a URL with which we show it."""
        return f"ssl_certfile={self.certificate}&ssl_keyfile={self.key}"


def certificate_in(folder: Path) -> Certificate:
    """A new one."""
    if not shutil.which("openssl"):
        servers.missing("openssl")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return Certificate(key, certificate)


@dataclass
class Both:
    """A server that speaks TLS on one port and plain text on the other."""

    server: Server
    tls_port: int


@contextlib.contextmanager
def both(own: Certificate, *options: str, port: int = 0) -> Iterator[Both]:
    tls_port = servers.free_port(with_bus=True)
    arguments = ("--tls-port", str(tls_port), *own.served, *options)
    with Server("redis7", *arguments, port=port) as server:
        yield Both(server, tls_port)


@contextlib.asynccontextmanager
async def store_on(url: str) -> AsyncIterator[PresenceStore]:
    store = PresenceStore(connect(url), Keys("presence"), StoreConfig())
    try:
        yield store
    finally:
        await store.close()


async def works(url: str) -> None:
    async with store_on(url) as store:
        beat = Heartbeat("a-session-of-its-own", "/", "", "", "")
        assert await store.heartbeat("blog", beat) in ACCEPTED
        assert (await store.stats("blog")).activeVisitors == 1
        await store.probe()


async def fails(url: str, says: str) -> None:
    """Each try says the same, also one that only waits for another's."""
    async with store_on(url) as store:
        assert isinstance(await is_told(store.probe, says, times=3), StoreUnreachable)


async def is_told(ask: Callable[[], Awaitable[object]], says: str, *, times: int = 1) -> StoreError:
    """Asserts that it fails so, so often in a row; the last failure. Where the machine is too slow
    to find out in time, nobody can be reached, and it is asked again. Nothing else is ever said."""
    end, met = time.monotonic() + PATIENCE_S, 0
    while True:
        with pytest.raises(StoreError) as refusal:
            await ask()
        told = str(refusal.value)
        met = met + 1 if re.search(says, told) else 0
        if met == times:
            return refusal.value
        assert met or re.search(TOO_LATE, told), f"{told}, and not {says}"
        assert time.monotonic() < end, f"{told}, and not {says}, {times} times in a row"
