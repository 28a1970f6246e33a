"""What each part of a heartbeat costs, in µs of CPU: see simulation/fit.py."""

import json
from dataclasses import astuple, dataclass
from hashlib import sha256
from math import exp
from pathlib import Path

FILE = Path(__file__).with_name("costs.json")


@dataclass(frozen=True)
class Costs:
    """Of a copy and of Redis, in µs: for each heartbeat, call, script of a call (in a cluster
    `cluster` more), and each time it is woken. What it finds cold then costs more: after a pause
    of several `cool` work costs 1 + `cold` times as much, which fades over `warm` of work; what
    others do on the core meanwhile is a pause of `evict` times as long. `sweep`: of a session that
    has gone; `redis_hz`: how often Redis wakes by itself; `generator`: who sends, and the balancer;
    `session_bytes`: Redis's memory."""

    copy_heartbeat: float = 0.0
    copy_call: float = 0.0
    copy_script: float = 0.0
    copy_cluster: float = 0.0
    copy_wake: float = 0.0
    copy_cold: float = 0.0
    copy_warm: float = 1.0
    copy_cool: float = 1.0
    copy_evict: float = 0.0
    redis_heartbeat: float = 0.0
    redis_call: float = 0.0
    redis_script: float = 0.0
    redis_cluster: float = 0.0
    redis_wake: float = 0.0
    redis_cold: float = 0.0
    redis_warm: float = 1.0
    redis_cool: float = 1.0
    redis_evict: float = 0.0
    redis_hz: float = 0.0
    redis_tick: float = 0.0
    sweep: float = 0.0
    generator: float = 0.0
    session_bytes: float = 0.0

    @classmethod
    def load(cls) -> "Costs":
        """As they were last measured."""
        return cls(**json.loads(FILE.read_text())["costs"])

    def rounded(self) -> "Costs":
        return Costs(*(round(figure, 2) for figure in astuple(self)))


def faded(amount: float, over: float) -> float:
    """The share of so much that has come after `over`: all of it in the end."""
    return 1 - exp(-amount / over)


def digest() -> str:
    """Of the file: which costs something was worked out of."""
    return sha256(FILE.read_bytes()).hexdigest()[:12]
