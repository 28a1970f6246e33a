"""How often one client address may call, and how many streams it may hold, in this process."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

from service.errors import RequestError

_MOST_ADDRESSES = 50_000


class RateLimiter:
    """Lets through `rate` calls per second and address, with bursts of up to `burst`.

    Kept as the moment at which an address's bucket is full again (GCRA, ITU-T I.371), which is one
    number per address. A rate of 0 lets all through.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = 1 / rate if rate > 0 else 0.0
        self._slack_s = (burst - 1) * self._interval_s
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait_s(self, address: str, *, counts: bool = True) -> float:
        """Counts a call and returns 0, or returns the seconds to wait. Without `counts` it only
        looks."""
        if not self._interval_s:
            return 0.0
        now = self._clock()
        full_at = max(self._full_at.get(address, now), now)
        if full_at - now > self._slack_s:
            return full_at - now - self._slack_s
        if not counts:
            return 0.0
        self._full_at[address] = full_at + self._interval_s
        if len(self._full_at) > _MOST_ADDRESSES:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        if len(self._full_at) > _MOST_ADDRESSES:
            # More addresses than can be told apart at once: begin again rather than grow.
            self._full_at.clear()


class Slots:
    """Limits how many are held at once, in all and by one address."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._taken: Counter[str] = Counter()
        self.taken_in_all = 0

    @contextlib.contextmanager
    def taken(self, address: str) -> Iterator[None]:
        """Takes a slot for as long as the block lasts.

        Raises:
            RequestError: 429, the address has all it may have; 503, there is none left.
        """
        if self._taken.get(address, 0) >= self._most_each:
            raise RequestError(
                429,
                f"this address holds {self._most_each} streams already; close one",
                headers={"Retry-After": "30"},
            )
        if self.taken_in_all >= self._most:
            raise RequestError(
                503, "this copy holds as many streams as it can", headers={"Retry-After": "5"}
            )
        self._taken[address] += 1
        self.taken_in_all += 1
        try:
            yield
        finally:
            self.taken_in_all -= 1
            self._taken[address] -= 1
            if not self._taken[address]:
                del self._taken[address]
