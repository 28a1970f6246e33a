"""Which paths have a row among the most viewed once there are more than MAX_PATHS: Space-Saving,
and what it means to whoever owns the site. No row says too much, and none too little by more than
the views there were over MAX_PATHS."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from service.ops.doctor import Doctor
from service.ops.prune import prune_paths
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests import invariants
from tests.conftest import Clock, MakeStore, on_servers
from tests.model import Top

SITE = "blog"
POST = '{"type":"post"}'


class Visits:
    """Views of a site, each by somebody else, and what is kept of them."""

    def __init__(self, store: PresenceStore) -> None:
        self.store = store
        self.views: Counter[str] = Counter()
        self._sessions = (f"session-{n:08d}" for n in count())

    @property
    def client(self) -> Any:
        return self.store.connection.client

    async def at_once(self, *paths: str) -> None:
        """Views that travel together."""
        batch = [Heartbeat(next(self._sessions), path, "", "", POST) for path in paths]
        assert {*await self.store.heartbeats(SITE, batch)} == {"created"}
        self.views.update(paths)

    async def one_by_one(self, *paths: str) -> None:
        for path in paths:
            view = PageView(next(self._sessions), path, "post")
            assert await self.store.view(SITE, view) == "recorded"
            self.views[path] += 1

    async def rows(self, *, views_erased: bool = False) -> dict[str, int]:
        """What `top` says, over all shards, after a look at what must always hold."""
        rows: Counter[str] = Counter()
        for shard in await invariants.check(
            self.store, SITE, int(self.store.clock()), views_erased=views_erased
        ):
            rows.update({path: int(views) for path, views in shard.top.items()})
            assert shard.types == dict.fromkeys(shard.top.keys() - {"__other__"}, "post")
        assert rows.total() == self.views.total()
        most = self.views.total() / self.store.config.max_paths
        for path, views in self.views.items():
            assert 0 <= views - rows[path] <= most, path
        return dict(rows)


def alike(names: random.Random) -> str:
    return f"/{names.randrange(30)}"


def few_of_many(names: random.Random) -> str:
    return f"/{int(names.paretovariate(0.7))}"


def noise_beside_pages(names: random.Random) -> str:
    return f"/page/{names.randrange(4)}" if names.random() < 0.4 else f"/{names.random()}"


@on_servers
@pytest.mark.fault("B22")
@pytest.mark.parametrize("kind", [alike, few_of_many, noise_beside_pages])
@pytest.mark.parametrize("limit", [1, 3, 8])
async def test_rows_are_those_of_space_saving(
    make_store: MakeStore, kind: Callable[[random.Random], str], limit: int
) -> None:
    visits, top = Visits(make_store(Clock(), max_paths=limit)), Top(limit)
    names = random.Random(limit)
    for turn in range(24):
        paths = [kind(names) for _ in range(1 if turn % 2 else names.randrange(1, 20))]
        await (visits.one_by_one if turn % 2 else visits.at_once)(*paths)
        for path, views in Counter(paths).items():
            top.count(path, views)
        expected = top.own | ({"__other__": top.others} if top.others else {})
        assert await visits.rows() == expected


def before_all(n: int) -> str:
    return f"/0/{n}"


def behind_all(n: int) -> str:
    return f"/zz/{n}"


Way = Callable[[Visits, Sequence[str]], Any]


async def at_once(visits: Visits, paths: Sequence[str]) -> None:
    await visits.at_once(*paths)


async def one_by_one(visits: Visits, paths: Sequence[str]) -> None:
    await visits.one_by_one(*paths)


async def among_noise(visits: Visits, paths: Sequence[str]) -> None:
    """With each view one of a page that nobody views again."""
    for n, path in enumerate(paths):
        await visits.one_by_one(path, f"/m/noise/{n}")


@pytest.mark.fault("B22")
@pytest.mark.parametrize("way", [at_once, one_by_one, among_noise])
@pytest.mark.parametrize("seen", [1, 2, 7])
@pytest.mark.parametrize("article", ["/0/new", "/m/3/new", "/zz/new"])
async def test_a_new_article_is_named_with_its_first_view(
    make_store: MakeStore, article: str, seen: int, way: Way
) -> None:
    """However often what has the rows was viewed, and wherever it stands in the alphabet."""
    visits = Visits(make_store(Clock(), max_paths=20))
    for _ in range(seen):
        await visits.at_once(*(f"/m/{n}" for n in range(20)))
    await way(visits, [article])
    assert (await visits.rows())[article] == 1
    await way(visits, [article] * 19)
    assert (await visits.rows())[article] == 20


@on_servers
@pytest.mark.fault("B22")
async def test_eleven_batches_of_one_address_spoil_nothing(make_store: MakeStore) -> None:
    visits = Visits(make_store(Clock(), max_paths=200))
    pages = {f"/page/{n}": 30 + n for n in range(5)}
    for page, views in pages.items():
        await visits.at_once(*[page] * views)
    for batch in range(11):  # the sixth and later are the second views of pages
        await visits.at_once(*(f"/m/{n % 500}" for n in range(100 * batch, 100 * (batch + 1))))
    rows = await visits.rows()
    assert pages.items() <= rows.items()
    assert len(rows) == 201
    for article in ("/blog/new", "/a", "/zebra"):
        await visits.one_by_one(*[article] * 20)
        await visits.at_once(*(f"/m/{article}/{n}" for n in range(100)))
    rows = await visits.rows()
    assert (pages | dict.fromkeys(("/blog/new", "/a", "/zebra"), 20)).items() <= rows.items()


@on_servers
@pytest.mark.fault("B22")
async def test_shards_together_lack_no_more_than_one(make_store: MakeStore) -> None:
    visits = Visits(make_store(Clock(), shards=3, max_paths=5))
    names = random.Random(3)
    for _ in range(10):
        await visits.at_once(*(noise_beside_pages(names) for _ in range(30)))
        rows = await visits.rows()
    stats = await visits.store.stats(SITE)
    assert {row.path: row.views for row in stats.pageStats} == rows
    assert (stats.totalPageViews, stats.totalPaths) == (300, len(rows) - 1)


async def test_rows_of_an_earlier_release_are_given_up(make_store: MakeStore) -> None:
    visits = Visits(make_store(Clock(), max_paths=3))
    (keys,) = visits.store.keys.of_site(SITE)
    await visits.one_by_one("/a", "/a", "/b", "/b", "/c", "/d", "/d", "/e")
    kept = {"/a": 2, "/b": 2, "/c": 1, "__other__": 3}
    await visits.client.delete(keys.top, keys.top_order, keys.types)
    await visits.client.zadd(keys.top, kept)
    await visits.one_by_one("/new", "/new")
    assert await visits.client.zrange(keys.top, 0, -1, withscores=True) == [
        ("/a", 2), ("/b", 2), ("/new", 2), ("__other__", 4),
    ]  # fmt: skip
    await invariants.check(visits.store, SITE, int(visits.store.clock()))


@pytest.mark.fault("B22")
@pytest.mark.parametrize("millions", [0.5, 1, 1.5, 3, 25])
async def test_rows_of_millions_of_views_are_given_up_like_others(
    make_store: MakeStore, millions: float
) -> None:
    visits, top = Visits(make_store(Clock(), max_paths=3)), Top(3)
    (keys,) = visits.store.keys.of_site(SITE)
    for n, path in enumerate(("/a", "/b", "/c")):
        await visits.one_by_one(path)
        more = int(millions * 1_000_000) + n
        await visits.client.zincrby(keys.top, more, path)
        await visits.client.hincrby(keys.totals, "views", more)
        visits.views[path] += more
        top.count(path, more + 1)
    for path in "xyzxyzxvxwxxyy":  # each of them is kept while others stand lower
        await visits.one_by_one(f"/{path}")
        top.count(f"/{path}")
        rows = await visits.rows(views_erased=True)
        assert rows == top.own | ({"__other__": top.others} if top.others else {})


async def test_where_there_is_room_again_nobody_gives_up_a_row(make_store: MakeStore) -> None:
    clock = Clock()
    visits = Visits(make_store(clock, max_paths=3))
    await visits.at_once("/a", "/b", "/c", "/d", "/e")
    visits.store = make_store(clock, max_paths=5)
    before = await visits.rows()
    await visits.one_by_one("/f", "/g")
    rows = await visits.rows()
    assert rows == before | {"/f": 1, "/g": 1}
    await visits.one_by_one("/h", "/h")
    assert len(await visits.rows()) == 6
    (keys,) = visits.store.keys.of_site(SITE)
    assert len(await prune_paths(visits.store.connection, keys, 1_000)) == 5
    assert await visits.client.zrange(keys.top, 0, -1, withscores=True) == [("__other__", 9)]
    await visits.one_by_one("/a", "/i", "/j", "/k", "/l")
    (shard,) = await invariants.check(visits.store, SITE, int(clock()))
    assert shard.top == {"__other__": 9, "/a": 1, "/i": 1, "/j": 1, "/k": 1, "/l": 1}


@on_servers
async def test_a_row_is_not_sought_for_ever(make_store: MakeStore) -> None:
    """Where all have been viewed since they were looked at, some newcomers stay without a name."""
    visits = Visits(make_store(Clock(), max_paths=1_100))
    (keys,) = visits.store.keys.of_site(SITE)
    known = [f"/{n}" for n in range(1_100)]
    await visits.at_once(*known)
    await visits.one_by_one("/first")  # it takes the row of /0, and looks at no other
    await visits.at_once(*known[1:])
    found = []
    for path in ("/second", "/third", "/third"):
        await visits.one_by_one(path)
        found.append(await visits.client.zscore(keys.top, path))
    assert found == [None, 1, 2]
    (shard,) = await invariants.check(visits.store, SITE, int(visits.store.clock()))
    assert sum(shard.top.values()) == visits.views.total()


async def test_an_order_of_a_wrong_type_leaves_the_totals_exact(make_store: MakeStore) -> None:
    visits = Visits(make_store(Clock(), max_paths=2))
    (keys,) = visits.store.keys.of_site(SITE)
    await visits.at_once("/a", "/b", "/c")
    await visits.client.delete(keys.top_order)
    await visits.client.set(keys.top_order, "wrong")
    await visits.one_by_one("/d", "/d", "/b")
    rows = {row.path: row.views for row in (await visits.store.stats(SITE)).pageStats}
    assert rows == {"__other__": 3, "/b": 2, "/c": 1}
    doctor = Doctor(visits.store.connection, visits.store.keys, visits.store.config)
    assert [finding.key for finding in (await doctor.check(SITE)).findings] == [keys.top_order]
    await visits.client.delete(keys.top_order)
    assert not (await doctor.check(SITE)).findings
    await visits.one_by_one("/e")
    assert await visits.rows() == {"__other__": 4, "/b": 2, "/e": 1}
