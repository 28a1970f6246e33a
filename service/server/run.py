"""Starts uvicorn: one server in this process, or a supervisor of several worker processes.

The caller has bound the socket, so that a port that is taken is known before anything starts,
and whoever connects early waits for an answer instead of being refused.
"""

import contextlib
import gc
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.app import create_app
from service.ops.logs import configure_logs
from service.server.self_check import checked_protocol
from service.settings import PREFIX, Settings

BACKLOG = 2048
GRACE_S = 5  # for requests that are under way when the service is told to stop
_STOPS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; with port 0 the system chooses one.

    Raises:
        OSError: the port is taken, or there is no such address here.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name such as localhost is often both; whoever types 127.0.0.1 must find us too.
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return socket.create_server(
        address[:2],
        family=family,
        backlog=BACKLOG,
        dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
    )


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "loop": "asyncio" if sys.platform == "win32" else "uvloop",
        "http": checked_protocol(),
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        # Whose X-Forwarded-For is believed is PRESENCE_TRUSTED_PROXIES's matter.
        "proxy_headers": False,
        "server_header": False,
        "date_header": True,
        "backlog": BACKLOG,
        "timeout_keep_alive": settings.keep_alive,
        "timeout_graceful_shutdown": GRACE_S,
    }


def run_here(
    settings: Settings,
    sock: socket.socket,
    *,
    demo: bool = False,
    is_told: Callable[[], bool] = lambda: False,
) -> bool:
    """Serves in this process until SIGINT or SIGTERM; whether it had started at all. `is_told`:
    whether one came before this listens to them."""
    is_told_to_stop = False
    server: uvicorn.Server | None = None

    def stop(number: int, frame: object) -> None:
        # Before uvicorn listens to signals, and when it raises them again at its end: whoever
        # called us has something left to put in order. Nothing is raised here, for it would be
        # lost where Python is in a destructor just then.
        nonlocal is_told_to_stop
        is_told_to_stop = True
        if server is not None:
            server.should_exit = True

    for number in _STOPS:
        signal.signal(number, stop)
    server = _Server(
        uvicorn.Config(create_app(settings, demo=demo, drains=True), **_options(settings))
    )
    freeze_gc()
    if is_told_to_stop or is_told():
        return True
    with contextlib.suppress(SystemExit):  # a start that failed has been logged
        server.run(sockets=[sock])
    return server.started


def run_workers(
    settings: Settings,
    sock: socket.socket,
    workers: int,
    *,
    is_told: Callable[[], bool] = lambda: False,
) -> bool:
    """Serves in worker processes until SIGINT or SIGTERM; whether they had started. `is_told`:
    whether one came before this listens to them.

    Workers are told the settings by the environment, as any copy of the service is.
    """
    environ = {
        "REDIS_URL": settings.redis_url,
        "HOST": settings.host,
        "PORT": str(sock.getsockname()[1]),
    }
    os.environ.update({PREFIX + name: value for name, value in environ.items()})
    with _shared_metrics():
        config = uvicorn.Config(
            "service.server.run:worker_app", factory=True, workers=workers, **_options(settings)
        )
        resource_tracker.ensure_running()  # as it starts, it undoes what the supervisor blocks
        supervisor = _Supervisor(config, sockets=[sock])  # listens to signals from here on
        if is_told():
            return True
        supervisor.run()
        return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


class _Server(uvicorn.Server):
    """A second Ctrl-C does not tear it down: it ends soon anyway, in order."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Only the first signal counts."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


class _Supervisor(Multiprocess):
    """Its workers do not hear Ctrl-C: a terminal sends it to all processes, and one
    that is just starting would end with a traceback. Their parent ends them."""

    def init_processes(self) -> None:
        """Blocks SIGINT meanwhile."""
        with block_sigint():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Blocks SIGINT meanwhile."""
        with block_sigint():
            super().keep_subprocess_alive()

    def handle_signals(self) -> None:
        """Blocks SIGINT meanwhile."""
        with block_sigint():
            super().handle_signals()

    def terminate_all(self) -> None:
        """Closes the sockets first. The workers accept for a while yet; whoever connected to the
        supervisor alone after that would never be answered."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()


@contextlib.contextmanager
def block_sigint() -> Iterator[None]:
    # What is blocked is inherited; here it is only heard later.
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _shared_metrics() -> Iterator[None]:
    """The folder in which prometheus_client adds up the workers; read when it is imported."""
    folder = tempfile.mkdtemp(prefix="presence-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        yield
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        shutil.rmtree(folder, ignore_errors=True)


def worker_app() -> ASGIApp:
    """The app of a worker process, by its environment."""
    settings = Settings.from_env()
    configure_logs(settings.log_level)
    _end_with_parent()
    _forget_dead_workers()
    app = create_app(settings, drains=True)
    freeze_gc()
    return app


def freeze_gc() -> None:
    # Modules and the app live as long as the process. A full collection that walks them takes
    # some 45 ms, in which every heartbeat waits. And what a batch makes lives until its end: to
    # look at it each 700 objects, as Python does, is a twelfth of its cost.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


def _end_with_parent() -> None:
    # A supervisor that was killed cannot tell its workers; without it nobody could stop them.
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def _forget_dead_workers() -> None:
    # What a worker that died last measured of the present would count for ever.
    from prometheus_client.multiprocess import mark_process_dead

    folder = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    for process in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}:
        if process.isdigit() and not _is_alive(int(process)):
            mark_process_dead(int(process))  # type: ignore[no-untyped-call]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
