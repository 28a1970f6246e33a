"""How fast endpoints are served, and for how long a message is tried."""

import random
from typing import NamedTuple


class Pace(NamedTuple):
    """Times in seconds. `lease_s`: how long an endpoint waits for a copy that died; longer than
    two tries. `grace_s`: how long after nobody could be seen nobody is told as gone."""

    grace_s: float = 35.0
    tick_s: float = 1.0
    lease_s: float = 15.0
    try_s: float = 5.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    give_up_s: float = 300.0
    paused_look_s: float = 5.0

    def pause_s(self, failures: int, asked_s: float = 0.0) -> float:
        """How long to wait after so many failed tries: twice as long each time, with jitter, and as
        long as the answer asks for, but never longer than the longest pause."""
        longest = min(self.longest_pause_s, self.first_pause_s * 2 ** min(failures, 16))
        pause_s = random.uniform(max(self.first_pause_s, longest / 2), longest)  # noqa: S311
        return max(pause_s, min(asked_s, self.longest_pause_s))
