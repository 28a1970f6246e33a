"""TLS on every form of the URL, and what is told where it fails."""

import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.errors import StoreUnreachable
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import WRITTEN, Heartbeat
from tests import servers
from tests.servers import Server

pytestmark = pytest.mark.server

NOT_TRUSTED = "Redis is not trusted, or does not trust us"
WRONG_PROTOCOL = "wrong protocol"
NOT_REACHABLE = "Redis cannot be reached"


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


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    if not shutil.which("openssl"):
        servers.missing("openssl")
    folder = tmp_path_factory.mktemp("tls")
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


@pytest.fixture(scope="module")
def shared(own: Certificate) -> Iterator[Both]:
    with both(own, "--tls-auth-clients", "no") as found:
        yield found


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
        assert await store.heartbeat("blog", beat) in WRITTEN
        assert (await store.stats("blog")).activeVisitors == 1
        await store.probe()


async def fails(url: str, says: str) -> None:
    """Each try says the same, also one that only waits for another's."""
    async with store_on(url) as store:
        for _ in range(3):
            with pytest.raises(StoreUnreachable, match=says):
                await store.probe()


@pytest.mark.fault("B34")
@pytest.mark.parametrize("scheme, options", [("rediss", ""), ("redis", "ssl=true&")])
async def test_one_server(own: Certificate, shared: Both, scheme: str, options: str) -> None:
    at = f"{scheme}://127.0.0.1:{shared.tls_port}"
    await works(f"{at}?{options}{own.trusted}")
    await works(f"{at}?{options}ssl_cert_reqs=none")
    await works(f"{at}?{options}{own.trusted}&ssl_min_version=TLSv1.3&ssl_check_hostname=false")
    await fails(f"{at}?{options}".rstrip("?&"), NOT_TRUSTED)


@pytest.mark.fault("B34")
async def test_who_must_show_a_certificate(own: Certificate) -> None:
    with both(own, "--tls-auth-clients", "yes") as strict:
        at = f"rediss://127.0.0.1:{strict.tls_port}?{own.trusted}"
        await works(f"{at}&{own.shown}")
        await fails(at, NOT_TRUSTED)
        await fails(f"{at}&ssl_min_version=TLSv1.3", NOT_TRUSTED)


@pytest.mark.fault("B34")
@pytest.mark.parametrize("form", ["redis", "redis+cluster", "redis+sentinel"])
async def test_tls_at_one_end_only(own: Certificate, shared: Both, form: str) -> None:
    end = "/web" if form == "redis+sentinel" else ""
    plain_port, tls_port = shared.server.port, shared.tls_port
    await fails(f"{form}://127.0.0.1:{plain_port}{end}?ssl=true&{own.trusted}", WRONG_PROTOCOL)
    await fails(f"{form}://127.0.0.1:{tls_port}{end}", WRONG_PROTOCOL)
    await fails(f"{form}://127.0.0.1:{tls_port}{end}?ssl=true", NOT_TRUSTED)
    nobody = servers.free_port()
    await fails(f"{form}://127.0.0.1:{nobody}{end}?ssl=true&{own.trusted}", NOT_REACHABLE)
    await fails(f"{form}://127.0.0.1:{nobody}{end}", NOT_REACHABLE)


@pytest.mark.fault("B34")
async def test_a_password_is_not_sent_in_plain_text_to_find_out(
    own: Certificate, shared: Both
) -> None:
    await fails(f"rediss://:s3cret@127.0.0.1:{shared.server.port}?{own.trusted}", WRONG_PROTOCOL)
    assert not shared.server.client.execute_command("ACL", "LOG")


@pytest.mark.fault("B34")
async def test_cluster(own: Certificate) -> None:
    port = servers.free_port(with_bus=True)
    options = ("--tls-auth-clients", "no", "--tls-cluster", "yes", "--cluster-enabled", "yes")
    with both(own, *options, port=port) as node:
        node.server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        servers.wait_until(lambda: servers.knows_all(node.server, 1))
        at = f"redis+cluster://127.0.0.1:{node.tls_port}?ssl=true"
        await works(f"{at}&{own.trusted}")
        await works(f"{at}&ssl_ca_path={rehashed(own)}")
        await works(f"{at}&ssl_cert_reqs=none")
        await fails(at, NOT_TRUSTED)


@pytest.mark.fault("B34")
@pytest.mark.parametrize("primary_is_tls", [True, False])
async def test_sentinels(own: Certificate, tmp_path: Path, primary_is_tls: bool) -> None:
    with both(own, "--tls-auth-clients", "no") as primary:
        port = servers.free_port()
        watched = primary.tls_port if primary_is_tls else primary.server.port
        told = "\n".join(
            f"{name[2:]} {value}"
            for name, value in zip(own.served[::2], own.served[1::2], strict=True)
        )
        (tmp_path / "s.conf").write_text(
            f"port 0\ntls-port {port}\nbind 127.0.0.1\ntls-auth-clients no\n{told}\n"
            f"tls-replication {'yes' if primary_is_tls else 'no'}\n"
            f"sentinel monitor web 127.0.0.1 {watched} 1\n"
        )
        with _sentinel(tmp_path / "s.conf"):
            option = "ssl=true" if primary_is_tls else "sentinel_ssl=true"
            at = f"redis+sentinel://127.0.0.1:{port}/web?{option}"
            await _until_it_works(f"{at}&{own.trusted}")
            await fails(at, NOT_TRUSTED)
            await fails(f"redis+sentinel://127.0.0.1:{port}/web", WRONG_PROTOCOL)


def rehashed(own: Certificate) -> Path:
    """A folder with the certificate, in which OpenSSL finds it."""
    folder = own.certificate.parent / "trusted"
    folder.mkdir()
    shutil.copy(own.certificate, folder)
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def _sentinel(config: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [servers.binary_of("redis7"), str(config), "--sentinel"],
        stdout=subprocess.DEVNULL,
        cwd=config.parent,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def _until_it_works(url: str) -> None:
    for _ in range(100):
        try:
            return await works(url)
        except StoreUnreachable:
            continue
    raise AssertionError("the Sentinel does not come up")
