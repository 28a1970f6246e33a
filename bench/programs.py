"""How the service and each peer is started."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import mix
from bench.processes import LOAD_CORE, SERVICE_CORE, Program, free_port
from bench.server import Valkey

PEERS = Path(__file__).with_name("peers")
ROOT = PEERS.parent.parent
VIEW_DEDUP_S = 1800
MOST = "10000000"  # limits are on, and so high that nothing meets them
_RULES = {
    "DEDUP_MS": str(round(mix.DEDUP_S * 1000)),
    "TIMEOUT_MS": str(mix.TIMEOUT_S * 1000),
    "VIEW_DEDUP_MS": str(VIEW_DEDUP_S * 1000),
    "ORIGIN": mix.ORIGIN,
}
# As service/server/run.py starts uvicorn.
_UVICORN = (
    "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log",
    "--no-proxy-headers", "--no-server-header", "--backlog", "2048", "--log-level", "warning",
)  # fmt: skip


class Missing(Exception):
    """A program cannot be started here; says what is to be installed."""


def service_environ(redis: Valkey, folder: Path, sites: int) -> dict[str, str]:
    """The settings under which the service is measured: every check on."""
    file = folder / f"sites-{sites}.toml"
    file.write_text(
        "".join(f'["{mix.site(n)}"]\norigins = ["{mix.ORIGIN}"]\n' for n in range(sites))
    )
    return {
        "PRESENCE_REDIS_URL": redis.url,
        "PRESENCE_SITES_FILE": str(file),
        "PRESENCE_HEARTBEAT_DEDUP": str(mix.DEDUP_S),
        "PRESENCE_SESSION_TIMEOUT": str(mix.TIMEOUT_S),
        "PRESENCE_VIEW_DEDUP": str(VIEW_DEDUP_S),
        "PRESENCE_NEW_SESSIONS_PER_MINUTE": MOST,
        "PRESENCE_REQUESTS_PER_SECOND": MOST,
        "PRESENCE_LOG_LEVEL": "warning",
    }


def _service(**more: str) -> Callable[[Valkey, Path, int, int], Program]:
    def start(redis: Valkey, folder: Path, port: int, sites: int) -> Program:
        command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
        environ = service_environ(redis, folder, sites) | more
        return Program("service", command, SERVICE_CORE, folder / "service.log", environ, ROOT)

    return start


def _uvicorn(
    name: str, redis: Valkey, folder: Path, port: int, environ: Mapping[str, str]
) -> Program:
    app = f"bench.peers.{name}.app:app"
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *_UVICORN]
    return Program(name, command, SERVICE_CORE, folder / f"{name}.log", environ, ROOT)


def _noop(redis: Valkey, folder: Path, port: int, sites: int) -> Program:
    return _uvicorn("noop", redis, folder, port, {})


def _naive(redis: Valkey, folder: Path, port: int, sites: int) -> Program:
    return _uvicorn("naive", redis, folder, port, {**_RULES, "REDIS_URL": redis.url})


def _fastify(auto_pipelining: bool) -> Callable[[Valkey, Path, int, int], Program]:
    def start(redis: Valkey, folder: Path, port: int, sites: int) -> Program:
        here = PEERS / "fastify"
        _install_fastify(here)
        environ = {
            **_RULES,
            "NODE_ENV": "production",
            "PORT": str(port),
            "REDIS_URL": redis.url,
            "AUTO_PIPELINING": str(int(auto_pipelining)),
        }
        command = ["node", str(here / "server.js")]
        return Program("fastify", command, SERVICE_CORE, folder / "fastify.log", environ)

    return start


def _install_fastify(here: Path) -> None:
    if (here / "node_modules" / "ioredis").exists():
        return
    if shutil.which("npm") is None:
        raise Missing("node and npm")
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"what npm install brings: {done.stderr[-300:]}")


def _nginx(redis: Valkey, folder: Path, port: int, sites: int) -> Program:
    here = PEERS / "nginx"
    if not Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists():
        raise Missing("the packages libnginx-mod-http-lua, lua-nginx-redis and lua-cjson")
    words = {
        **_RULES,
        "HERE": str(here),
        "SCRIPT": str(PEERS / "heartbeat_one.lua"),
        "REDIS_PORT": str(redis.port),
        "PORT": str(port),
    }
    return _start_nginx("nginx", here / "nginx.conf", words, folder, SERVICE_CORE)


def _start_nginx(
    name: str, template: Path, words: Mapping[str, str], folder: Path, core: int
) -> Program:
    own = Path(tempfile.mkdtemp(prefix="nginx-", dir=folder))
    own.chmod(0o755)
    text = template.read_text()
    for word, value in {**words, "FOLDER": str(own)}.items():
        text = text.replace(f"@{word}@", value)
    config = own / "nginx.conf"
    config.write_text(text)
    command = ["nginx", "-p", str(own), "-e", str(own / "error.log"), "-c", str(config)]
    return Program(name, command, core, folder / f"{name}.log")


_STARTS: dict[str, Callable[[Valkey, Path, int, int], Program]] = {
    "service": _service(),
    # For clients that say whose address is theirs, of whom there can be many on one machine.
    "service-behind-proxy": _service(PRESENCE_TRUSTED_PROXIES="127.0.0.1/32"),
    "noop": _noop,
    "naive": _naive,
    "fastify": _fastify(True),
    "fastify-plain": _fastify(False),
    "nginx": _nginx,
}
NAMES = tuple(_STARTS)
TITLES = {
    "service": "this service",
    "service-behind-proxy": "this service",
    "noop": "uvicorn, empty 204",
    "naive": "Starlette + redis-py",
    "fastify": "Fastify + ioredis",
    "fastify-plain": "Fastify, no auto-pipelining",
    "nginx": "nginx + Lua",
}


@contextmanager
def started(
    name: str, redis: Valkey, folder: Path, sites: int = 1
) -> Iterator[tuple[Program, int]]:
    """The program, and its port; ended with the block.

    Raises:
        Missing: something is not installed.
    """
    port = free_port()
    with _STARTS[name](redis, folder, port, sites) as program:
        program.wait_for(port)
        yield program, port


@contextmanager
def copies(
    count: int, redis: Valkey, folder: Path
) -> Iterator[tuple[list[tuple[Program, int]], int]]:
    """So many copies of the service with nginx before them; the copies, and the port of nginx."""
    if shutil.which("nginx") is None:
        raise Missing("the package nginx")
    with ExitStack() as stack:
        running = [stack.enter_context(started("service", redis, folder)) for _ in range(count)]
        port = free_port()
        servers = " ".join(f"server 127.0.0.1:{number};" for _, number in running)
        words = {"SERVERS": servers, "PORT": str(port)}
        config = PEERS / "nginx" / "balancer.conf"
        balancer = _start_nginx("balancer", config, words, folder, LOAD_CORE)
        stack.enter_context(balancer)
        balancer.wait_for(port)
        yield running, port
