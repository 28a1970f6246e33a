"""Random faults under load, for minutes: `pytest -m soak`. SOAK_SECONDS says how long, SOAK_SEED
repeats the same ones; in CI it is one minute."""

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.copies import Copy, balanced, copies
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.faults.verdict import ALLOWANCE_S, Loss, judge
from tests.servers import Server

DEFAULT_S, IN_CI_S = 600.0, 60.0
MEMORY_MB = 64  # that a copy may grow by
DESCRIPTORS = 60  # that it may hold: connections of the load and to Redis


def soak_seconds(config: pytest.Config) -> float:
    """How long; 0: not at all."""
    if given := os.environ.get("SOAK_SECONDS"):
        return float(given)
    if "soak" in str(config.getoption("-m")):
        return DEFAULT_S
    return IN_CI_S if os.environ.get("CI") else 0.0


class Soak:
    """A Redis behind a proxy, three copies behind nginx, and what may be done to them."""

    def __init__(self, server: Server, proxy: Proxy, made: list[Copy], load: Load) -> None:
        self.server, self.proxy, self.made, self.load = server, proxy, made, load
        self.losses: list[Loss] = []

    def faults(self) -> dict[str, Callable[[], None]]:
        """By name."""
        return {
            "freeze": self.freeze,
            "pause": lambda: self._command("CLIENT", "PAUSE", 1500, "WRITE"),
            "sleep": lambda: self._command("DEBUG", "SLEEP", 1.5),
            "restart": self.restart,
            "scripts": lambda: self._command("SCRIPT", "FLUSH"),
            "kill-clients": lambda: self._command("CLIENT", "KILL", "TYPE", "normal"),
            "memory": self.fill_up,
            "flush": self.flush,
            "reset": self.proxy.reset,
            "cut": self.cut,
            "swallow": self.swallow,
            "delay": self.delay,
            "copy": self.kill_a_copy,
        }

    def _command(self, *command: str | float) -> None:
        self.server.client.execute_command(*command)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.server.freeze()
        try:
            self.load.more(20)
        finally:
            self.server.thaw()

    def restart(self) -> None:
        """SIGKILL; what it had written to its log comes back."""
        begun = time.monotonic()
        self.server.kill()
        self.load.more(20)
        self.server.start()
        self.losses.append(Loss(begun - 1.0, begun, time.monotonic()))

    def fill_up(self) -> None:
        """Out of memory, for a while."""
        self.server.client.config_set("maxmemory", "1mb")
        self.load.more(50)
        self.server.client.config_set("maxmemory", "0")

    def flush(self) -> None:
        """Everything is forgotten."""
        begun = time.monotonic()
        self.server.client.flushall()
        self.losses.append(Loss(0.0, begun, time.monotonic()))

    def cut(self) -> None:
        """Replies end in their middle."""
        self.proxy.cut_replies(5)
        self.load.more(20)

    def swallow(self) -> None:
        """Replies are lost, and then the connections."""
        self.proxy.dropped = {"down"}
        self.load.more(20)
        self.proxy.reset()
        self.proxy.dropped = set()

    def delay(self) -> None:
        """A slow network."""
        self.proxy.delay_s = 0.05
        self.load.more(50)
        self.proxy.delay_s = 0.0

    def kill_a_copy(self) -> None:
        """SIGKILL of the service itself; it is started again."""
        copy = self.made[-1]
        copy.kill()
        self.load.more(50)
        copy.start()
        copy.wait()


def size_of(copy: Copy) -> tuple[float, int]:
    """Memory in MB, and open files."""
    assert copy.process is not None
    with open(f"/proc/{copy.process.pid}/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6, len(os.listdir(f"/proc/{copy.process.pid}/fd"))


@pytest.fixture
def soak() -> Iterator[Soak]:
    options = ("--appendonly", "yes", "--appendfsync", "everysec")
    with (
        Server("valkey", *options) as server,
        Proxy(server.port) as proxy,
        copies(3, f"redis://127.0.0.1:{proxy.port}") as made,
        balanced(made) as port,
        Load([port], sites=("blog", "shop"), pause_s=0.1, looks=("/livez",)) as load,
    ):
        yield Soak(server, proxy, made, load)


@pytest.mark.soak
@pytest.mark.timeout(3 * DEFAULT_S)
def test_soak(request: pytest.FixtureRequest) -> None:
    seconds = soak_seconds(request.config)
    if not seconds:
        pytest.skip("minutes of faults: pytest -m soak")
    soak: Soak = request.getfixturevalue("soak")
    seed = os.environ.get("SOAK_SEED") or str(random.randrange(10**6))
    print(f"SOAK_SEED={seed}, {seconds:.0f} s")
    chance = random.Random(seed)
    before = size_of(soak.made[0])
    ends = time.monotonic() + seconds
    done: dict[str, int] = {}
    slowest: tuple[float, str] = (0.0, "")
    while time.monotonic() < ends:
        name, fault = chance.choice(list(soak.faults().items()))
        began = time.monotonic()
        fault()
        over = time.monotonic()
        recovery = soak.load.recovers(since=over)
        slowest = max(slowest, (recovery, name))
        done[name] = done.get(name, 0) + 1
        print(f"{name}: {over - began:.2f} s, recovered in {recovery:.2f} s")
        soak.load.more(chance.randrange(20, 200))
    assert soak.proxy.open <= 3 * 20
    after = size_of(soak.made[0])
    figures = judge(soak.load, soak.server.url, soak.made, losses=soak.losses, may_break=True)
    livez_s = soak.load.livez_was_well(ALLOWANCE_S)
    told: dict[str, Any] = figures.as_dict() | {"faults": done, "slowest": slowest}
    print(told, f"livez {livez_s} s, memory and files {before} -> {after}")
    assert after[0] - before[0] < MEMORY_MB
    assert after[1] < before[1] + DESCRIPTORS
