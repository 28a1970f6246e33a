"""Fixtures: one contract suite over every backend, each test with keys of its own."""

import contextlib
import functools
import gc
import importlib.util
import inspect
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.redis.client import connect
from service.settings import Settings
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from tests import servers
from tests.isolation import ProcessState
from tests.servers import Server

TESTS = Path(__file__).parent
NOW = 1_900_000_000_000  # a moment all keys of tests outlive: 2030-03-17T17:46:40Z
_numbers = itertools.count()
# httpx asks it several times in each request which loop runs. Nobody installs it any more, and to
# look for it in all folders each time would take a tenth of the CPU of a client.
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """What tests start can be ended by Ctrl-C, also where a shell runs them in the background,
    which ignores it.

    Where no bytecode is to be written beside the source, it goes into pytest's cache: else each
    worker compiles all tests, and each of the hundreds of services that tests start compiles all
    that it imports, which takes longer than the start itself."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if not sys.dont_write_bytecode or hasattr(config, "workerinput") or cache is None:
        return
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(cache.mkdir("bytecode"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """A few chosen tests are done before a worker would have started; more workers than twice the
    cores, for tests wait more than half of their time: for a server to start, a session to expire,
    a fault to be noticed; and each worker starts servers of its own, so that more than eight have
    nothing to gain."""
    if config.args and all("::" in argument for argument in config.args):
        return 0
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # as it says
    return min(2 * len(os.sched_getaffinity(0)) + 1, 8)


# Folders and files whose tests all start something, and what starts it in tests and fixtures
# elsewhere.
SERVER_FOLDERS = {"browser", "cli", "deploy", "faults"}
SERVER_FILES = {"test_dockerfile", "test_package", "test_readme", "test_topologies"}
STARTERS = {"EmbeddedServer", "LiveService", "Server", "cluster"}
# Of a whole module; not worth to be made on every worker.
SHARED_FIXTURES = {
    "balancer", "big", "built", "faulty_services", "image", "live_service", "nodes", "packages",
    "postgres",
    "prometheus", "service_with_users", "shared", "valkey_environ",
}  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins early, lest all workers but one are done when the last begins it."""
    if hasattr(config, "workerinput"):
        long = {"slow", "soak"}
        items.sort(key=lambda item: long.isdisjoint(mark.name for mark in item.iter_markers()))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks by folder and fixture, so that `-m "not server and not browser"` is all that needs
    nothing; and keeps together, on one worker, those that share a costly fixture."""
    folder = item.path.relative_to(TESTS).parts[0]
    fixtures = set(getattr(item, "fixturenames", ()))
    callspec: Any = getattr(item, "callspec", None)
    params: dict[str, Any] = callspec.params if callspec else {}
    backends = {value for value in params.values() if isinstance(value, str)} & set(BACKENDS)
    is_there = folder in SERVER_FOLDERS or item.path.stem in SERVER_FILES
    if is_there or _starts_a_server(item) or backends - {"fakeredis"}:
        item.add_marker("server")
    if folder == "browser":
        item.add_marker("browser")
    if folder in SERVER_FOLDERS - {"cli"} or fixtures & SHARED_FIXTURES:
        shared = [
            str(params[name]) for name in sorted(fixtures & SHARED_FIXTURES) if name in params
        ]
        item.add_marker(pytest.mark.xdist_group("-".join([folder, item.path.stem, *shared])))


def _starts_a_server(item: Any) -> bool:
    """Whether the test or a fixture of it names one of STARTERS."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(fixture.func for given in fixtures for fixture in given)]
    names = [names_in(inspect.unwrap(function).__code__) for function in functions]
    # Which backend it is follows from a parameter, or is one that a fixture takes where there is
    # none, and which is a server then.
    params = getattr(getattr(item, "callspec", None), "params", {})
    is_given = "backend_url" not in item.fixturenames or "backend_url" in params
    takes_one = not is_given and any("url_of" in some for some in names)
    return takes_one or any(some & STARTERS for some in names)


@functools.cache
def names_in(code: CodeType) -> frozenset[str]:
    """The globals and attributes that a function uses, functions inside it included."""
    inner = (names_in(const) for const in code.co_consts if isinstance(const, CodeType))
    return frozenset(code.co_names).union(*inner)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """All that is collected stays to the end: no collector of garbage need look through it, now or
    later."""
    gc.disable()
    try:
        _import_in_turn(session.config)
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def _import_in_turn(config: pytest.Config) -> None:
    """Each worker imports what it will collect, beginning at another file: where nothing is
    compiled yet, they compile a part each, for all, instead of the same at the same time."""
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    if not worker or config.args != config.getini("testpaths"):
        return
    files = sorted(TESTS.rglob("test_*.py"))
    number = int(worker["workerid"].removeprefix("gw"))
    first = len(files) * number // worker["workercount"]
    for file in files[first:] + files[:first]:
        name = ".".join(file.relative_to(TESTS.parent).with_suffix("").parts)
        with contextlib.suppress(Exception, pytest.skip.Exception):  # told where it is collected
            importlib.import_module(name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """So that a server which an unmarked test starts is noticed."""
    servers.may_start = item.get_closest_marker("server") is not None


@pytest.fixture(autouse=True)
def _leaves_the_process_as_it_was() -> Iterator[None]:
    """Fails the very test that changes logging, environment, signal handlers or the service's
    globals for the tests after it."""
    before = ProcessState()
    yield
    if changed := before.restore():
        pytest.fail("left changed: " + ", ".join(changed))


_of_the_whole_run: list[Server] = []


@contextlib.contextmanager
def _emptied_often(*started: Server) -> Iterator[None]:
    _of_the_whole_run.extend(started)
    yield
    for server in started:
        _of_the_whole_run.remove(server)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A Valkey for the whole run."""
    with Server("valkey") as server, _emptied_often(server):
        yield server


@pytest.fixture(scope="session")
def redis7() -> Iterator[Server]:
    """Debian's Redis for the whole run."""
    with Server("redis7") as server, _emptied_often(server):
        yield server


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[list[Server]]:
    """Three primaries for the whole run."""
    with servers.cluster() as nodes, _emptied_often(*nodes):
        yield nodes


@pytest.fixture(scope="module", autouse=True)
def _leaves_the_servers_empty() -> Iterator[None]:
    """A check of the invariants scans all keys that are there: what ten thousand sites of another
    module have left would make each of thousands of checks a hundred times as dear."""
    yield
    for server in _of_the_whole_run:
        server.client.flushall()


BACKENDS = ("fakeredis", "valkey", "redis7", "cluster")
# Of tests that make thousands of calls: fakeredis takes half a millisecond for each.
on_servers = pytest.mark.parametrize("backend_url", BACKENDS[1:], indirect=True)


@pytest.fixture(params=BACKENDS)
def backend_url(request: pytest.FixtureRequest) -> str:
    """The URL of each backend in turn."""
    return url_of(request, request.param)


def url_of(request: pytest.FixtureRequest, backend: str) -> str:
    """The URL of a backend by name."""
    # Each time: else only the first of them would be told, and all that follow fail with it.
    assert backend == "fakeredis" or servers.may_start, servers.UNMARKED
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
    """Makes stores on the backend: `make_store(clock, shards=1, has_users=False, **rules)`, of all
    sites or, where `has_users` is a function, of those for which it says so. Those of one test
    share their keys."""
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

    def make(
        clock: Clock | None = None,
        *,
        shards: int = 1,
        has_users: bool | Callable[[str], bool] = False,
        **rules: Any,
    ) -> PresenceStore:
        knows = has_users if callable(has_users) else lambda site: has_users
        keys = Keys(key_prefix, shards, has_users=knows)
        decisive = StoreConfig(**rules)
        if memory:
            store = PresenceStore(
                memory, keys, decisive, deadline_s=PATIENCE_S, batch_deadline_s=PATIENCE_S
            )
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
async def make_service(
    key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MakeService]:
    """Starts apps in this process: `await make_service("memory://", ADMIN_TOKEN="…")`. Limits per
    address are off unless given; the client calls from 127.0.0.1."""
    running: list[Any] = []

    @contextlib.contextmanager
    def unpaused() -> Iterator[None]:
        """Where there is no Redis, the second call of a start, and of an end, would pause first."""
        with monkeypatch.context() as patched:
            patched.setattr("service.redis.circuit_breaker.PAUSE_S", 0.0)
            yield

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
        with unpaused():
            await lifespan.__aenter__()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 50_000)),
            base_url="http://127.0.0.1:8080",
        )
        running.extend((client, lifespan))
        return Service(app, client, app.state.context.store)

    yield make
    with unpaused():
        for part in reversed(running):
            if isinstance(part, httpx.AsyncClient):
                await part.aclose()
            else:
                await part.__aexit__(None, None, None)
