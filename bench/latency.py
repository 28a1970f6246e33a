"""P17: latency under a load that does not wait for the server (see bench/constant_rate.py).

The peak is what `wrk` gets answered, the highest of several numbers of connections and of load
generators; how much of its core the worker had then is told. What is sent goes on where it
stopped: the mix is a history, and a session that skips a part of it moves where it should only
refresh, which costs several times as much.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import mix, trial
from bench.constant_rate import WARM_UP_S, percentile
from bench.load import CONNECTIONS, Load, Wrk
from bench.processes import CORES, Program, other_cores
from bench.programs import ROOT, started
from bench.result import Context, Result, compared
from bench.server import valkey

SHARE, MOST = 0.7, 5.0
PEAKS = ((1, CONNECTIONS), (2, 2 * CONNECTIONS), (2, 4 * CONNECTIONS))  # generators, connections
GENERATORS = 2 if CORES > 2 else 1  # at a constant rate; on two cores they would share Redis's

Said = dict[str, list[dict[str, Any]]]  # by program, the answers of its runs


def run(context: Context) -> list[Result]:
    """P17."""
    rounds, seconds = (1, 1) if context.quick else (4, 3)
    file = trial.records(context.folder, seconds)
    said: Said = {"service": [], "noop": []}
    with valkey(context.folder) as redis:
        trial.fill(redis)
        with (
            started("service", redis, context.folder) as (worker, port),
            started("noop", redis, context.folder) as (_, noop_port),
        ):
            context.say("latency: the worker's peak")
            peak, used, first = _peak(port, file, worker, 1 if context.quick else 3)
            Wrk(noop_port, Load(file)).run(1)
            before = trial.outcomes_of([port])
            for number in range(rounds):
                context.say(f"latency at {SHARE:.0%} of the peak, {number + 1} of {rounds}")
                for name in ("service", "noop") if number % 2 == 0 else ("noop", "service"):
                    to = port if name == "service" else noop_port
                    answer = _at_rate(to, file, first, SHARE * peak, seconds)
                    first += answer["sent"] if name == "service" else 0
                    said[name].append(answer)
            outcomes = dict(trial.outcomes_of([port]) - before)
    return [row(peak, used, said, outcomes)]


def _peak(port: int, file: Path, worker: Program, rounds: int) -> tuple[float, float, int]:
    """The highest median of heartbeats per second, the worker's share of its core then, and the
    record that is to be sent next."""
    first, best = 0, (0.0, 0.0)
    for generators, connections in PEAKS:
        wrk = Wrk(port, Load(file, 1, connections, generators), other_cores())
        wrk.next_record = first
        warm = wrk.run(1)
        runs = []
        for _ in range(rounds):
            trial.lengthen(file, wrk.next_record + 3 * warm.per_second)
            before_s = worker.cpu_s()
            replies = wrk.run(2)
            runs.append((replies.per_second, (worker.cpu_s() - before_s) / replies.seconds))
            if not replies.is_valid:
                raise RuntimeError(f"{replies.bad_status} refusals at the peak")
        first = wrk.next_record
        best = max(best, sorted(runs)[len(runs) // 2])
    return *best, first


def _at_rate(port: int, file: Path, first: int, rate: float, seconds: float) -> dict[str, Any]:
    """What the generators saw, together: each has its part of the rate and its turn of records."""
    trial.lengthen(file, first + 1.1 * rate * (seconds + WARM_UP_S))
    each = rate / GENERATORS
    begun = []
    for number in range(GENERATORS):
        arguments = [str(port), str(file), str(first + number), str(each), str(seconds)]
        command = ["-m", "bench.constant_rate", *arguments, str(GENERATORS)]
        begun.append(
            subprocess.Popen(
                [*other_cores(), sys.executable, *command],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    answers = []
    for process in begun:
        printed, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"constant_rate: {printed[-500:]}")
        answers.append(json.loads(printed.partition("RESULT ")[2]))
    times, late = (sorted(ms for a in answers for ms in a[name]) for name in ("ms", "late_ms"))
    return {
        "sent": sum(answer["sent"] for answer in answers),
        "bad": sum(answer["bad"] for answer in answers),
        "busy": max(answer["busy"] for answer in answers),
        "99": percentile(times, 99),
        "late": percentile(late, 99),
    }


def row(peak: float, used: float, said: Said, outcomes: Mapping[str, int]) -> Result:
    """P17 of what was said."""
    ours, theirs = ([answer["99"] for answer in said[name]] for name in ("service", "noop"))
    at_share = [*said["service"], *said["noop"]]
    bad, sent = (sum(answer[name] for answer in at_share) for name in ("bad", "sent"))
    notes = [
        f"peak {peak:,.0f}/s, at which the worker used {used:.0%} of its core",
        f"the generator itself was late by {max(a['late'] for a in at_share):.2f} ms at p99, and "
        f"used {max(a['busy'] for a in at_share):.0%} of a core",
    ]
    if bad:
        notes.append(f"{bad:,} of {sent:,} heartbeats not answered by 204")
    if outcomes and not mix.is_as_meant(outcomes):
        notes.append(f"the mix was {trial.shares(outcomes)}")
    what = f"p99 latency at {SHARE * peak:,.0f} heartbeats/s, {SHARE:.0%} of the worker's peak"
    against = "uvicorn, empty 204, same rate"
    result = compared("P17", what, ours, against, theirs, MOST, "; ".join(notes), unit="ms")
    result.reached = bool(result.reached) and not bad
    return result
