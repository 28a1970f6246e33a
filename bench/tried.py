"""What was tried where a bar is missed: shown under the table for the rows that are."""

_SCRIPT = "One ZMSCORE and one ZADD for all heartbeats of a call; tables of full size."
_CALLS = "Calls packed in C, on one connection without a pool or a task."
TRIED: dict[str, str] = {
    "P1": "Answering before uvicorn's scope, cycle and task are made: 48 to 14 µs of Python.",
    "P2": _CALLS,
    "P3": _CALLS,
    "P4": _CALLS,
    "P5": _SCRIPT,
    "P5b": "What a lone heartbeat pays is the call: 17 keys and 13 arguments.",
    "P6": _SCRIPT,
    "P7": "One call for up to 128 heartbeats of many sites; what is left is each site's 18 keys.",
    "P12": "`hz` 500, not 10; sweeps of 75 sessions, not 250; a malloc that sets aside.",
    "P13": "Heartbeats gathered without a future each; two thirds of what is left is Redis.",
    "P15": "Calls begin 5 ms apart unless 24 wait: 18.7 µs. Not paced 21.4; 10 ms apart 24.1, as "
    "caches cool; all copies at the same moments: no less. Of 64 connections one of 4 has just 16.",
    "P17": "Not paced (CALL_PACE_S = 0): 2.9 ms as well; 8 waiting instead of 24: 2.6. Redis "
    "shares a core with who sends, who takes half of it; the empty server waits for nobody there.",
}
