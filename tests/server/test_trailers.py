"""Nothing is read from a trailer, B19: what each protocol gives the app and the fast path."""

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

import service
from service.api import geo
from service.api.geo import NOWHERE
from service.api.intake import Sender
from service.server.fallback_protocol import AsgiProtocol
from service.server.fast_path import FastPathProtocol
from service.server.minimal_protocol import MinimalProtocol
from service.server.protocol import PlainProtocol
from service.store.writer import Heartbeat
from tests.server.test_cost import Transport
from tests.trailers import READ, chunked

HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
GIVEN = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]


class Closable(Transport):
    """A transport that nobody reads from."""

    def close(self) -> None:
        """Says so to nobody."""

    def pause_reading(self) -> None:
        """Nothing comes by itself."""


class App:
    """Keeps the very lists of headers that it is given, as an app or by the fast path."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.is_done = asyncio.Event()
        self.state = SimpleNamespace(
            intake=self, draining=SimpleNamespace(connections=(), is_on=False)
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.given.append(scope["headers"])
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        self.is_done.set()

    def sender_of(self, peer: str, headers: Any, fields: Any) -> Any:
        self.given.append(headers)
        return Sender(fields, peer, "", b"", NOWHERE)

    def begin(self, name: str, sender: Sender, body: bytes, waiter: Any) -> Any:
        self.is_done.set()
        return Heartbeat("blog", "/", "", "", ""), ()


@pytest.mark.fault("B19")
@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize(
    "protocol", [FastPathProtocol, AsgiProtocol, MinimalProtocol, PlainProtocol]
)
async def test_no_trailer_reaches_the_app(protocol: type[HttpToolsProtocol], name: str) -> None:
    for target in ("/v1/sites/blog/heartbeat", "/v1/sites/blog/heartbeats"):
        whole = HEAD.format(target).encode() + chunked(b"{}", {name: READ[name]})
        for size in (len(whole), 7):
            app = App()
            config = uvicorn.Config(
                app, interface="asgi3", lifespan="off", ws="none", log_config=None
            )
            config.load()
            config.loaded_app = app
            connection = protocol(config, ServerState(), {})
            connection.connection_made(Closable())
            for start in range(0, len(whole), size):
                connection.data_received(whole[start : start + size])
            async with asyncio.timeout(5):
                if name != "Content-Length":  # for which the parser refuses the request
                    await app.is_done.wait()
            connection.connection_lost(None)
            assert app.given == [GIVEN] or (name == "Content-Length" and not app.given)


def test_none_is_missing() -> None:
    """Whatever the service looks up in headers is in the list."""
    looked_up = {name.decode() for names in geo._NAMES.values() for name in names}
    for path in (Path(service.__file__).parent / "api").rglob("*.py"):
        text = path.read_text()
        looked_up |= set(re.findall(r"headers(?:\.get\(|\[)b?\"([\w-]+)\"(?!\] )", text))
        looked_up |= set(re.findall(r"name == b\"([\w-]+)\"", text))
        looked_up |= set(re.findall(r"b\"([\w-]+)\" in headers", text))
    assert len(looked_up) > 15
    assert looked_up <= {name.lower() for name in READ}
