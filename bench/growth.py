"""How costs grow, where one core ends, and what large deployments need: arithmetic on what was
measured, written out."""

from collections.abc import Sequence

from bench.result import Result

INTERVAL_S = 30  # HEARTBEAT_INTERVAL's default
FULL = 0.7  # how busy a core may be planned to be: P17 is measured there
DEPLOYMENTS = (1_000_000, 10_000_000, 100_000_000)

_HEADS = ("what grows", "a heartbeat", "`active`", "`stats`", "memory", "measured by")
_SMALLER = "nothing but smaller batches"
_STRUCTURES = (
    (
        "sessions S of a site",
        "O(log S)",
        "O(log S)",
        "O(log S): counters are kept",
        "O(S)",
        "P8 P9 P10",
    ),
    ("pages P of a site", "O(log P)", "–", "O(log P + pages shown)", "O(P)", "P9"),
    ("sites", _SMALLER, "–", "–", "some 10 keys each", "P7"),
    ("copies of the service", _SMALLER, "–", "–", "–", "P15"),
    ("shards of a site", _SMALLER, "a call each", "a call each", "some 10 keys each", "P16"),
)


def markdown(results: Sequence[Result]) -> str:
    """The chapter on growth; the numbers are missing where they were not measured."""
    rows = [_HEADS, ("---",) * len(_HEADS), *_STRUCTURES]
    text = "How the cost of each structure grows:\n\n"
    text += "".join(f"| {' | '.join(row)} |\n" for row in rows)
    by_id = {result.id: result for result in results}
    cases = by_id["P2"].detail.get("cases", {}) if "P2" in by_id else {}
    ours = cases.get("this service")
    if not ours:
        return text
    service_us, redis_us = ours["program_us"], ours["redis_us"]
    return text + "\n" + _ends(service_us, redis_us) + "\n" + _table(by_id, service_us, redis_us)


def _ends(service_us: float, redis_us: float) -> str:
    lines = [
        "Where one core ends, at the mix above, sessions beating every "
        f"{INTERVAL_S} s (sessions = heartbeats/s × {INTERVAL_S}):\n",
        "| one core of | µs per heartbeat | heartbeats/s (10⁶ ÷ µs) | concurrent sessions |",
        "|---|--:|--:|--:|",
    ]
    for name, cost_us in (("the service", service_us), ("Redis", redis_us)):
        rate = 1e6 / cost_us
        lines.append(f"| {name} | {cost_us:.1f} | {rate:,.0f} | {rate * INTERVAL_S:,.0f} |")
    return "\n".join(lines) + "\n"


def _table(by_id: dict[str, Result], service_us: float, redis_us: float) -> str:
    memory = by_id.get("P8")
    bytes_each = memory.value if memory and memory.value == memory.value else None
    lines = [
        "What a deployment needs: heartbeats/s = sessions ÷ "
        f"{INTERVAL_S}; cores = heartbeats/s × µs ÷ 10⁶ ÷ {FULL:g}, for cores {FULL:.0%} busy"
        + (f"; memory = sessions × {bytes_each:.0f} B" if bytes_each else "")
        + ":\n",
        "| concurrent sessions | heartbeats/s | service cores | Redis cores (shards or sites) | "
        "Redis memory |",
        "|--:|--:|--:|--:|--:|",
    ]
    for sessions in DEPLOYMENTS:
        rate = sessions / INTERVAL_S
        needed = f"{sessions * bytes_each / 2**30:,.1f} GiB" if bytes_each else "not measured"
        lines.append(
            f"| {sessions:,} | {rate:,.0f} | {rate * service_us / 1e6 / FULL:,.1f} | "
            f"{rate * redis_us / 1e6 / FULL:,.1f} | {needed} |"
        )
    return "\n".join(lines) + "\n"
