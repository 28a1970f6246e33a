"""P17: latency under a load that does not wait for the server (see bench/constant_rate.py).

What is sent goes on where it stopped: the mix is a history, and a session that skips a part of it
moves where it should only refresh.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import mix, trial
from bench.constant_rate import WARM_UP_S, percentile
from bench.load import Load, Wrk
from bench.processes import LOAD_CORE, Program, cores
from bench.programs import ROOT, started
from bench.result import Context, Result, compared
from bench.server import valkey

SHARE, MOST = 0.7, 5.0

Said = dict[str, list[dict[str, Any]]]  # by program, the answers of its runs


def run(context: Context) -> list[Result]:
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
    """Heartbeats per second, the worker's share of its core then, and the next record."""
    wrk = Wrk(port, Load(file))
    warm, runs = wrk.run(1), []
    for _ in range(rounds):
        trial.lengthen(file, wrk.next_record + 3 * warm.per_second)
        before_s = worker.cpu_s()
        replies = wrk.run(2)
        runs.append((replies.per_second, (worker.cpu_s() - before_s) / replies.seconds))
        if not replies.is_valid:
            raise RuntimeError(f"{replies.bad_status} refusals at the peak")
    return *sorted(runs)[rounds // 2], wrk.next_record


def _at_rate(port: int, file: Path, first: int, rate: float, seconds: float) -> dict[str, Any]:
    """What the generator saw."""
    trial.lengthen(file, first + 1.1 * rate * (seconds + WARM_UP_S))
    arguments = [str(port), str(file), str(first), str(rate), str(seconds)]
    command = [*cores(LOAD_CORE), sys.executable, "-m", "bench.constant_rate", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"constant_rate: {done.stderr[-500:]}")
    said = json.loads(done.stdout.partition("RESULT ")[2])
    return {**said, "99": percentile(sorted(said["ms"]), 99)}


def row(peak: float, used: float, said: Said, outcomes: Mapping[str, int]) -> Result:
    """P17 of what was said."""
    ours, theirs = ([answer["99"] for answer in said[name]] for name in ("service", "noop"))
    at_share = [*said["service"], *said["noop"]]
    bad, sent = (sum(answer[name] for answer in at_share) for name in ("bad", "sent"))
    notes = [f"peak {peak:,.0f}/s, at which the worker used {used:.0%} of its core"]
    if bad:
        notes.append(f"{bad:,} of {sent:,} heartbeats not answered by 204")
    if outcomes and not mix.is_as_meant(outcomes):
        notes.append(f"the mix was {trial.shares(outcomes)}")
    what = f"p99 latency at {SHARE * peak:,.0f} heartbeats/s, {SHARE:.0%} of the worker's peak"
    against = "uvicorn, empty 204, same rate"
    result = compared("P17", what, ours, against, theirs, MOST, "; ".join(notes), unit="ms")
    result.reached = bool(result.reached) and not bad
    return result
