"""TLS on every form of the URL, and what is told where it fails."""

import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import StoreUnreachable
from service.redis.client import connect
from service.redis.failures import NotTrusted
from tests import servers
from tests.redis.tls import (
    NOT_REACHABLE,
    NOT_TRUSTED,
    WRONG_PROTOCOL,
    Both,
    Certificate,
    both,
    certificate_in,
    fails,
    works,
)

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shared(own: Certificate) -> Iterator[Both]:
    with both(own, "--tls-auth-clients", "no") as found:
        yield found


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
@pytest.mark.parametrize("is_of_system", [False, True])
async def test_certificates_are_read_once_and_when_they_are_renewed(
    own: Certificate,
    shared: Both,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_of_system: bool,
) -> None:
    """Not for each connection: it takes 20 ms, in which a copy does nothing else."""
    times, read = 0, ssl.create_default_context

    def counted() -> ssl.SSLContext:
        nonlocal times
        times += 1
        return read()

    monkeypatch.setattr(ssl, "create_default_context", counted)
    trusted = certificate_in(tmp_path)
    if is_of_system:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.certificate))
    options = "" if is_of_system else f"?{trusted.trusted}"
    connection = connect(f"rediss://127.0.0.1:{shared.tls_port}{options}")
    client: Any = connection.client
    for _ in range(3):
        with pytest.raises(NotTrusted):
            await client.connection_pool.make_connection().connect()
    assert times == 2  # once of them to check the options
    shutil.copy(own.certificate, trusted.certificate)
    for _ in range(3):
        one = client.connection_pool.make_connection()
        await one.connect()
        await one.disconnect()
    assert times == 3
    await client.aclose()


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
