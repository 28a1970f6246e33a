"""P15: what one heartbeat costs Redis when several copies of the service share the load: batches
are smaller then, and conflicts there are none."""

from statistics import median

from bench import trial
from bench.load import Load
from bench.programs import copies
from bench.result import Context, Result, compared
from bench.server import valkey
from bench.trial import Cost

COUNTS = (1, 2, 4)
MOST = 1.15


def run(context: Context) -> list[Result]:
    rounds, seconds = (1, 1) if context.quick else (3, 3)
    counts = (COUNTS[0], COUNTS[-1]) if context.quick else COUNTS
    costs: dict[int, list[Cost]] = {count: [] for count in counts}
    load = Load(trial.records(context.folder, seconds))
    with valkey(context.folder) as redis:
        for number in range(rounds):
            for count in counts if number % 2 == 0 else counts[::-1]:
                context.say(f"{count} copies behind nginx, round {number + 1} of {rounds}")
                trial.fill(redis)
                with copies(count, redis, context.folder) as (running, port):
                    programs, ports = zip(*running, strict=True)
                    cost = trial.measure(programs, ports, port, redis, load, seconds, 1)
                costs[count].append(cost)
    redis_us = {count: median(cost.redis_us for cost in runs) for count, runs in costs.items()}
    dearest = max(counts[1:], key=lambda count: redis_us[count])
    return [
        compared(
            "P15",
            "Redis CPU per heartbeat with several copies, the dearest",
            [cost.redis_us for cost in costs[dearest]],
            "1 copy",
            [cost.redis_us for cost in costs[1]],
            MOST,
            ", ".join(f"{count}: {value:.1f} µs" for count, value in redis_us.items()),
        )
    ]
