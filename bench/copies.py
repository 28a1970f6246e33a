"""P15: what one heartbeat costs Redis when several copies of the service share the load: batches
are smaller then, and conflicts there are none."""

from bench import trial
from bench.load import Load
from bench.programs import copies
from bench.result import Context, Result
from bench.server import valkey
from bench.trial import Cost, middle, spread

COUNTS = (1, 2, 4)
MOST = 1.2


def run(context: Context) -> list[Result]:
    """P15."""
    rounds, seconds = (1, 1) if context.quick else (2, 3)
    counts = (COUNTS[0], COUNTS[-1]) if context.quick else COUNTS
    costs: dict[int, list[Cost]] = {count: [] for count in counts}
    failure = ""
    context.progress.start("copies of the service", rounds * len(counts))
    load = Load(trial.records(context.folder, seconds))
    with valkey(context.folder) as redis:
        for number in range(rounds):
            for count in counts if number % 2 == 0 else counts[::-1]:
                context.progress.step(f"{count} behind nginx")
                trial.fill(redis)
                try:
                    with copies(count, redis, context.folder) as (running, port):
                        cost = trial.measure(
                            [program for program, _ in running],
                            [own for _, own in running],
                            port,
                            redis,
                            load,
                            seconds,
                            1,
                        )
                except Exception as problem:  # one trial less, and it is told
                    failure = f"{type(problem).__name__.lower()}: {problem}"
                else:
                    costs[count].append(cost)
    return [_row(costs, failure)]


def _row(costs: dict[int, list[Cost]], failure: str) -> Result:
    what = "Redis CPU per heartbeat with several copies, the dearest"
    bar = f"≤ {MOST:g} ×"
    if not all(costs.values()):
        note = f"not measured: {failure}"
        return Result("P15", what, float("nan"), "µs", "1 copy", None, None, bar, False, note=note)
    redis_us = {count: middle([cost.redis_us for cost in runs]) for count, runs in costs.items()}
    dearest = max((count for count in redis_us if count > 1), key=lambda count: redis_us[count])
    ratio = redis_us[dearest] / redis_us[1]
    each = ", ".join(f"{count}: {value:.1f} µs" for count, value in redis_us.items())
    calls = {count: middle([cost.calls for cost in runs]) for count, runs in costs.items()}
    return Result(
        "P15",
        what,
        redis_us[dearest],
        "µs",
        "1 copy",
        redis_us[1],
        ratio,
        bar,
        ratio <= MOST,
        spread([cost.redis_us for cost in costs[dearest]]),
        "; ".join(part for part in (each, failure) if part),
        {"redis_us": redis_us, "calls_per_1000": calls},
    )
