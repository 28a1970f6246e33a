"""What is told of a server that is not what the URL says: not trusted, not understood or not there
are three things. Each of these servers is a real one, or speaks from a real socket."""

import asyncio
import contextlib
import http.server
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from service.ops.doctor import Doctor
from service.redis.client import connect
from service.store.keys import Keys
from tests import servers
from tests.conftest import MakeService
from tests.redis.tls import NOT_TRUSTED, TOO_LATE, Certificate, is_told, store_on
from tests.servers import Server

pytestmark = pytest.mark.server

NOT_REDIS = "wrong protocol: what answers there is not Redis"
SPEAKS_TLS = "wrong protocol: that port speaks TLS: use rediss:// or ssl=true"
SPEAKS_PLAIN = "wrong protocol: Redis does not speak TLS on that port"
NO_COMMON_TLS = "wrong protocol: no version or cipher of TLS is common"

Port = AbstractAsyncContextManager[int]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def talking(
    talk: Talk, tls: ssl.SSLContext | None = None, path: Path | None = None
) -> AsyncIterator[int]:
    """The port of a server that does this with each connection, which it then closes; with a path,
    it is a Unix socket."""
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    if path is None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    else:
        server = await asyncio.start_unix_server(serve, path)
    try:
        yield 0 if path else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # Whoever was talked to has gone; each connection ends before the loop does.
        await asyncio.gather(*(task for task in serving if task))


def greeting(words: bytes, reply: bytes = b"") -> Talk:
    """Speaks first, and answers each line the same."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        while await reader.readline():
            writer.write(reply)
            await writer.drain()

    return talk


def answering(reply: bytes) -> Talk:
    """Answers what comes, once, and hangs up, as HTTP servers do with a bad request."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(reply)
        await writer.drain()

    return talk


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once."""


async def hanging_up_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes after the first words."""
    await reader.read(65_536)


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Breaks off, as a firewall does."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def saying_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything, and does not answer."""
    while await reader.read(65_536):
        pass


@contextlib.asynccontextmanager
async def real_http() -> AsyncIterator[int]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[int]:
    yield servers.free_port()


HTTP_400 = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
WRONG: dict[str, tuple[Callable[[], Port], str]] = {
    "http.server": (real_http, NOT_REDIS),
    "http": (lambda: talking(answering(HTTP_400)), NOT_REDIS),
    "smtp": (lambda: talking(greeting(b"220 mail ESMTP\r\n", b"500 what?\r\n")), NOT_REDIS),
    "ssh": (lambda: talking(greeting(b"SSH-2.0-OpenSSH_9.2\r\n")), NOT_REDIS),
    "pop3": (lambda: talking(greeting(b"+OK ready\r\n", b"-ERR what?\r\n")), NOT_REDIS),
    "imap": (lambda: talking(greeting(b"* OK IMAP4rev1\r\n", b"* BAD what?\r\n")), NOT_REDIS),
    "mysql": (lambda: talking(greeting(b"J\0\0\0\n8.0.36\0")), NOT_REDIS),
    "nats": (lambda: talking(greeting(b'INFO {"server_id":"x"}\r\n')), NOT_REDIS),
    "memcached": (lambda: talking(greeting(b"", b"ERROR\r\n")), NOT_REDIS),
    "closes": (lambda: talking(hanging_up), TOO_LATE),
    "closes late": (lambda: talking(hanging_up_late), TOO_LATE),
    "resets": (lambda: talking(resetting), TOO_LATE),
    "says nothing": (lambda: talking(saying_nothing), TOO_LATE),
    "nobody": (nobody, TOO_LATE),
}
FORMS = {
    "redis": "redis://127.0.0.1:{}?{}",
    "redis+cluster": "redis+cluster://127.0.0.1:{}?{}",
    "redis+sentinel": "redis+sentinel://127.0.0.1:{}/web?{}",
}


async def are_told(*cases: tuple[str, str]) -> None:
    """By a store and by doctor, of each URL. All at once, for they mostly wait."""

    async def by_store(url: str, says: str) -> None:
        async with store_on(url) as store:
            await is_told(store.probe, f"^(?:{says})")

    async def by_doctor(url: str, says: str) -> None:
        connection = connect(url)
        await is_told(Doctor(connection, Keys("presence")).check, f"^(?:{says})")
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(by_store(*case))
            group.create_task(by_doctor(*case))


@pytest.mark.fault("B34")
@pytest.mark.parametrize("kind", WRONG)
async def test_who_is_not_redis(kind: str) -> None:
    start, says = WRONG[kind]
    async with start() as port:
        options = ("ssl=false", "ssl=true")
        await are_told(
            *((form.format(port, each), says) for form in FORMS.values() for each in options)
        )


@pytest.mark.fault("B34")
@pytest.mark.parametrize(
    "reply, says", [(HTTP_400, NOT_REDIS), (b"220 mail\r\n", NOT_REDIS), (b"", TOO_LATE)]
)
async def test_on_a_unix_socket(reply: bytes, says: str, tmp_path: Path) -> None:
    async with talking(answering(reply), path=tmp_path / "s"):
        url = f"unix://{tmp_path}/s?db=0"
        await are_told((url, says), (f"{url}&password=word", says))


# Servers that speak TLS


def server_tls(own: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    return context


@pytest.mark.fault("B34")
@pytest.mark.parametrize(
    "talk, says",
    [
        (answering(HTTP_400), NOT_REDIS),
        (greeting(b"220 mail ESMTP\r\n"), NOT_REDIS),
        (hanging_up, TOO_LATE),
        (saying_nothing, TOO_LATE),
    ],
)
async def test_who_speaks_tls_and_is_not_redis(own: Certificate, talk: Talk, says: str) -> None:
    told = {f"ssl=true&{own.trusted}": says, "ssl=true": NOT_TRUSTED, "": SPEAKS_TLS}
    async with talking(talk, server_tls(own)) as port:
        await are_told(
            *(
                (form.format(port, options), words)
                for form in FORMS.values()
                for options, words in told.items()
            )
        )


@pytest.mark.fault("B34")
@pytest.mark.parametrize(
    "of_server, options, says",
    [
        ((), "ssl_min_version=TLSv1.3", NO_COMMON_TLS),
        ((), "ssl_ciphers=ECDHE-RSA-AES256-GCM-SHA384", NO_COMMON_TLS),
        ((), "ssl_check_hostname=false", ""),
        (("--tls-auth-clients", "yes"), "", NOT_TRUSTED),
    ],
)
async def test_a_tls_of_other_versions_or_ciphers(
    own: Certificate, of_server: tuple[str, ...], options: str, says: str
) -> None:
    """It speaks TLS 1.2 with one cipher only."""
    port = servers.free_port()
    told = (
        "--tls-port", str(port), *own.served, "--tls-protocols", "TLSv1.2", "--tls-ciphers",
        "ECDHE-RSA-AES128-GCM-SHA256", *(of_server or ("--tls-auth-clients", "no")),
    )  # fmt: skip
    with Server("redis7", *told):
        url_of = {
            form: text.format(port, f"ssl=true&{own.trusted}&{options}".rstrip("&"))
            for form, text in FORMS.items()
        }
        if says:
            await are_told(*((url, says) for url in url_of.values()))
        else:
            async with store_on(url_of.pop("redis")) as store:
                await store.probe()
            other = "this is not a (cluster|Sentinel)"
            await are_told(*((url, other) for url in url_of.values()))


@pytest.mark.fault("B34")
async def test_redis_in_plain_text_that_is_spoken_to_over_tls() -> None:
    with Server("valkey") as server:
        urls = [form.format(server.port, "ssl=true") for form in FORMS.values()]
        await are_told(*((url, SPEAKS_PLAIN) for url in urls))
        server.client.config_set("requirepass", "word")
        await are_told((urls[0], SPEAKS_PLAIN))


@pytest.mark.fault("B34")
@pytest.mark.parametrize("kind", ["http", "smtp", "closes", "says nothing"])
async def test_readyz_says_the_same(kind: str, make_service: MakeService) -> None:
    start, says = WRONG[kind]
    async with start() as port:
        service = await make_service(f"redis://127.0.0.1:{port}")
        answer = await service.client.get("/readyz")
        assert answer.status_code == 503
        assert any(words in answer.json()["detail"] for words in says.split("|"))


@pytest.mark.fault("B34")
async def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    async with talking(answering(HTTP_400)) as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", "doctor",
            cwd=tmp_path, env={"PRESENCE_REDIS_URL": f"redis://user:word@127.0.0.1:{port}"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, told = await process.communicate()
    assert NOT_REDIS.encode() in told
    assert b"word" not in told
    assert b"user" not in told
