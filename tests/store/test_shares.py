"""Share tokens in Redis, the same on every backend, split or not."""

import asyncio
import hashlib

import pytest

from service.errors import StoreError
from service.ops.doctor import Doctor
from service.store.shares import MOST_SHARES
from tests.conftest import Clock, MakeStore

ONE, TWO = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
split = pytest.mark.parametrize("shards", [1, 3])


@split
async def test_a_share_holds_until_it_is_removed(make_store: MakeStore, shards: int) -> None:
    clock = Clock()
    store, copy = (make_store(clock, shards=shards) for _ in range(2))
    assert await store.shares("blog") == await copy.shares("blog")
    assert await store.share_digests("blog") == frozenset()

    made = await store.add_share("blog", "wall", ONE)
    assert made is not None
    assert (made.name, made.madeAt) == ("wall", clock.now_ms)
    assert await copy.add_share("blog", "frame", TWO) is not None
    assert [share.name for share in (await copy.shares("blog")).shares] == ["frame", "wall"]
    assert await copy.share_digests("blog") == {ONE, TWO}
    assert await copy.share_digests("blog.example") == frozenset(), "another site"

    assert await copy.remove_share("blog", "wall") is True
    assert await store.remove_share("blog", "wall") is False
    assert await store.share_digests("blog") == {TWO}


async def test_a_name_is_given_once(make_store: MakeStore) -> None:
    """However many copies of the service are asked for it at once."""
    stores = [make_store(Clock()) for _ in range(2)]
    digests = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(20)]
    made = await asyncio.gather(
        *(stores[n % 2].add_share("blog", "wall", digest) for n, digest in enumerate(digests))
    )
    assert sum(share is not None for share in made) == 1
    (kept,) = await stores[0].share_digests("blog")
    assert made[digests.index(kept)] is not None


async def test_what_is_sent_twice_is_made_once(make_store: MakeStore) -> None:
    """A reply that got lost is asked for again, and must not read as a name that is taken."""
    store = make_store(Clock())
    first = await store.add_share("blog", "wall", ONE)
    assert first is not None
    assert await store.add_share("blog", "wall", ONE) == first
    assert await store.add_share("blog", "wall", TWO) is None


async def test_there_is_an_end(make_store: MakeStore) -> None:
    store = make_store(Clock())
    for n in range(MOST_SHARES):
        assert await store.add_share("blog", f"n{n}", ONE)
    assert await store.add_share("blog", "more", TWO) is None
    assert await store.add_share("shop", "more", TWO)
    await store.remove_share("blog", "n0")
    assert await store.add_share("blog", "more", TWO)


@split
async def test_doctor_knows_them(make_store: MakeStore, shards: int) -> None:
    store = make_store(shards=shards)
    await store.add_share("blog", "wall", ONE)
    assert (await Doctor(store.connection, store.keys).check()).findings == []
    client = store.connection.client
    key = store.keys.of_site("blog")[0].shares
    assert await client.pttl(key) == -1, "kept until it is revoked"


async def test_a_wrong_type_says_so(make_store: MakeStore) -> None:
    store = make_store(Clock())
    await store.connection.client.set(store.keys.of_site("blog")[0].shares, "x", px=60_000)
    with pytest.raises(StoreError):
        await store.share_digests("blog")
