"""What was tried where a bar is missed: shown under the table for the rows that are."""

TRIED: dict[str, str] = {
    "P5": "SET 64 in a pipeline is the harder comparison: awaited one by one it costs several "
    "times as much, and the figures held against that are in the row's note. It is one write; a "
    "refresh reads and writes the session's hash, its TTL and the index, and a move the pages' "
    "counters, an event, a view with its marker and the totals as well, all decided in Lua.",
    "P1": "Answering before uvicorn's scope, cycle and task are made (48 to 17 µs of Python a "
    "request; an empty ASGI app takes 14), counters stepped once per turn of the event loop, one "
    "timer for a connection's idleness instead of one for each request (17 to 14 µs).",
    "P2": "The same, script calls packed in C and sent over one connection without a pool or a "
    "task (383 to 230 µs for a call of 30), and scripts that answer most heartbeats at once.",
    "P3": "As P2.",
    "P4": "As P2.",
    "P7": "One call for the heartbeats of up to 128 on many sites, each site isolated from the "
    "errors of the others; as many calls as with one site. What is left is what a site asks once: "
    "its keys (18, each packed, sent and parsed), the checks of their types before the first write "
    "of a move, its counters and its clock of expiry, and memory that has left the caches: the "
    "spread of one run is wider than what can still be saved. Waiting for 40 instead of 24: as "
    "many calls, nothing gained. glibc's malloc, with which this Valkey is built and which is a "
    "quarter of Redis's part, told to keep 4,000 chunks of a size at hand instead of 7: no better.",
    "P12": "Stalls: `hz` 500 instead of Redis's default of 10, so that the expiry cycle takes half "
    "a millisecond at one go and not 25; sweeps of 150 sessions instead of 250, reads that sweep "
    "100 instead of 200. What is left is a sweep, a read and an expiry cycle back to back between "
    "two pings, and whatever else the machine did in it. Page counts: sweeps of 50 and of 100, "
    "two of them on their way at the same time, were no faster on a busy machine of two cores.",
    "P13": "Heartbeats gathered without a future each, members that are there twice found by "
    "counting quotes instead of decoding again. Two thirds of what is left is Redis, in calls of "
    "128. The row is held against P2's figure, which has come down by more than its own, and "
    "with which the ratio varies: 0.33 to 0.57 on the same two cores.",
    "P15": "Four copies share the 64 connections: a call carries 12 of the 16 heartbeats that a "
    "copy can have waiting, some 80 calls for 1,000 heartbeats instead of 32. More heartbeats "
    "make a call cheaper for each mostly by keeping Redis at work, with warm caches: 12 in a "
    "call cost it 130 µs back to back and 330 µs after a pause of 5 ms. A copy begins calls of "
    "several heartbeats 5 ms apart unless 24 wait: some 80 calls instead of 130, and 10 to 20 % "
    "less of Redis; 3 and 10 ms, and 16 instead of 24, were no better. Calls of 16, which is all "
    "there can be, would still be 62 for 1,000, and some 1.2 ×. With as many connections for "
    "each copy as one copy has here the calls are as large as with one.",
    "P16": "Tags chosen by slot, which gives each of three equal nodes four of twelve shards.",
    "P17": "A heartbeat waits for the call that is on its way and for its own, some 1.7 ms each at "
    "this rate, where the empty answer waits for nobody: p50 is two to three milliseconds, p99 "
    "five to six. Calls 2 ms apart or not paced at all, and 12 enough to end a pause instead of "
    "24: p50 the same or higher, p99 the same. More than that are moments in which the "
    "generator holds the core that it shares with Redis, before which it runs: commands of a "
    "microsecond then took up to 5 ms by Redis's slow log, and the empty answer needs no Redis. "
    "What stays for ever is out of the garbage collector's way (`gc.freeze()`; a full collection "
    "took 46 ms).",
    "P18": "One state machine without a special case for background, prerendering and the "
    "back-forward cache; what few pages need (live numbers, locks without Web Locks) in a file of "
    "its own; no referrer.",
}


def tried(id: str) -> str:
    """What was tried for a row, in a sentence or two; empty where nobody has written it down."""
    return TRIED.get(id, "")
