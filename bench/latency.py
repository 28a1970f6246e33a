"""P17: latency under a load that does not wait for the server (see bench/constant_rate.py)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import trial
from bench.load import Load, Wrk
from bench.processes import LOAD_CORE, cores
from bench.programs import ROOT, started
from bench.result import Context, Result
from bench.server import valkey
from bench.trial import middle, spread

SHARE, MOST = 0.7, 5.0
SHARES = (0.3, 0.5, SHARE, 0.8, 0.9)


def run(context: Context) -> list[Result]:
    """P17, and the curve of its plot."""
    rounds, seconds = (1, 2) if context.quick else (3, 3)
    shares = (SHARE,) if context.quick else SHARES
    steps = [
        (number, share) for share in shares for number in range(rounds if share == SHARE else 1)
    ]
    context.progress.start("latency", 1 + 2 * len(steps))
    file = trial.records(context.folder, 20)
    said: dict[str, dict[float, list[dict[str, Any]]]] = {"service": {}, "noop": {}}
    with valkey(context.folder) as redis:
        trial.fill(redis)
        with (
            started("service", redis, context.folder) as (_, service_port),
            started("noop", redis, context.folder) as (_, noop_port),
        ):
            ports = {"service": service_port, "noop": noop_port}
            context.progress.step("the worker's peak")
            wrk = Wrk(service_port, Load(file))
            wrk.run(1)
            peak = wrk.run(1 if context.quick else 3).per_second
            Wrk(noop_port, Load(file)).run(1)
            first = 200_000
            for number, share in steps:
                for name in list(ports)[:: 1 if number % 2 == 0 else -1]:
                    context.progress.step(f"{name} at {share:.0%} of the peak")
                    answer = _at_rate(ports[name], file, first, share * peak, seconds)
                    first += answer["sent"]
                    said[name].setdefault(share, []).append(answer)
    return [_row(peak, said)]


def _at_rate(port: int, file: Path, first: int, rate: float, seconds: float) -> dict[str, Any]:
    arguments = [str(port), str(file), str(first), str(rate), str(seconds)]
    command = [*cores(LOAD_CORE), sys.executable, "-m", "bench.constant_rate", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"constant_rate: {done.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.partition("RESULT ")[2])
    return answer


def _row(peak: float, said: dict[str, dict[float, list[dict[str, Any]]]]) -> Result:
    def p99(name: str) -> list[float]:
        return [answer["ms"].get("99", float("nan")) for answer in said[name][SHARE]]

    value, baseline = middle(p99("service")), middle(p99("noop"))
    ratio = value / baseline
    bad = sum(
        answer["bad"] for by_share in said.values() for a in by_share.values() for answer in a
    )
    curves = {
        name: {
            f"{share:g}": {
                "rate": share * peak,
                **{
                    p: middle([answer["ms"].get(p, 0.0) for answer in answers])
                    for p in ("50", "99")
                },
            }
            for share, answers in by_share.items()
        }
        for name, by_share in said.items()
    }
    return Result(
        "P17",
        f"p99 latency at {SHARE * peak:,.0f} heartbeats/s, {SHARE:.0%} of the worker's peak",
        value,
        "ms",
        "uvicorn, empty 204, same rate",
        baseline,
        ratio,
        f"≤ {MOST:g} ×",
        ratio <= MOST and not bad,
        f"{spread(p99('service'))} against {spread(p99('noop'))}",
        f"{bad} not answered by 204" if bad else "",
        {"peak": peak, "curves": curves},
    )
