"""What a heartbeat costs in things that can be counted, whatever the machine: one write to its
socket, no task, and a bounded number of function calls of the service and of uvicorn."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

import service
from service.app import create_app
from service.server.fast_path import FastPathProtocol
from service.settings import Settings
from service.store.batching.batch import Batch

CONNECTIONS = 64
ROUNDS = 16
PUBLIC_PATHS = ["", "/_p"]  # to set one costs nothing


class Transport(asyncio.Transport):
    """Counts what is written."""

    writes = 0

    def write(self, data: Any) -> None:
        self.writes += 1

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def resume_reading(self) -> None:
        """Has never paused."""


def request(number: int, public_path: str = "", visitor: str = "") -> bytes:
    body = json.dumps({"sessionId": f"session-{number:012d}", "currentPath": f"/page/{number % 9}"})
    return (
        f"POST {public_path}/v1/sites/blog/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
        "Origin: https://example.org\r\nContent-Type: text/plain\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
        f"{visitor}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Burst:
    """Heartbeats of many connections at once, again and again, with Redis answering at once."""

    def __init__(self, public_path: str = "", *, by_proxy: bool = False) -> None:
        self._public_path = public_path
        self._by_proxy = by_proxy
        self._sent = 0
        app: Any = create_app(
            Settings.from_env(
                {
                    "PRESENCE_REDIS_URL": "memory://",
                    "PRESENCE_PUBLIC_PATH": public_path,
                    "PRESENCE_REQUESTS_PER_SECOND": "1000000",  # on, and never reached
                    "PRESENCE_NEW_SESSIONS_PER_MINUTE": "1000000",
                }
            )
        )
        self.store = app.state.context.store
        self.store.batcher._send = self._answer
        self.batches: list[int] = []
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, ws="none", proxy_headers=False
        )
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Wed, 25 Nov 2026 08:00:00 GMT")]
        self.transports = [Transport() for _ in range(CONNECTIONS)]
        self.protocols: list[FastPathProtocol] = []
        for transport in self.transports:
            protocol = FastPathProtocol(config, state, {})
            protocol.connection_made(transport)
            self.protocols.append(protocol)

    async def _answer(self, batches: list[Batch[Any, Any, str]]) -> list[list[str]]:
        self.batches.append(sum(len(batch.items) for batch in batches))
        return [["refreshed"] * len(batch.items) for batch in batches]

    async def run(self) -> None:
        for _ in range(ROUNDS):
            for number, protocol in enumerate(self.protocols):
                self._sent += 1
                visitor = f"X-Forwarded-For: visitor-{self._sent}\r\n" if self._by_proxy else ""
                protocol.data_received(request(number, self._public_path, visitor))
            while any(  # noqa: ASYNC110  # a turn of the loop at a time
                not protocol.cycle.response_complete for protocol in self.protocols
            ):
                await asyncio.sleep(0)

    def close(self) -> None:
        for protocol in self.protocols:
            protocol._unset_keepalive_if_required()


@pytest.mark.parametrize("public_path", PUBLIC_PATHS)
async def test_one_write_and_no_task(public_path: str) -> None:
    burst = Burst(public_path)
    tasks: list[Any] = []
    loop = asyncio.get_running_loop()

    def counted(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        tasks.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(counted)
    try:
        await burst.run()
    finally:
        loop.set_task_factory(None)
        burst.close()
    assert [transport.writes for transport in burst.transports] == [ROUNDS] * CONNECTIONS
    assert sum(burst.batches) == ROUNDS * CONNECTIONS
    assert len(burst.batches) == ROUNDS, "what comes at once travels at once"
    assert len(tasks) <= ROUNDS, "a task for a batch, none for a heartbeat"


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is counting too")
@pytest.mark.parametrize("public_path", PUBLIC_PATHS)
# Whether no two heads are alike; functions in Python, and in C called by them. 0.1.0 called 55 and
# 37.
@pytest.mark.parametrize("by_proxy, most, most_in_c", [(False, 33, 37), (True, 53, 49)])
async def test_function_calls_of_a_heartbeat(
    by_proxy: bool, most: int, most_in_c: int, public_path: str
) -> None:
    burst = Burst(public_path, by_proxy=by_proxy)
    await burst.run()  # what is remembered, is
    calls: Counter[str] = Counter()
    ours = (str(Path(service.__file__).parent), str(Path(uvicorn.__file__).parent))

    def count(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call") and frame.f_code.co_filename.startswith(ours):
            calls[event] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        await burst.run()
    finally:
        sys.setprofile(before)
        burst.close()
    per_heartbeat = {event: n / (ROUNDS * CONNECTIONS) for event, n in calls.items()}
    assert per_heartbeat["call"] < most
    assert per_heartbeat["c_call"] < most_in_c
