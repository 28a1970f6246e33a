"""P17: latency under a load that does not wait for the server (see bench/constant_rate.py).

The peak is the worker's own: what `wrk` gets answered while the worker fills its core. What it
sends goes on where it stopped: the mix is a history, and a session that skips a part of it moves
where it should only refresh, which costs several times as much.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench import mix, trial
from bench.constant_rate import WARM_UP_S
from bench.load import CONNECTIONS, Load, Wrk
from bench.processes import LOAD_CORE, Program, cores
from bench.programs import ROOT, started
from bench.result import Context, Result
from bench.server import valkey
from bench.trial import middle, spread

SHARE, MOST = 0.7, 5.0
PEAK_CONNECTIONS = (CONNECTIONS, 2 * CONNECTIONS, 4 * CONNECTIONS)
SHARES = (0.3, 0.5, SHARE, 0.8, 0.9)
FULL = 0.85  # of its core: a worker that uses less was not what limited the peak
GENERATOR_FULL = 0.8  # of its own
LATE_SHARE = 0.5  # of the p99, at the most: the generator's own lateness
ATTEMPTS = 3

Said = dict[str, dict[float, list[dict[str, Any]]]]


def run(context: Context) -> list[Result]:
    """P17, and the curve of its plot."""
    rounds, seconds = (1, 1) if context.quick else (4, 3)
    shares = (SHARE,) if context.quick else SHARES
    steps = [
        (number, share) for share in shares for number in range(rounds if share == SHARE else 1)
    ]
    context.progress.start("latency", 1 + 2 * len(steps))
    file = trial.records(context.folder, 10 if context.quick else 40)
    said: Said = {"service": defaultdict(list), "noop": defaultdict(list)}
    with valkey(context.folder) as redis:
        trial.fill(redis)
        with (
            started("service", redis, context.folder) as (worker, service_port),
            started("noop", redis, context.folder) as (_, noop_port),
        ):
            ports = {"service": service_port, "noop": noop_port}
            context.progress.step("the worker's peak")
            peak, first = _peak(service_port, file, worker, 1 if context.quick else 3)
            Wrk(noop_port, Load(file)).run(1)
            before = trial.outcomes_of(service_port)
            for number, share in steps:
                for name in list(ports)[:: 1 if number % 2 == 0 else -1]:
                    context.progress.step(f"{name} at {share:.0%} of the peak")
                    for _ in range(ATTEMPTS):
                        before_s = redis.program.cpu_s()
                        answer = _at_rate(ports[name], file, first, share * peak, seconds)
                        used_s = redis.program.cpu_s() - before_s
                        answer["redis_busy"] = used_s / (WARM_UP_S + seconds)
                        if name == "service":
                            first += answer["sent"]
                        if not _why_invalid(answer):
                            break
                    said[name][share].append(answer)
            _check_mix(before, trial.outcomes_of(service_port))
    return [row(peak, said)]


def _peak(port: int, file: Path, worker: Program, rounds: int) -> tuple[float, int]:
    """Heartbeats per second when the worker has all it can do, the median of some rounds, with as
    many connections as that takes: the fewer they are, the longer it waits for Redis and for the
    generator, which share the other core. And the record that is to be sent next.

    Raises:
        trial.Invalid: something else was the limit, or requests failed.
    """
    first, used = 0, []
    for connections in PEAK_CONNECTIONS:
        wrk = Wrk(port, Load(file, connections=connections))
        wrk.next_record = first
        wrk.run(1)
        peaks = []
        for _ in range(ATTEMPTS + rounds):
            before_s = worker.cpu_s()
            replies = wrk.run(2)
            used.append((worker.cpu_s() - before_s) / replies.seconds)
            if not replies.is_valid:
                raise trial.Invalid(f"{replies.bad_status} refusals at the peak")
            if used[-1] >= FULL:
                peaks.append(replies.per_second)
            if len(peaks) == rounds:
                return middle(peaks), wrk.next_record
        first = wrk.next_record
    raise trial.Invalid(f"the worker had only {max(used):.0%} of its core at the peak")


def _at_rate(port: int, file: Path, first: int, rate: float, seconds: float) -> dict[str, Any]:
    arguments = [str(port), str(file), str(first), str(rate), str(seconds)]
    command = [*cores(LOAD_CORE), sys.executable, "-m", "bench.constant_rate", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"constant_rate: {done.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.partition("RESULT ")[2])
    return answer


def _why_invalid(answer: dict[str, Any]) -> str:
    """What was wrong with a run, or nothing."""
    if answer["bad"]:
        return f"{answer['bad']} of {answer['sent']} heartbeats not answered by 204"
    if answer["busy"] > GENERATOR_FULL:
        return f"the generator used {answer['busy']:.0%} of its core"
    if not answer["late_ms"]["99"] <= LATE_SHARE * answer["ms"]["99"]:
        return (
            f"the generator was itself late: p99 {answer['late_ms']['99']:.2f} ms of "
            f"{answer['ms']['99']:.2f} ms"
        )
    return ""


def _check_mix(before: dict[str, float], after: dict[str, float]) -> None:
    outcomes = {name: count - before.get(name, 0) for name, count in after.items()}
    if not mix.is_as_meant(outcomes):
        raise trial.Invalid(f"the mix is not as meant: {trial.shares(outcomes)}")


def row(peak: float, said: Said) -> Result:
    """P17 of what was said: for each program and share of the peak, the answers of its runs."""

    def p99(name: str) -> list[float]:
        return [answer["ms"]["99"] for answer in said[name][SHARE]]

    value, baseline = middle(p99("service")), middle(p99("noop"))
    ratio = value / baseline
    wrong = [why for by in said.values() for why in map(_why_invalid, by[SHARE]) if why]
    generator, redis = (
        middle([answer[name] for answer in said["service"][SHARE]])
        for name in ("busy", "redis_busy")
    )
    late = max(answer["late_ms"]["99"] for by in said.values() for answer in by[SHARE])
    curves = {
        name: {
            f"{share:g}": {
                "rate": share * peak,
                **{p: middle([a["ms"][p] for a in answers]) for p in ("50", "99")},
            }
            for share, answers in by_share.items()
        }
        for name, by_share in said.items()
    }
    result = Result(
        "P17",
        f"p99 latency at {SHARE * peak:,.0f} heartbeats/s, {SHARE:.0%} of the worker's peak",
        value,
        "ms",
        "uvicorn, empty 204, same rate",
        baseline,
        ratio,
        f"≤ {MOST:g} ×",
        ratio <= MOST,
        f"{spread(p99('service'))} against {spread(p99('noop'))}" if len(p99("noop")) > 1 else "",
        f"peak {peak:,.0f}/s; the generator itself was late by {late:.2f} ms at p99; it used "
        f"{generator:.0%} of the core that it shares with Redis, which used {redis:.0%}",
        {"peak": peak, "curves": curves},
    )
    if wrong:
        result.value, result.ratio, result.reached = float("nan"), None, False
        result.note = f"not measured, a run was invalid {ATTEMPTS} times: {wrong[0]}"
    return result
