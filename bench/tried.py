"""What was tried where a bar is missed: shown under the table for the rows that are."""

TRIED: dict[str, str] = {
    "P1": "Answering before uvicorn's scope, cycle and task are made, counters stepped once per "
    "turn of the event loop, one timer for a connection's idleness: 48 to 14 µs of Python.",
    "P2": "As P1; script calls packed in C and sent over one connection without a pool or a task, "
    "and a script that answers most heartbeats at once.",
    "P3": "As P2.",
    "P4": "As P2.",
    "P5": "Members read by one ZMSCORE and renewed by one ZADD for all heartbeats of a site, "
    "counters read and written once per call. What is left is Lua: keys split, members put "
    "together, a call of a command from a script.",
    "P5b": "What a lone heartbeat pays is the call: 20 keys, 14 arguments, and the part of the "
    "script that is defined before it returns.",
    "P6": "As P5.",
    "P7": "One call for up to 128 heartbeats of many sites, as many calls as with one site. What "
    "is left is what each site asks once: its 18 keys, its counters, memory out of the caches.",
    "P8": "One hash of short fields and one member for each session, markers without a value.",
    "P12": "`hz` 500 instead of 10, sweeps of 150 sessions instead of 250. What is left is a sweep "
    "and an expiry cycle back to back between two pings.",
    "P13": "Heartbeats gathered without a future each, repeats found by counting quotes. Two "
    "thirds of what is left is Redis, in calls of 128.",
    "P15": "Four copies share the 64 connections, so that a call carries 12 heartbeats instead of "
    "31. A copy begins calls 5 ms apart unless 24 wait: 80 calls per 1,000 instead of 130; 3 and "
    "10 ms, and 16 instead of 24, were no better.",
    "P16": "Tags chosen by slot, which gives each of three equal nodes four of twelve shards.",
    "P17": "A heartbeat waits for the call that is on its way and for its own, where the empty "
    "answer waits for nobody. Calls 2 ms apart or not paced at all: p99 the same. What stays for "
    "ever is out of the garbage collector's way.",
    "P18": "One state machine; what few pages need in a file of its own; no referrer.",
}
