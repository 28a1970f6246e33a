"""The real thing: copies, a balancer and Redis on this machine, at a constant rate."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from bench import trial
from bench.constant_rate import WARM_UP_S, percentile
from bench.load import Load, Wrk
from bench.processes import LOAD_CORE, cores
from bench.programs import ROOT, copies
from bench.redis_spread import cluster
from bench.result import Context
from bench.server import valkey

IDLE_S = 1.5
FULL, MOST = 0.0, 30_000
DEDUP_S = 2.0  # repeats of the mix are within it, and turns are not, from 100 to 30,000 a second


@dataclass(frozen=True)
class Setting:
    """So many copies before so many nodes; one site in so many shards. No shards: no cluster."""

    copies: int
    nodes: int = 1
    shards: int = 0

    def __str__(self) -> str:
        what = "Redis" if not self.shards else f"cluster of {self.nodes}, {self.shards} shards"
        return f"{self.copies} {'copy' if self.copies == 1 else 'copies'}, {what}"


@dataclass(frozen=True)
class Observed:
    """Of one heartbeat: calls (what one copy sends one node at once), scripts (of which a call
    carries one for each shard), how often copies and nodes were woken, and µs of CPU. And ms from
    when it was due until it was answered."""

    rate: float
    calls: float
    scripts: float
    copy_wakes: float
    redis_wakes: float
    copy_us: float
    redis_us: float
    generator_us: float
    idle_wakes: float  # of a node, a second
    idle_us: float
    p50_ms: float
    p99_ms: float


def observe(
    context: Context, setting: Setting, rates: Sequence[float], seconds: float
) -> list[Observed]:
    """What is seen at each rate, one after the other; FULL: as many as are answered."""
    with ExitStack() as stack:
        folder = Path(mkdtemp(prefix="observed-", dir=context.folder))
        folder.chmod(0o755)  # nginx's workers are another user
        if setting.shards:
            nodes, url = stack.enter_context(cluster(folder, setting.nodes))
        else:
            nodes = [stack.enter_context(valkey(folder))]
            url = nodes[0].url
        shards = max(setting.shards, 1)
        asyncio.run(trial.put_sessions(url, shards=shards))
        environ = {
            "PRESENCE_REDIS_URL": url,
            "PRESENCE_SHARDS": str(shards),
            "PRESENCE_HEARTBEAT_DEDUP": str(DEDUP_S),
        }
        running, port = stack.enter_context(copies(setting.copies, nodes[0], folder, **environ))
        if setting.copies == 1:  # as fast as it can be, without the balancer
            ((_, port),) = running

        def used() -> tuple[float, ...]:
            stats = [node.client.info("stats") for node in nodes]
            return (
                time.monotonic(),
                sum(int(one["total_reads_processed"]) - 1 for one in stats),
                sum(node.calls("evalsha") for node in nodes),
                sum(copy.sleeps() for copy, _ in running),
                sum(copy.cpu_s() for copy, _ in running),
                sum(node.program.sleeps() for node in nodes),
                sum(node.program.cpu_s() for node in nodes),
            )

        file = trial.records(context.folder, 1)
        said = _send(port, file, 0, 500, 1)  # until all is warm
        first, all_seen = said["sent"], []
        before = used()
        time.sleep(IDLE_S)
        idle = _less(used(), before)
        for rate in rates:
            context.say(f"{setting}, {f'{rate:,.0f}' if rate else 'as many'} heartbeats a second")
            before = used()
            said = _send(port, file, first, rate, seconds)
            gone = _less(used(), before)
            all_seen.append(_observed(rate, len(nodes), said, gone, idle))
            first += said["sent"]
        return all_seen


def _less(after: Sequence[float], before: Sequence[float]) -> list[float]:
    return [now - then for now, then in zip(after, before, strict=True)]


def _send(port: int, file: Path, first: float, rate: float, seconds: float) -> dict[str, float]:
    trial.lengthen(file, first + 1.1 * (rate or MOST) * (seconds + WARM_UP_S))
    if rate == FULL:
        wrk = Wrk(port, Load(file))
        wrk.next_record = int(first)
        replies = wrk.run(seconds)
        bad = replies.bad_status + replies.socket_errors
        return {"sent": replies.requests, "bad": bad, "cpu_s": 0.0, "p50": 0.0, "p99": 0.0}
    command = [*cores(LOAD_CORE), sys.executable, "-m", "bench.constant_rate", str(port),
               str(file), str(first), str(rate), str(seconds)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"constant_rate: {done.stderr[-500:]}")
    said = json.loads(done.stdout.partition("RESULT ")[2])
    ms = sorted(said.pop("ms"))
    return {**said, "p50": percentile(ms, 50), "p99": percentile(ms, 99)}


def _observed(
    rate: float, nodes: int, said: dict[str, float], gone: Sequence[float], idle: Sequence[float]
) -> Observed:
    """What is Redis's own, its timer, is left in; what an idle copy does is not."""
    if said["bad"]:
        raise RuntimeError(f"{said['bad']} of {said['sent']} heartbeats were refused")
    sent = said["sent"]
    reads, scripts, wakes, copy_s = (
        (gone[n] - idle[n] * gone[0] / idle[0]) / sent for n in range(1, 5)
    )
    return Observed(
        rate=rate or sent / gone[0],
        calls=reads,
        scripts=scripts,
        copy_wakes=wakes,
        redis_wakes=gone[5] / sent,
        copy_us=copy_s * 1e6,
        redis_us=gone[6] / sent * 1e6,
        generator_us=said["cpu_s"] / sent * 1e6,
        idle_wakes=idle[5] / idle[0] / nodes,
        idle_us=idle[6] / idle[0] / nodes * 1e6,
        p50_ms=said["p50"],
        p99_ms=said["p99"],
    )
