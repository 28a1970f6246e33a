"""How often one client address may call: a token bucket each, in this process."""

import time
from collections.abc import Callable

_MOST_ADDRESSES = 50_000


class RateLimiter:
    """Admits `rate` calls per second and address, with bursts of up to `burst`.

    Kept as the moment at which an address's bucket is full again (GCRA, ITU-T I.371), which is one
    number per address. A rate of 0 admits all.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = 1 / rate if rate > 0 else 0.0
        self._slack_s = (burst - 1) * self._interval_s
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait_s(self, address: str) -> float:
        """0 and one call counted, or how many seconds to wait."""
        if not self._interval_s:
            return 0.0
        now = self._clock()
        full_at = max(self._full_at.get(address, now), now)
        if full_at - now > self._slack_s:
            return full_at - now - self._slack_s
        self._full_at[address] = full_at + self._interval_s
        if len(self._full_at) > _MOST_ADDRESSES:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        if len(self._full_at) > _MOST_ADDRESSES:
            # More addresses than can be told apart at once: begin again rather than grow.
            self._full_at.clear()
