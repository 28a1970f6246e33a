"""What a copy of the service remembers of share tokens: how long, of how many sites, and what it
believes while Redis is away."""

import asyncio
from collections import Counter

import pytest

from service.api.share_tokens import (
    AGAIN_S,
    FRESH_S,
    MOST_SITES,
    ShareTokens,
    digest_of,
    make_share_token,
)
from service.errors import StoreUnreachable
from tests.conftest import MakeStore


@pytest.mark.parametrize(
    "token, is_one",
    [
        (b"share_-_" + b"Z9" * 20 + b"0", True),
        (b"share_" + b"a" * 43, True),
        (b"share_" + b"a" * 42, False),
        (b"share_" + b"a" * 44, False),
        (b"share_" + b"a" * 42 + b"\n", False),
        (b"share_" + b"a" * 42 + b"+", False),
        (b"SHARE_" + b"a" * 43, False),
        (b"open-sesame", False),
        (b"", False),
    ],
)
def test_what_is_a_share_token(token: bytes, is_one: bool) -> None:
    assert (digest_of(token) is not None) is is_one


def test_tokens_are_random() -> None:
    assert len({make_share_token() for _ in range(100)}) == 100


def new_digest() -> str:
    digest = digest_of(make_share_token().encode())
    assert digest
    return digest


class Time:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_two_copies(make_store: MakeStore) -> None:
    """On every backend: one makes and revokes, the other learns of it within the stated times."""
    time, digest = Time(), new_digest()
    store, other_store = make_store(), make_store()
    other = ShareTokens(other_store.share_digests, time)
    assert not await other.holds("blog", digest)
    await store.add_share("blog", "wall", digest)
    time.now_s += AGAIN_S
    assert await other.holds("blog", digest)
    assert not await other.holds("shop", digest), "another site"
    assert not await other.holds("blog", new_digest())

    await store.remove_share("blog", "wall")
    time.now_s += FRESH_S
    assert not await other.holds("blog", digest)


async def test_this_copy_knows_at_once(make_store: MakeStore) -> None:
    time, digest, store = Time(), new_digest(), make_store()
    tokens = ShareTokens(store.share_digests, time)
    assert not await tokens.holds("blog", digest)
    await store.add_share("blog", "wall", digest)
    tokens.forget("blog")
    assert await tokens.holds("blog", digest)
    await store.remove_share("blog", "wall")
    tokens.forget("blog")
    assert not await tokens.holds("blog", digest)


class Redis:
    """What a copy is told, how often it asked, and whether there is an answer."""

    def __init__(self, *digests: str) -> None:
        self.digests = frozenset(digests)
        self.asked: Counter[str] = Counter()
        self.is_away = False

    async def read(self, site: str) -> frozenset[str]:
        self.asked[site] += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnreachable("Redis cannot be reached")
        return self.digests


async def test_what_it_costs() -> None:
    time, digest = Time(), new_digest()
    redis = Redis(digest)
    tokens = ShareTokens(redis.read, time)
    for _ in range(50):
        assert all(await asyncio.gather(*(tokens.holds("blog", digest) for _ in range(20))))
        time.now_s += FRESH_S / 50
    assert redis.asked["blog"] <= 2, "one read, and the one that who comes meanwhile waits for"

    before = redis.asked["blog"]
    for _ in range(100):  # guesses make it look again, and not often
        assert not await tokens.holds("blog", new_digest())
        time.now_s += AGAIN_S / 50
    assert redis.asked["blog"] - before <= 4


async def test_what_it_holds() -> None:
    """Names of sites come from requests: what is remembered of them has an end."""
    redis = Redis()
    tokens = ShareTokens(redis.read, Time())
    digest = new_digest()
    for n in range(MOST_SITES + 100):
        assert not await tokens.holds(f"site-{n}", digest)
    assert len(tokens._known) == MOST_SITES


async def test_while_redis_is_away_nothing_opens() -> None:
    time, digest = Time(), new_digest()
    redis = Redis(digest)
    tokens = ShareTokens(redis.read, time)
    redis.is_away = True
    with pytest.raises(StoreUnreachable):
        await tokens.holds("blog", digest)
    assert not await tokens.lease("blog", digest).holds()

    redis.is_away = False
    assert await tokens.holds("blog", digest)
    redis.is_away = True
    assert await tokens.holds("blog", digest), "remembered, for no longer than it always is"
    time.now_s += FRESH_S
    with pytest.raises(StoreUnreachable):
        await tokens.holds("blog", digest)
    assert not await tokens.lease("blog", digest).holds()
    redis.is_away = False
    assert await tokens.lease("blog", digest).holds()


async def test_what_is_revoked_while_it_is_read_is_not_remembered_for_longer() -> None:
    """The answer is as old as the question."""
    time, digest = Time(), new_digest()
    redis = Redis(digest)
    tokens = ShareTokens(redis.read, time)
    asking = asyncio.create_task(tokens.holds("blog", digest))
    await asyncio.sleep(0)
    time.now_s += FRESH_S / 2  # a slow answer
    assert await asking
    redis.digests = frozenset()
    time.now_s += FRESH_S / 2
    assert not await tokens.holds("blog", digest)
