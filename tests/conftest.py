"""Fixtures: one contract suite over every backend, each test with keys of its own."""

import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import structlog

from service.app import create_app
from service.redis.client import connect
from service.settings import Settings
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from tests import servers
from tests.servers import Server

NOW = 1_900_000_000_000  # a moment all keys of tests outlive: 2030-03-17T17:46:40Z
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def process_wide_state() -> Iterator[None]:
    """Fails a test that leaves logging, the environment or signal handlers changed for others."""
    before, environ = _process_wide_state(), dict(os.environ)
    yield
    after = _process_wide_state()
    if after != before:
        structlog.reset_defaults()
        os.environ.clear()
        os.environ.update(environ)
        logging.getLogger().setLevel(before["level of logs"])
        for handler in set(logging.getLogger().handlers) - set(before["handlers of logs"]):
            if "_pytest" not in type(handler).__module__:
                logging.getLogger().removeHandler(handler)
        for number in _SIGNALS:
            signal.signal(number, before[f"signal {number}"])
    assert after == before, "changed for all tests that come after"


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _process_wide_state() -> dict[str, Any]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    root = logging.getLogger()
    return {
        "structlog": structlog.is_configured(),
        "level of logs": root.level,
        "handlers of logs": [h for h in root.handlers if "_pytest" not in type(h).__module__],
        "environment": environ,
        **{f"signal {number}": signal.getsignal(number) for number in _SIGNALS},
    }


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A Valkey for the whole run."""
    with Server("valkey") as server:
        yield server


@pytest.fixture(scope="session")
def redis7() -> Iterator[Server]:
    """Debian's Redis for the whole run."""
    with Server("redis7") as server:
        yield server


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[list[Server]]:
    """Three primaries for the whole run."""
    with servers.cluster() as nodes:
        yield nodes


BACKENDS = ("fakeredis", "valkey", "redis7", "cluster")


@pytest.fixture(params=BACKENDS)
def backend_url(request: pytest.FixtureRequest) -> str:
    """The URL of each backend in turn."""
    return url_of(request, request.param)


def url_of(request: pytest.FixtureRequest, backend: str) -> str:
    """The URL of a backend by name."""
    match backend:
        case "fakeredis":
            return "memory://"
        case "cluster":
            return servers.cluster_url(request.getfixturevalue("valkey_cluster"))
        case _:
            server: Server = request.getfixturevalue(backend)
            return server.url


@pytest.fixture
def key_prefix() -> str:
    """A prefix nobody else uses."""
    return f"t{os.getpid()}-{next(_numbers)}"


class Clock:
    """Redis's time as a test gives it; None: the real one."""

    def __init__(self, now_ms: int | None = NOW) -> None:
        self.now_ms = now_ms

    def __call__(self) -> str:
        return "" if self.now_ms is None else str(self.now_ms)

    def advance(self, ms: int) -> None:
        """Lets time pass."""
        assert self.now_ms is not None
        self.now_ms += ms


MakeStore = Callable[..., PresenceStore]


@pytest.fixture
async def make_store(backend_url: str, key_prefix: str) -> AsyncIterator[MakeStore]:
    """Makes stores on the backend: `make_store(clock, shards=1, **rules)`. Those of one test share
    their keys."""
    async for factory in store_factory(backend_url, key_prefix):
        yield factory


async def now_of(store: PresenceStore) -> int:
    """Redis's time in ms, or the test's."""
    client: Any = store.connection.client
    seconds, microseconds = await client.time()
    return int(store.clock() or seconds * 1000 + microseconds // 1000)


PATIENCE_S = 60.0


def patient_store(url: str, keys: Keys, rules: StoreConfig) -> PresenceStore:
    """A store for tests that ask what is answered, however long a busy machine takes."""
    return PresenceStore(
        connect(url, answer_within_s=PATIENCE_S),
        keys,
        rules,
        deadline_s=PATIENCE_S,
        batch_deadline_s=PATIENCE_S,
    )


async def store_factory(url: str, key_prefix: str) -> AsyncIterator[MakeStore]:
    """As `make_store`, for any URL."""
    made: list[PresenceStore] = []
    memory = connect(url) if url == "memory://" else None

    def make(clock: Clock | None = None, *, shards: int = 1, **rules: Any) -> PresenceStore:
        keys, decisive = Keys(key_prefix, shards), StoreConfig(**rules)
        if memory:
            store = PresenceStore(memory, keys, decisive)
        else:
            store = patient_store(url, keys, decisive)
        store.clock = clock or Clock(None)
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


@dataclass
class Service:
    """An app that runs in this process, and a client of it."""

    app: Any
    client: httpx.AsyncClient
    store: PresenceStore


MakeService = Callable[..., Any]


@pytest.fixture
async def make_service(key_prefix: str) -> AsyncIterator[MakeService]:
    """Starts apps in this process: `await make_service("memory://", ADMIN_TOKEN="…")`. Limits per
    address are off unless given; the client calls from 127.0.0.1."""
    running: list[Any] = []

    async def make(url: str = "memory://", **settings: str) -> Service:
        environ = {
            "REDIS_URL": url,
            "KEY_PREFIX": key_prefix,
            "NEW_SESSIONS_PER_MINUTE": "0",
            "REQUESTS_PER_SECOND": "0",
        } | settings
        app: Any = create_app(
            Settings.from_env({f"PRESENCE_{name}": value for name, value in environ.items()})
        )
        lifespan = app.router.lifespan_context(app)
        await lifespan.__aenter__()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 50_000)),
            base_url="http://127.0.0.1:8080",
        )
        running.extend((client, lifespan))
        return Service(app, client, app.state.context.store)

    yield make
    for part in reversed(running):
        if isinstance(part, httpx.AsyncClient):
            await part.aclose()
        else:
            await part.__aexit__(None, None, None)
