"""P1 to P4 with P1b, P7 and P13: CPU per heartbeat, the service's and the peers', side by side.

Each round runs every program once, in an order that rotates, on the same Redis filled anew. Where
the mix does not come out as meant, the window is set by the measured rate and the run made again.
"""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from bench import mix, trial
from bench.load import Load
from bench.programs import TITLES, started
from bench.result import Context, Result, compared, not_measured
from bench.server import Valkey, valkey
from bench.trial import Cost

PER_BATCH = 500
BATCH_CONNECTIONS = 4  # 64 would have 32,000 heartbeats on their way, more than may wait
SITES = 1_000
ATTEMPTS = 3


@dataclass(frozen=True)
class Case:
    """A program under a load."""

    program: str
    sites: int = 1
    per_request: int = 1
    by_proxy: bool = False

    @property
    def title(self) -> str:
        sites = f", {self.sites:,} sites" if self.sites > 1 else ""
        batches = f", batches of {self.per_request}" if self.per_request > 1 else ""
        return TITLES[self.program] + sites + batches + ", by a proxy" * self.by_proxy


SERVICE = Case("service")
ROWS = {
    # id: what, the case measured, the case it is held against, the most it may be of that
    "P1": ("service CPU per heartbeat, one worker", SERVICE, Case("noop"), 1.35),
    "P1b": ("P1, no two heads alike", Case("proxied", 1, 1, True), Case("noop", 1, 1, True), 1.35),
    "P2": ("service + Redis CPU per heartbeat", SERVICE, Case("fastify"), 0.6),
    "P3": ("service + Redis CPU per heartbeat", SERVICE, Case("nginx"), 0.65),
    "P4": ("service + Redis CPU per heartbeat", SERVICE, Case("naive"), 0.2),
    "P7": (f"the same mix over {SITES:,} sites", Case("service", SITES), SERVICE, 1.3),
    "P13": (
        f"batch endpoint, {PER_BATCH} heartbeats per request",
        Case("service", 1, PER_BATCH),
        Case("fastify", 1, PER_BATCH),
        0.8,
    ),
}


def run(context: Context) -> list[Result]:
    wanted = [id for id in ROWS if context.wants(id)]
    cases = list(dict.fromkeys(case for id in wanted for case in ROWS[id][1:3]))
    rounds, seconds = (1, 1) if context.quick else (3, 3)
    costs: defaultdict[Case, list[Cost]] = defaultdict(list)
    failures: dict[Case, str] = {}
    with valkey(context.folder) as redis:
        for number in range(rounds):
            shift = number * max(1, len(cases) // rounds) % len(cases)
            for case in cases[shift:] + cases[:shift]:
                context.say(f"CPU per heartbeat, round {number + 1} of {rounds}: {case.title}")
                try:
                    costs[case].append(_try(context, redis, case, seconds))
                except Exception as failure:  # one trial less, and it is told
                    failures[case] = f"{case.title}: {type(failure).__name__.lower()}: {failure}"
    return [_row(id, costs, failures) for id in wanted]


def _try(context: Context, redis: Valkey, case: Case, seconds: float) -> Cost:
    connections = BATCH_CONNECTIONS if case.per_request > 1 else Load.connections
    file = trial.records(context.folder, seconds, case.sites)
    load = Load(file, case.per_request, connections, by_proxy=case.by_proxy)
    dedup_s = mix.DEDUP_S
    for _ in range(ATTEMPTS):
        trial.fill(redis, case.sites)
        running = started(case.program, redis, context.folder, case.sites, dedup_s)
        with running as (program, port):
            cost = trial.measure([program], [port], port, redis, load, seconds, 1)
        if cost.is_as_meant:
            break
        dedup_s = mix.window_s(cost.per_second, connections * case.per_request)
    return cost


def _row(id: str, costs: dict[Case, list[Cost]], failures: dict[Case, str]) -> Result:
    what, case, other, most = ROWS[id]
    notes = [failures[c] for c in (case, other) if c in failures]
    if not (costs.get(case) and costs.get(other)):
        return not_measured(id, what, f"≤ {most:g} ×", "; ".join(notes))
    notes += [
        f"{c.title}: the mix was {trial.shares(cost.outcomes)}"
        for c in (case, other)
        for cost in costs[c]
        if not cost.is_as_meant
    ]
    values, baselines = (
        [cost.program_us if id in ("P1", "P1b") else cost.total_us for cost in costs[c]]
        for c in (case, other)
    )
    detail = {"cases": {c.title: _detail(costs[c]) for c in (case, other)}}
    return compared(id, what, values, other.title, baselines, most, "; ".join(notes), detail)


def _detail(costs: list[Cost]) -> dict[str, float]:
    names = "program_us", "redis_us"
    return {name: median(getattr(cost, name) for cost in costs) for name in names}
