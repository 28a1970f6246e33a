"""The rate limiter, with a clock of the test's own."""

from service.api import rate_limits as limits
from service.api.rate_limits import RateLimiter


class Clock:
    """Seconds as the test gives them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(20, 40, clock)
    assert [limiter.wait_s("a") for _ in range(40)] == [0.0] * 40
    wait_s = limiter.wait_s("a")
    assert 0 < wait_s <= 0.05
    clock.now_s += 0.05
    assert limiter.wait_s("a") == 0
    assert limiter.wait_s("a") > 0


def test_refused_calls_do_not_count() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 1, clock)
    assert limiter.wait_s("a") == 0
    assert all(limiter.wait_s("a") > 0 for _ in range(100))
    clock.now_s += 1
    assert limiter.wait_s("a") == 0


def test_addresses_do_not_share() -> None:
    limiter = RateLimiter(1, 1, Clock())
    assert limiter.wait_s("a") == 0
    assert limiter.wait_s("a") > 0
    assert limiter.wait_s("b") == 0


def test_the_wait_is_long_enough() -> None:
    clock = Clock()
    limiter = RateLimiter(3, 2, clock)
    while (wait_s := limiter.wait_s("a")) == 0:
        pass
    clock.now_s += wait_s + 1e-9
    assert limiter.wait_s("a") == 0


def test_zero_turns_it_off() -> None:
    limiter = RateLimiter(0, 0, Clock())
    assert all(limiter.wait_s("a") == 0 for _ in range(1000))


def test_memory_is_bounded() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 2, clock)
    for n in range(limits._MOST_ADDRESSES + 1000):
        limiter.wait_s(str(n))
    assert len(limiter._full_at) <= limits._MOST_ADDRESSES
