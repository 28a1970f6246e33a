"""What was tried where a bar is missed: shown under the table for the rows that are."""

TRIED: dict[str, str] = {
    "P5": "SET 64 in a pipeline is the harder comparison: awaited one by one it costs several "
    "times as much, and the figures held against that are in the row's note. It is one write; a "
    "refresh reads and writes the session's hash, its TTL and the index, and a move the pages' "
    "counters, an event, a view with its marker and the totals as well, all decided in Lua.",
    "P12": "Stalls: `hz` 500 instead of Redis's default of 10, so that the expiry cycle takes half "
    "a millisecond at one go and not 25; sweeps of 150 sessions instead of 250, reads that sweep "
    "100 instead of 200. What is left is a sweep, a read and an expiry cycle back to back between "
    "two pings, and whatever else the machine did in it. Page counts: sweeps of 50 and of 100, "
    "two of them on their way at the same time, were no faster on a busy machine of two cores.",
    "P16": "Tags chosen by slot, which gives each of three equal nodes four of twelve shards.",
    "P17": "A worker far below its peak sends small batches, and so pays for a call to Redis more "
    "often: at 70 % of the heartbeats it is busier than 70 %. Python's full garbage collection "
    "holds everything for some 15 ms, every few seconds; `gc.freeze()` after the start was tried, "
    "and was not to be told from noise on a busy machine.",
    "P18": "Nothing: it is measured as soon as there is something to measure.",
}


def tried(id: str) -> str:
    """What was tried for a row, in a sentence or two; empty where nobody has written it down."""
    return TRIED.get(id, "")
