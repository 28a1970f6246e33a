"""How the service and each peer is started."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import mix
from bench.processes import LOAD_CORE, SERVICE_CORE, Program, free_port
from bench.server import Valkey

PEERS = Path(__file__).with_name("peers")
ROOT = PEERS.parent.parent
VIEW_DEDUP_S = 1800
USER_SECRET = "a secret of thirty-two bytes, or more"
MOST = "10000000"  # limits are on, and so high that nothing meets them
# As service/server/run.py starts uvicorn.
_UVICORN = (
    "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log",
    "--no-proxy-headers", "--no-server-header", "--backlog", "2048", "--log-level", "warning"
)  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """Where a program is to run, and for what."""

    redis: Valkey
    folder: Path
    port: int
    sites: int
    dedup_s: float

    @property
    def rules(self) -> dict[str, str]:
        """What the peers are told, as environment."""
        return {
            "DEDUP_MS": str(round(self.dedup_s * 1000)),
            "TIMEOUT_MS": str(mix.TIMEOUT_S * 1000),
            "VIEW_DEDUP_MS": str(VIEW_DEDUP_S * 1000),
            "ORIGIN": mix.ORIGIN,
            "PORT": str(self.port),
            "REDIS_URL": self.redis.url,
        }


class Missing(Exception):
    """A program cannot be started here; says what is to be installed."""


def service_environ(
    redis: Valkey, folder: Path, sites: int, dedup_s: float = mix.DEDUP_S
) -> dict[str, str]:
    """The settings under which the service is measured: every check on."""
    file = folder / f"sites-{sites}.toml"
    file.write_text(
        "".join(f'["{mix.site(n)}"]\norigins = ["{mix.ORIGIN}"]\n' for n in range(sites))
    )
    return {
        "PRESENCE_REDIS_URL": redis.url,
        "PRESENCE_SITES_FILE": str(file),
        "PRESENCE_HEARTBEAT_DEDUP": str(dedup_s),
        "PRESENCE_SESSION_TIMEOUT": str(mix.TIMEOUT_S),
        "PRESENCE_VIEW_DEDUP": str(VIEW_DEDUP_S),
        "PRESENCE_NEW_SESSIONS_PER_MINUTE": MOST,
        "PRESENCE_REQUESTS_PER_SECOND": MOST,
        "PRESENCE_LOG_LEVEL": "warning",
    }


def _service(setup: Setup, **more: str) -> Program:
    command = [sys.executable, "-m", "service", "serve", "--port", str(setup.port)]
    environ = service_environ(setup.redis, setup.folder, setup.sites, setup.dedup_s) | more
    log = setup.folder / "service.log"
    return Program("service", command, SERVICE_CORE, log, environ, ROOT)


def _service_with_users(setup: Setup) -> Program:
    file = setup.folder / "users.toml"
    file.write_text(
        f'["{mix.site(0)}"]\norigins = ["{mix.ORIGIN}"]\nuser_secrets = ["{USER_SECRET}"]\n'
    )
    return _service(setup, PRESENCE_SITES_FILE=str(file))


def _uvicorn(name: str, setup: Setup) -> Program:
    app = f"bench.peers.{name}:app"
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(setup.port), *_UVICORN]
    log = setup.folder / f"{name}.log"
    return Program(name, command, SERVICE_CORE, log, setup.rules, ROOT)


def _fastify(setup: Setup) -> Program:
    here = PEERS / "fastify"
    if not (here / "node_modules" / "ioredis").exists():
        if shutil.which("npm") is None:
            raise Missing("node and npm")
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"what npm install brings: {done.stderr[-300:]}")
    environ = {**setup.rules, "NODE_ENV": "production"}
    log = setup.folder / "fastify.log"
    return Program("fastify", ["node", str(here / "server.js")], SERVICE_CORE, log, environ)


def _nginx(setup: Setup) -> Program:
    here = PEERS / "nginx"
    if not Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists():
        raise Missing("the packages libnginx-mod-http-lua, lua-nginx-redis and lua-cjson")
    words = {
        **setup.rules,
        "HERE": str(here),
        "SCRIPT": str(PEERS / "heartbeats.lua"),
        "REDIS_PORT": str(setup.redis.port),
    }
    return _start_nginx("nginx", here / "nginx.conf", words, setup.folder, SERVICE_CORE)


def _start_nginx(
    name: str, template: Path, words: Mapping[str, str], folder: Path, core: int
) -> Program:
    if shutil.which("nginx") is None:
        raise Missing("the package nginx")
    own = Path(tempfile.mkdtemp(prefix="nginx-", dir=folder))
    own.chmod(0o755)
    text = template.read_text()
    for word, value in {**words, "FOLDER": str(own)}.items():
        text = text.replace(f"@{word}@", value)
    config = own / "nginx.conf"
    config.write_text(text)
    command = ["nginx", "-p", str(own), "-e", str(own / "error.log"), "-c", str(config)]
    return Program(name, command, core, folder / f"{name}.log")


_STARTS: dict[str, Callable[[Setup], Program]] = {
    "service": _service,
    # For clients that say whose address is theirs, of whom there can be many on one machine.
    "proxied": partial(_service, PRESENCE_TRUSTED_PROXIES="127.0.0.1/32"),
    "service-with-users": _service_with_users,
    "noop": partial(_uvicorn, "noop"),
    "naive": partial(_uvicorn, "naive"),
    "fastify": _fastify,
    "nginx": _nginx,
}
TITLES = {
    "service": "this service",
    "proxied": "this service",
    "noop": "uvicorn, empty 204",
    "naive": "Starlette + redis-py",
    "fastify": "Fastify + ioredis",
    "nginx": "nginx + Lua",
}


@contextmanager
def started(
    name: str, redis: Valkey, folder: Path, sites: int = 1, dedup_s: float = mix.DEDUP_S
) -> Iterator[tuple[Program, int]]:
    """The program, and its port; ended with the block."""
    port = free_port()
    with _STARTS[name](Setup(redis, folder, port, sites, dedup_s)) as program:
        program.wait_for(port)
        yield program, port


@contextmanager
def copies(
    count: int, redis: Valkey, folder: Path, **more: str
) -> Iterator[tuple[list[tuple[Program, int]], int]]:
    """So many copies, with more settings, and nginx before them; the copies, and nginx's port."""
    with ExitStack() as stack:
        running = []
        for _ in range(count):
            port = free_port()
            copy = _service(Setup(redis, folder, port, 1, mix.DEDUP_S), **more)
            running.append((stack.enter_context(copy), port))
        for copy, port in running:
            copy.wait_for(port)
        port = free_port()
        servers = " ".join(f"server 127.0.0.1:{number};" for _, number in running)
        words = {"SERVERS": servers, "PORT": str(port)}
        config = PEERS / "nginx" / "balancer.conf"
        balancer = _start_nginx("balancer", config, words, folder, LOAD_CORE)
        stack.enter_context(balancer)
        balancer.wait_for(port)
        yield running, port
