"""P14: the conflicts that bench.conflicts counts, as a row."""

from bench.conflicts import WANDERING, measure, private_valkey
from bench.result import Context, Result


async def run(context: Context) -> list[Result]:
    """P14."""
    context.progress.start("conflicts", 1)
    context.progress.step("64 clients, one session")
    with private_valkey() as url:
        rows = await measure(url, WANDERING // (4 if context.quick else 1))
    tallies = {(name, pages): tally for name, pages, tally in rows}
    ours = tallies["presence", 1]
    retries = sum(tally.retries for (name, _), tally in tallies.items() if name == "presence")
    others = [
        f"{name}: {tally.writes:,} writes, {tally.retries:,} retries"
        for (name, pages), tally in tallies.items()
        if pages == 1 and name != "presence"
    ]
    return [
        Result(
            "P14",
            "64 clients, one session, 10,000 heartbeats in one window: writes made",
            ours.writes,
            "writes",
            "WATCH/MULTI; GET then SET",
            tallies["WATCH / MULTI", 1].writes,
            None,
            "exactly 1, 0 retries",
            ours.writes == 1 and retries == 0,
            note=f"{retries} retries; {'; '.join(others)}",
            detail={
                "programs": {
                    f"{name}, {pages} pages": {
                        "heartbeats": sum(tally.outcomes.values()),
                        "writes": tally.writes,
                        "retries": tally.retries,
                        "created": tally.outcomes["created"],
                        "on_pages": tally.on_pages,
                    }
                    for (name, pages), tally in tallies.items()
                }
            },
        )
    ]
