"""What one client address may do: send so many requests, show so many wrong tokens, and open so
many sessions, which the script counts."""

import math

from service.api.rate_limits import RateLimiter
from service.errors import RequestError

LIMITED = "this address has opened too many sessions in this minute"
LIMITED_S = 60  # from then on it may open more, whenever in its minute it was refused


class AddressLimits:
    """Counts the requests and the wrong tokens of each address, in this process."""

    def __init__(self, rate: float) -> None:
        self._requests = RateLimiter(rate, 2 * rate)
        self._guesses = RateLimiter(rate, 2 * rate)

    def count(self, address: str) -> None:
        """Counts a request. Raises RequestError, 429, when there were too many."""
        wait_s = self._requests.wait_s(address)
        if wait_s > 0:
            raise _too_many("requests", wait_s)

    def count_more(self, address: str, most: int) -> int:
        """Counts up to `most` further requests, such as the heartbeats of a batch; how many may be
        written."""
        for counted in range(most):
            if self._requests.wait_s(address) > 0:
                return counted
        return most

    def check_guesses(self, address: str) -> None:
        """Refuses an address that has shown too many wrong tokens, before the next is compared:
        the holder of a right one is not limited otherwise. Raises RequestError, 429."""
        wait_s = self._guesses.wait_s(address, counts=False)
        if wait_s > 0:
            raise _too_many("wrong tokens", wait_s)

    def note_guess(self, address: str) -> None:
        """Counts a token that was refused."""
        self._guesses.wait_s(address)


def _too_many(what: str, wait_s: float) -> RequestError:
    return RequestError(
        429,
        f"too many {what} from this address; slow down",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )


def limited() -> RequestError:
    """What is said to an address that opens too many sessions."""
    return RequestError(429, LIMITED, headers={"Retry-After": str(LIMITED_S)})
