"""P1 to P4, P7 and P13: CPU per heartbeat, the service's and the peers', side by side.

Each round runs every program once, in an order that rotates, on the same Redis emptied and filled
anew; figures are medians over the rounds.
"""

from collections import defaultdict
from dataclasses import dataclass

from bench import trial
from bench.load import Load
from bench.programs import TITLES, started
from bench.result import Context, Result
from bench.server import Valkey, valkey
from bench.trial import Cost, middle, spread

PER_BATCH = 500
BATCH_CONNECTIONS = 4  # 64 would have 32,000 heartbeats on their way, more than may wait
SITES = 1_000


@dataclass(frozen=True)
class Case:
    """A program under a load."""

    program: str
    sites: int = 1
    per_request: int = 1


SERVICE = Case("service")
MANY_SITES = Case("service", sites=SITES)
BATCHES = Case("service", per_request=PER_BATCH)
_NEEDS: dict[str, tuple[Case, ...]] = {
    "P1": (SERVICE, Case("noop")),
    "P2": (SERVICE, Case("fastify"), Case("fastify-plain")),
    "P3": (SERVICE, Case("nginx")),
    "P4": (SERVICE, Case("naive")),
    "P7": (SERVICE, MANY_SITES),
    "P13": (SERVICE, BATCHES),
}
IDS = tuple(_NEEDS)


def run(context: Context) -> list[Result]:
    """The rows that are wanted."""
    needed = dict.fromkeys(case for id in IDS if context.wants(id) for case in _NEEDS[id])
    # No row is held against some of them: they are for the plot, which --quick does not draw.
    judged = {case for id in IDS for case in _ROWS[id][1:3]}
    cases = [case for case in needed if case in judged or not context.quick]
    costs, failures = _rounds(context, cases)
    return [_row(id, costs, failures) for id in IDS if context.wants(id)]


def _rounds(context: Context, cases: list[Case]) -> tuple[dict[Case, list[Cost]], dict[Case, str]]:
    rounds, seconds, warm_up_s = (1, 1, 1) if context.quick else (3, 3, 1)
    costs: defaultdict[Case, list[Cost]] = defaultdict(list)
    failures: dict[Case, str] = {}
    context.progress.start("CPU per heartbeat", rounds * len(cases))
    with valkey(context.folder) as redis:
        for number in range(rounds):
            shift = number * max(1, len(cases) // rounds) % len(cases)
            for case in cases[shift:] + cases[:shift]:
                context.progress.step(_title(case))
                try:
                    costs[case].append(_try(context, redis, case, seconds, warm_up_s))
                except Exception as failure:  # one trial less, and it is told
                    failures[case] = f"{type(failure).__name__.lower()}: {failure}"
    return costs, failures


def _try(context: Context, redis: Valkey, case: Case, seconds: float, warm_up_s: float) -> Cost:
    load = Load(
        trial.records(context.folder, 4 * seconds if case.per_request > 1 else seconds, case.sites),
        case.per_request,
        BATCH_CONNECTIONS if case.per_request > 1 else Load.connections,
    )
    trial.fill(redis, case.sites)
    with started(case.program, redis, context.folder, case.sites) as (program, port):
        return trial.measure([program], [port], port, redis, load, seconds, warm_up_s)


def _title(case: Case) -> str:
    title = TITLES[case.program]
    if case.sites > 1:
        title += f", {case.sites:,} sites"
    if case.per_request > 1:
        title += f", batches of {case.per_request}"
    return title


_ROWS = {
    # id: what, the case measured, the case it is held against, the most it may be of that
    "P1": ("service CPU per heartbeat, one worker", SERVICE, Case("noop"), 1.7),
    "P2": ("service + Redis CPU per heartbeat", SERVICE, Case("fastify"), 0.8),
    "P3": ("service + Redis CPU per heartbeat", SERVICE, Case("nginx"), 0.9),
    "P4": ("service + Redis CPU per heartbeat", SERVICE, Case("naive"), 0.25),
    "P7": (f"the same mix over {SITES:,} sites", MANY_SITES, SERVICE, 1.6),
    "P13": (f"batch endpoint, {PER_BATCH} per request", BATCHES, SERVICE, 0.35),
}


def _row(id: str, costs: dict[Case, list[Cost]], failures: dict[Case, str]) -> Result:
    what, case, other, most = _ROWS[id]
    bar = f"≤ {most:g} ×"
    against = _title(other)
    missing = next((c for c in (case, other) if not costs.get(c)), None)
    if missing:
        note = f"not measured: {_title(missing)}: {failures.get(missing, '')}"
        return Result(id, what, float("nan"), "µs", against, None, None, bar, False, note=note)

    def figure(cost: Cost) -> float:
        return cost.program_us if id == "P1" else cost.total_us

    values = [figure(cost) for cost in costs[case]]
    baselines = [figure(cost) for cost in costs[other]]
    value, baseline = middle(values), middle(baselines)
    ratio = value / baseline
    notes = [failures[c] for c in (case, other) if c in failures]
    return Result(
        id,
        what,
        value,
        "µs",
        against,
        baseline,
        ratio,
        bar,
        ratio <= most,
        f"{spread(values)} against {spread(baselines)}" if len(values) > 1 else "",
        "; ".join(notes),
        {"cases": {_title(c): _detail(costs[c]) for c in _NEEDS[id] if costs.get(c)}},
    )


def _detail(costs: list[Cost]) -> dict[str, float | str]:
    """The medians of one case, for plots, growth and the JSON."""
    return {
        "program_us": middle([cost.program_us for cost in costs]),
        "redis_us": middle([cost.redis_us for cost in costs]),
        "per_second": middle([cost.per_second for cost in costs]),
        "calls_per_1000": middle([cost.calls for cost in costs]),
        "mix": trial.shares(costs[-1].outcomes) if costs[-1].outcomes else "not counted",
    }
