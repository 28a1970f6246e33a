"""Over TLS: the name of the URL is what a certificate must be for, and the address that was checked
is what is connected to."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.webhooks import post as module
from service.webhooks.addresses import NotDelivered
from service.webhooks.post import post
from tests.servers import missing
from tests.webhooks.conftest import webhook_to
from tests.webhooks.receiver import Receiver


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for hook.example and nothing else, signed by itself, with its key."""
    if not shutil.which("openssl"):
        missing("openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=hook.example", "-addext", "subjectAltName=DNS:hook.example",
         "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def tls_receiver(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Receiver, list[str | None]]]:
    """A receiver behind that certificate, which the service trusts; and the names it is asked
    for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, context: names.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    module._tls.cache_clear()
    with Receiver(context) as receiver:
        yield receiver, names
    module._tls.cache_clear()


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Has every name lead to these addresses; returns the names that are looked up. There is no
    name server here that a test could ask."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **kind: Any) -> Any:
        asked.append(host)
        return [
            (
                socket.AF_INET6 if ":" in to else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (to, port),
            )
            for to in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def send(url: str, **more: Any) -> int:
    return await post(webhook_to(url, **more), {}, b"{}", may_write=lambda: True)


async def test_the_name_goes_along_and_the_address_is_the_one_checked(
    tls_receiver: tuple[Receiver, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, names = tls_receiver
    asked = resolving(monkeypatch, "127.0.0.1")
    assert await send(f"https://hook.example:{receiver.port}/x") == 204
    assert names == ["hook.example"]
    assert receiver.received[0].headers["host"] == f"hook.example:{receiver.port}"
    assert asked == ["hook.example"]  # once: it cannot lead elsewhere the second time


@pytest.mark.parametrize(
    "name, reason",
    [("other.example", "its certificate is not trusted"), ("127.0.0.1", "is not trusted")],
)
async def test_a_certificate_for_another_name_is_refused(
    tls_receiver: tuple[Receiver, list[str | None]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    reason: str,
) -> None:
    receiver, _ = tls_receiver
    resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(NotDelivered, match=reason):
        await send(f"https://{name}:{receiver.port}/x")
    assert not receiver.received


async def test_what_speaks_no_tls_is_said(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    with pytest.raises(NotDelivered, match=r"no TLS connection|broke off"):
        await send(f"https://hook.example:{receiver.port}/x")


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1", "::1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["fe80::1%lo"]],
    ids=["loopback", "private", "metadata", "mapped", "link"],
)
async def test_a_name_that_leads_into_a_private_network_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolving(monkeypatch, *addresses)
    with pytest.raises(NotDelivered, match="its host is in a private network"):
        await send(f"https://hook.example:{receiver.port}/", allow_private=False)
    assert not receiver.received


async def test_of_several_addresses_the_next_one_is_tried(
    tls_receiver: tuple[Receiver, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, _ = tls_receiver
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens on the first
    assert await send(f"https://hook.example:{receiver.port}/x") == 204


async def test_one_that_swallows_what_it_is_sent_leaves_the_next_one_its_time(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.2", receiver.port))
        full.listen(0)
        for _ in range(4):  # more than its backlog holds, so that nobody is answered any more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert await send(f"http://hook.example:{receiver.port}/x") == 204
        resolving(monkeypatch, "127.0.0.2")
        hook = webhook_to(f"http://hook.example:{receiver.port}/x")
        with pytest.raises(NotDelivered, match=r"no answer within 0.1 s"):
            await post(hook, {}, b"{}", may_write=lambda: True, try_s=0.1)


async def test_names_that_nobody_answers_for_keep_nobody_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many: the name of Redis, say, is looked up in the threads of the loop."""
    ended = threading.Event()

    def getaddrinfo(host: str, port: int, **kind: Any) -> Any:
        ended.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hook = webhook_to("http://slow.example/")
    tries = [post(hook, {}, b"{}", may_write=lambda: True, try_s=0.1) for _ in range(40)]
    assert {str(error) for error in await asyncio.gather(*tries, return_exceptions=True)} == {
        "no answer within 0.1 s"
    }
    await asyncio.to_thread(ended.set)


async def test_a_name_that_nobody_knows_is_said() -> None:
    with pytest.raises(NotDelivered, match="the name of its host is not known"):
        await send("https://nowhere.invalid/")
