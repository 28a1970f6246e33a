"""`presence serve`."""

import asyncio
import contextlib
import errno
import json
import os
import shlex
import signal
import socket
import uuid
from collections.abc import Iterator

import click
from rich.text import Text

from service import __version__
from service.cli.group import Failure, UsageFailure, WholeNumber
from service.cli.printing import stderr, stdout
from service.cli.reading import embedded_path, open_store
from service.errors import StoreError
from service.ops.logs import configure_logs
from service.redis import embedded
from service.server.run import listen, run_here, run_workers
from service.settings import Settings
from service.sites import DEMO_SITE

_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  compared with, not bound


@click.command(short_help="Run the service.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on (PRESENCE_HOST).")
@click.option(
    "--port",
    type=WholeNumber(0, 65_535),
    help="Port to listen on (PRESENCE_PORT); 0 picks a free one.",
)
@click.option(
    "--workers",
    type=WholeNumber(1, 256),
    default=1,
    show_default=True,
    help="Worker processes; one per core is plenty.",
)
@click.option(
    "--demo",
    is_flag=True,
    help="Also serve a small demo site at /demo, with simulated visitors.",
)
def serve(host: str | None, port: int | None, workers: int, demo: bool) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    Without settings it needs nothing: it starts a private Valkey that keeps its data in
    ./.presence. Set PRESENCE_REDIS_URL to use another Redis; see `presence config`.
    """
    is_told_to_stop, is_looking = False, False

    def stop(number: int, frame: object) -> None:
        # While it starts: everything entered so far is left in order. A look at Redis is soon
        # over, and a loop that is torn out of it complains.
        nonlocal is_told_to_stop
        is_told_to_stop = True
        if not is_looking:
            raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    port_text = None if port is None else str(port)
    settings = Settings.from_env(host=host, port=port_text)
    if settings.is_embedded and embedded.find_binary() is None:
        settings = Settings.from_env(host=host, port=port_text, redis_url="memory://")
        _warn_of_memory()
    is_memory = settings.redis_url.startswith("memory://")
    if is_memory and workers > 1:
        raise UsageFailure("memory:// is inside one process: --workers must be 1, or use Redis")
    if demo and workers > 1:
        raise UsageFailure("--demo is for one process: its visitors would come once per worker")
    if demo and settings.sites.find(DEMO_SITE) is None:
        raise UsageFailure(
            f"--demo needs the site {DEMO_SITE!r} in PRESENCE_SITES_FILE, or no file"
        )
    configure_logs(settings.log_level)
    with _listening(settings) as sock, _owning(settings) as settings:
        if not is_memory:
            is_looking = True
            asyncio.run(_look_at_redis(settings))
            is_looking = False
        if is_told_to_stop:  # and what was raised got lost, in a destructor
            raise SystemExit(0)
        # From here on a signal is only noted: an error that is raised could be lost, and whoever
        # reads the address may send one at once.
        is_looking = True
        _announce(settings, sock.getsockname()[1], demo)
        if workers == 1:
            has_started = run_here(settings, sock, demo=demo, is_told=lambda: is_told_to_stop)
        else:
            has_started = run_workers(settings, sock, workers, is_told=lambda: is_told_to_stop)
    if not has_started:
        raise Failure("the service could not start; the log above says why")


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        sock = listen(settings.host, settings.port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        if error.errno == errno.EADDRINUSE:
            why += "; choose another with --port, or --port 0 for any that is free"
        raise Failure(f"cannot listen on {settings.host} port {settings.port}: {why}") from None
    with sock:
        yield sock


@contextlib.contextmanager
def _owning(settings: Settings) -> Iterator[Settings]:
    """Owns the private Valkey where there is one, and stops it last."""
    if not settings.is_embedded:
        yield settings
        return
    with embedded.EmbeddedServer(embedded_path(settings)):
        file = settings.token_file
        if settings.is_token_kept and file is not None:
            with contextlib.suppress(OSError):
                file.chmod(0o600)
        elif not settings.admin_token and file is not None:
            settings = settings.with_kept_token(embedded.make_token(file))
            stdout().print(Text(f"made a token for operators: {file}"), soft_wrap=True)
        yield settings


async def _look_at_redis(settings: Settings) -> None:
    """Warns if Redis is away, and starts all the same. Raises ShardCountError."""
    try:
        async with open_store(settings) as store:
            await store.probe()
    except StoreError as error:
        stderr().print(
            f"warning: {error.detail} ({settings.shown('REDIS_URL')}); until that is over, "
            "answers are 503",
            style="yellow",
            soft_wrap=True,
        )


def _warn_of_memory() -> None:
    stderr().print(
        "WARNING: there is no private Valkey for this platform.\n"
        "WARNING: everything is kept in memory (memory://) and is LOST when this process ends.\n"
        "WARNING: set PRESENCE_REDIS_URL=redis://HOST:PORT to keep it.",
        style="bold yellow",
    )


def _announce(settings: Settings, port: int, demo: bool) -> None:
    """All on one screen; every line is whole, so that it can be copied."""
    console = stdout()
    shown_host = "127.0.0.1" if settings.host in _ANYWHERE else settings.host
    base = f"http://{f'[{shown_host}]' if ':' in shown_host else shown_host}:{port}"
    site, origin = _example_site(settings, demo)

    def line(label: str, value: str) -> None:
        console.print(Text.assemble("  ", (f"{label:<10}", "dim"), value), soft_wrap=True)

    console.print(Text(f"presence {__version__}", "bold"))
    line("listens", base + (" (on every address)" if settings.host in _ANYWHERE else ""))
    line("data", _where(settings))
    line("start", f"{base}/")
    if demo:
        line("demo", f"{base}/demo/")
    line("page", f"{base}/sites/{site}")
    line("numbers", f"{base}/v1/sites/{site}/stats")
    line("docs", f"{base}/docs")
    line("metrics", f"{base}/metrics")
    if settings.is_token_kept:
        line("operators", f"Authorization: Bearer $(cat {shlex.quote(str(settings.token_file))})")
    elif not settings.admin_token:
        line("note", "operator endpoints are off until PRESENCE_ADMIN_TOKEN is set")
    body = json.dumps({"sessionId": str(uuid.uuid4()), "currentPath": "/"}, separators=(",", ":"))
    curl = f"curl -i -X POST {base}/v1/sites/{site}/heartbeat -d '{body}'"
    if origin:
        curl += f" -H 'Origin: {origin}'"
    console.print(Text("\nSend a first heartbeat:\n", "bold"))
    console.print(Text(curl), soft_wrap=True)
    console.print(Text("\nCtrl-C stops it.", "dim"))


def _example_site(settings: Settings, demo: bool) -> tuple[str, str]:
    """A site that may be written to, and an origin that may do it."""
    name = DEMO_SITE if demo else next(iter(settings.sites.by_id), DEMO_SITE)
    site = settings.sites.find(name)
    return name, min(site.origins, default="").replace("*", "www") if site else ""


def _where(settings: Settings) -> str:
    if settings.is_embedded:
        return f"{embedded.folder_of(embedded_path(settings))} (a private Valkey)"
    if settings.redis_url.startswith("memory://"):
        return "in memory: lost when this process ends"
    return f"{settings.shown('REDIS_URL')} (keys begin with {settings.key_prefix}:)"
